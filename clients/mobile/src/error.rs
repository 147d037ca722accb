//! Why something failed.
#![forbid(unsafe_code)]

use parlance_client::ClientError as Cause;

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The server rejected it.
    #[error("{reason}: {details}")]
    Rejected {
        /// The kind, as in gRPC.
        code: String,
        /// The stable reason; empty if something between client and server rejected it.
        reason: String,
        /// For developers.
        details: String,
        /// When a retry makes sense.
        retry_after_millis: Option<u64>,
    },
    /// The connection was lost, or there is none.
    #[error("{details}")]
    Connection {
        /// For developers.
        details: String,
    },
    /// No token, or it was not accepted.
    #[error("{details}")]
    Token {
        /// For developers.
        details: String,
    },
    /// The command was discarded before it was carried out.
    #[error("{details}")]
    Discarded {
        /// For developers.
        details: String,
    },
    /// The arguments make no sense.
    #[error("{details}")]
    InvalidArgument {
        /// For developers.
        details: String,
    },
    /// The database cannot be opened.
    #[error("{details}")]
    Storage {
        /// For developers.
        details: String,
    },
    /// In the background, or closed.
    #[error("{details}")]
    NotRunning {
        /// For developers.
        details: String,
    },
}

impl ClientError {
    pub(crate) fn invalid(details: impl ToString) -> Self {
        Self::InvalidArgument { details: details.to_string() }
    }
}

impl From<Cause> for ClientError {
    fn from(cause: Cause) -> Self {
        let details = cause.to_string();
        match cause {
            Cause::Status(failure) => Self::Rejected {
                code: format!("{:?}", failure.code),
                reason: failure.reason,
                details: failure.message,
                retry_after_millis: failure.retry_after.map(crate::event::millis),
            },
            Cause::Token(_) => Self::Token { details },
            Cause::Discarded => Self::Discarded { details },
            Cause::SessionEnded => Self::NotRunning { details },
            Cause::Http { .. } | Cause::Closed { .. } | Cause::Io(_) | Cause::Protocol(_) => {
                Self::Connection { details }
            }
        }
    }
}

/// Why there is no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// None for now.
    #[error("{details}")]
    Unavailable {
        /// For developers.
        details: String,
    },
}

impl From<uniffi::UnexpectedUniFFICallbackError> for TokenError {
    fn from(error: uniffi::UnexpectedUniFFICallbackError) -> Self {
        Self::Unavailable { details: error.reason }
    }
}

/// Why an update was not processed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListenerError {
    /// It is to be delivered again.
    #[error("{details}")]
    Failed {
        /// For developers.
        details: String,
    },
}

impl From<uniffi::UnexpectedUniFFICallbackError> for ListenerError {
    fn from(error: uniffi::UnexpectedUniFFICallbackError) -> Self {
        Self::Failed { details: error.reason }
    }
}
