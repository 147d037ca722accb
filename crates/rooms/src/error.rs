use parlance_core::{Refusal, RoomId};
use parlance_store::StoreError;

/// Why a command was not carried out.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// No such room.
    #[error("no such room")]
    RoomNotFound,
    /// No such user.
    #[error("no such user: {0}")]
    UserNotFound(String),
    /// The room refused.
    #[error("{refusal}")]
    Refused {
        /// Which.
        room: RoomId,
        /// Why.
        refusal: Refusal,
    },
    /// The node is about to end, or its clients have left it.
    #[error("the server is draining")]
    Draining,
    /// The race for the room's head was lost again and again.
    #[error("the room is busy")]
    Contention,
    /// The store could not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}
