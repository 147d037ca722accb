use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use parlance_proto::v1;

use crate::Code;

/// Why a server refused something, in the terms of the contract.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// The kind of failure.
    pub code: Code,
    /// The stable reason; `docs/errors.md` lists them. Empty where the status was not made
    /// by a Parlance server but by a proxy in between.
    pub reason: String,
    /// For a developer.
    pub message: String,
    /// Fields at fault: path and description.
    pub fields: Vec<(String, String)>,
    /// How long to wait before trying again.
    pub retry_after: Option<Duration>,
    /// Facts that belong to the reason.
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
    /// The server refused it, and says why.
    #[error("{0}")]
    Status(Box<Failure>),
    /// Something in between answered the connection attempt with an HTTP status instead
    /// of a Parlance server: a proxy, or a server that is not Parlance.
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
        /// The reason that came with it.
        reason: String,
    },
    /// The connection could not be made, or broke.
    #[error("connection lost: {0}")]
    Io(String),
    /// The other side does not speak the protocol.
    #[error("protocol error: {0}")]
    Protocol(String),
    /// No token could be had to sign in with.
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
    /// The failure that the server named, if it named one.
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
            // A proxy's refusal gives no reason of the contract, and passes.
            failure.code == Code::Unauthenticated && !failure.reason.is_empty()
        })
    }

    /// Whether another token may help. A proxy may have refused this one.
    pub(crate) fn wants_fresh_token(&self) -> bool {
        match self {
            Self::Status(failure) => failure.code == Code::Unauthenticated,
            Self::Http { status } => *status == 401,
            _ => false,
        }
    }

    /// Whether the server ended the connection over something that was sent to it.
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

    /// How long the server asks to wait before the next try.
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
