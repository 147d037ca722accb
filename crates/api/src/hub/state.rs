use parlance_core::{Body, Chunk, Head, RoomInfo, Visibility};
use parlance_store::StoredRoom;

/// What a session needs to know of a room.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RoomState {
    pub(crate) head: u64,
    /// The same with the nonce that tells this log from any other.
    pub(crate) end: Head,
    pub(crate) visibility: Visibility,
    pub(crate) floor: u64,
    pub(crate) epoch: u64,
}

/// What is told of a room with each chunk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    pub(crate) visibility: Visibility,
    pub(crate) floor: u64,
    pub(crate) epoch: u64,
}

impl From<&RoomInfo> for Terms {
    fn from(info: &RoomInfo) -> Self {
        Self { visibility: info.settings.visibility, floor: info.floor, epoch: info.epoch }
    }
}

impl Terms {
    /// As they are after `chunk`.
    pub(super) fn fold(&mut self, chunk: &Chunk) {
        for event in chunk.events() {
            if let Body::RoomChanged { settings } = &event.body {
                self.visibility = settings.visibility;
            }
        }
    }
}

impl RoomState {
    pub(super) fn of(stored: &StoredRoom) -> Self {
        Self::at(stored.head(), Terms::from(&stored.info))
    }

    pub(super) fn at(head: Head, terms: Terms) -> Self {
        let Terms { visibility, floor, epoch } = terms;
        Self { head: head.seq(), end: head, visibility, floor, epoch }
    }

    pub(super) fn terms(self) -> Terms {
        Terms { visibility: self.visibility, floor: self.floor, epoch: self.epoch }
    }
}
