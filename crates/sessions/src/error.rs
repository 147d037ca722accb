use parlance_proto::error::Failure;
use parlance_store::StoreError;

/// Why a session rejects a frame, or ends.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// An invalid field of the frame: its path, and the problem.
    #[error("{0}: {1}")]
    Field(String, String),
    /// A frame before `hello`.
    #[error("the first frame must be hello")]
    HelloRequired,
    /// A second `hello`.
    #[error("hello was already sent")]
    HelloRepeated,
    /// No `hello` in time.
    #[error("no hello in time")]
    HelloTimeout,
    /// A frame without a known operation.
    #[error("the frame contains no known operation")]
    UnknownOperation,
    /// The token that the session was opened with has expired.
    #[error("the token has expired")]
    TokenExpired,
    /// The user has this many sessions on this node.
    #[error("has {0} sessions already")]
    TooManySessions(u32),
    /// The sessions of the user, or with `None` those of everyone on this node, would have more subscriptions to rooms.
    #[error("the rooms of all sessions are too many")]
    TooManySubscriptions(Option<usize>),
    /// Too many failing frames.
    #[error("too many bad frames")]
    Abusive,
    /// The server is shutting down.
    #[error("the server is draining")]
    Draining,
    /// The store could not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An [operation](crate::Operations) failed.
    #[error("{}", .0.message)]
    Operation(Failure),
}
