use parlance_core::{Head, RoomId};
use parlance_store::StoredRoom;

/// A room that a signal is for, as far as its sender knows it.
#[derive(Debug, Clone)]
pub struct SignalRoom {
    /// Its id.
    pub room: RoomId,
    /// Where it is.
    pub head: Head,
}

impl From<&StoredRoom> for SignalRoom {
    fn from(room: &StoredRoom) -> Self {
        Self { room: room.info.id.clone(), head: room.head() }
    }
}
