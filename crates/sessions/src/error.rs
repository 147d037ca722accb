use parlance_proto::error::Failure;
use parlance_store::StoreError;

/// Why a session refuses a frame, or ends.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// A field of the frame: path and what is wrong.
    #[error("{0}: {1}")]
    Field(String, String),
    /// A frame before `hello`.
    #[error("the first frame must be hello")]
    HelloRequired,
    /// `hello` again.
    #[error("hello was said already")]
    HelloRepeated,
    /// Nothing was said.
    #[error("no hello within the time for it")]
    HelloTimeout,
    /// A frame without a known operation.
    #[error("the frame holds no known operation")]
    UnknownOperation,
    /// The token that the session was opened with has ended.
    #[error("the token has expired")]
    TokenExpired,
    /// Too many frames that could not be carried out.
    #[error("too many bad frames")]
    Abusive,
    /// The server is about to end.
    #[error("the server is draining")]
    Draining,
    /// The store could not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What was asked of the [`Operations`](crate::Operations) failed.
    #[error("{}", .0.message)]
    Operation(Failure),
}
