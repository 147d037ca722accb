use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use parlance_proto::v1;

use crate::Code;

/// A server's refusal, in the contract's form.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// The kind of failure.
    pub code: Code,
    /// The stable reason; listed in `docs/errors.md`. Empty if the status was created by a
    /// proxy instead of a Parlance server.
    pub reason: String,
    /// For a developer.
    pub message: String,
    /// Invalid fields: path and description.
    pub fields: Vec<(String, String)>,
    /// The delay before a retry.
    pub retry_after: Option<Duration>,
    /// Metadata of the reason.
    pub metadata: BTreeMap<String, String>,
}

impl Failure {
    /// A failure without details.
    pub fn new(code: Code, reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code,
            reason: reason.into(),
            message: message.into(),
            fields: Vec::new(),
            retry_after: None,
            metadata: BTreeMap::new(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason.as_str() {
            "" => write!(f, "{:?}: {}", self.code, self.message),
            reason => write!(f, "{reason}: {}", self.message),
        }
    }
}

impl From<v1::Error> for Failure {
    fn from(error: v1::Error) -> Self {
        let violations = error.field_violations.into_iter();
        Self {
            code: error.code.into(),
            reason: error.reason,
            message: error.message,
            fields: violations.map(|violation| (violation.field, violation.description)).collect(),
            retry_after: error.retry_delay.and_then(|delay| delay.try_into().ok()),
            metadata: error.metadata.into_iter().collect(),
        }
    }
}

/// Why an operation or a connection failed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// The server refused it, with a reason.
    #[error("{0}")]
    Status(Box<Failure>),
    /// The connection attempt was answered with an HTTP status, by a proxy or a server
    /// that is not Parlance.
    #[error("the server's address answered with HTTP status {status}")]
    Http {
        /// The status.
        status: u16,
    },
    /// The server closed the WebSocket with this code.
    #[error("closed by the server with code {code}: {reason}")]
    Closed {
        /// The close code.
        code: u16,
        /// The close reason.
        reason: String,
    },
    /// The connection could not be established, or broke.
    #[error("connection lost: {0}")]
    Io(String),
    /// The peer violates the protocol.
    #[error("protocol error: {0}")]
    Protocol(String),
    /// There is no token to sign in with.
    #[error("no token: {0}")]
    Token(String),
    /// The command was discarded before it was carried out.
    #[error("the command was discarded")]
    Discarded,
    /// The session has ended; nothing more is sent or received.
    #[error("the session has ended")]
    SessionEnded,
}

impl Error {
    /// The server's failure, if there is one.
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Status(failure) => Some(failure),
            _ => None,
        }
    }

    /// Whether a Parlance server refused the identity: the only kind of error that can end
    /// a session, once fresh tokens were refused too.
    pub fn refuses_identity(&self) -> bool {
        self.failure().is_some_and(|failure| {
            // A refusal by a proxy has no reason of the contract, and is temporary.
            failure.code == Code::Unauthenticated && !failure.reason.is_empty()
        })
    }

    /// Whether another token may help. This one may have been refused by a proxy.
    pub(crate) fn wants_fresh_token(&self) -> bool {
        match self {
            Self::Status(failure) => failure.code == Code::Unauthenticated,
            Self::Http { status } => *status == 401,
            _ => false,
        }
    }

    /// Whether the server closed the connection because of a frame.
    pub(crate) fn blames_a_frame(&self) -> bool {
        match self {
            Self::Status(failure) => {
                let codes = [Code::InvalidArgument, Code::OutOfRange, Code::FailedPrecondition];
                codes.contains(&failure.code) && !failure.reason.is_empty()
            }
            // Unacceptable data, inconsistent data, too large.
            Self::Closed { code, .. } => matches!(code, 1003 | 1007 | 1009),
            _ => false,
        }
    }

    /// The delay that the server asks for.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        self.failure()?.retry_after
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::Status(Box::new(failure))
    }
}

impl From<v1::Error> for Error {
    fn from(error: v1::Error) -> Self {
        Failure::from(error).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_reason_of_the_contract_refuses_an_identity() {
        let status = |code, reason| Error::from(Failure::new(code, reason, ""));
        assert!(status(Code::Unauthenticated, "token_expired").refuses_identity());
        assert!(!status(Code::Unauthenticated, "").refuses_identity());
        assert!(status(Code::Unauthenticated, "").wants_fresh_token());
        for code in [Code::PermissionDenied, Code::NotFound, Code::Unimplemented, Code::Internal] {
            assert!(!status(code, "reason").refuses_identity());
        }
        assert!(!Error::Http { status: 401 }.refuses_identity());
        assert!(!Error::Http { status: 403 }.wants_fresh_token());
    }
}
