use parlance_core::{Head, RoomId};
use parlance_store::StoredRoom;

/// The target room of a signal, as far as its sender knows it.
#[derive(Debug, Clone)]
pub struct SignalRoom {
    /// Its id.
    pub room: RoomId,
    /// The room's head.
    pub head: Head,
}

impl From<&StoredRoom> for SignalRoom {
    fn from(room: &StoredRoom) -> Self {
        Self { room: room.info.id.clone(), head: room.head() }
    }
}
