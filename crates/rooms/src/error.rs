use parlance_core::{Refusal, RoomId};
use parlance_store::StoreError;

/// Why a command failed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// No such room.
    #[error("no such room")]
    RoomNotFound,
    /// No such user.
    #[error("no such user: {0}")]
    UserNotFound(String),
    /// The room refused the command.
    #[error("{refusal}")]
    Refused {
        /// The room.
        room: RoomId,
        /// The reason.
        refusal: Refusal,
    },
    /// The node is shutting down, or its clients have left.
    #[error("the server is draining")]
    Draining,
    /// Other writers kept advancing the room's head; retries ran out.
    #[error("the room is busy")]
    Contention,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
