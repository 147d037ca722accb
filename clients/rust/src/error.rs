use std::time::Duration;

use parlance_proto::error::Failure;
use parlance_proto::v1;
use tonic::{Code, Status};

/// Why an operation or a connection failed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ClientError {
    /// The server said no, and why.
    #[error("{}: {}", .0.reason, .0.message)]
    Status(Box<Failure>),
    /// The server closed the WebSocket with this code.
    #[error("closed by the server with code {code}: {reason}")]
    Closed {
        /// The close code.
        code: u16,
        /// The reason that came with it.
        reason: String,
    },
    /// The connection could not be made, or broke.
    #[error("connection lost: {0}")]
    Io(String),
    /// The other side does not speak the protocol.
    #[error("protocol error: {0}")]
    Protocol(String),
    /// The session has ended; nothing more comes or goes.
    #[error("the session has ended")]
    SessionEnded,
}

impl ClientError {
    /// The failure that the server named, if it named one.
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Status(failure) => Some(failure),
            _ => None,
        }
    }

    /// Whether connecting again can not help: the token, the address or this client
    /// would have to change first.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Status(failure) => matches!(
                failure.code,
                Code::Unauthenticated
                    | Code::PermissionDenied
                    | Code::InvalidArgument
                    | Code::FailedPrecondition
                    | Code::NotFound
                    | Code::Unimplemented
            ),
            // Protocol error, unacceptable or invalid data, policy, too large; and the
            // application's own codes that stand for HTTP's 4xx.
            Self::Closed { code, .. } => matches!(code, 1002 | 1003 | 1007..=1009 | 4400..=4499),
            Self::SessionEnded => true,
            Self::Io(_) | Self::Protocol(_) => false,
        }
    }

    /// How long the server asks to wait before the next try.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        self.failure()?.retry_after
    }
}

impl From<Failure> for ClientError {
    fn from(failure: Failure) -> Self {
        Self::Status(Box::new(failure))
    }
}

impl From<Status> for ClientError {
    /// A status that the server sent has no source; one with a source was made here,
    /// out of a broken connection.
    fn from(status: Status) -> Self {
        match std::error::Error::source(&status) {
            Some(source) => Self::Io(innermost(source)),
            None => Failure::from_status(&status).into(),
        }
    }
}

impl From<v1::Error> for ClientError {
    fn from(error: v1::Error) -> Self {
        let violations = error.field_violations.into_iter();
        let failure = Failure {
            code: Code::from_i32(error.code),
            reason: error.reason,
            message: error.message,
            fields: violations.map(|violation| (violation.field, violation.description)).collect(),
            retry_after: error.retry_delay.and_then(|delay| delay.try_into().ok()),
            metadata: error.metadata.into_iter().collect(),
        };
        failure.into()
    }
}

/// The cause at the bottom, which names what happened ("connection refused").
pub(crate) fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
