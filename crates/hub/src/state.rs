use parlance_core::{Body, Chunk, Head, RoomInfo, Visibility};
use parlance_store::StoredRoom;

/// What sessions need to know of a room.
#[derive(Debug, Clone, Copy)]
pub struct RoomState {
    /// The last seq.
    pub head: u64,
    /// The last seq, with the nonce that distinguishes this log from any other.
    pub end: Head,
    /// How much of the history is visible to new members.
    pub visibility: Visibility,
    /// The first seq that is kept.
    pub floor: u64,
    /// Changed by a restore.
    pub epoch: u64,
    /// Whether the room was deleted: its last event says so.
    pub deleted: bool,
}

/// Properties of a room that accompany each chunk.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// How much of the history is visible to new members.
    pub visibility: Visibility,
    /// The first seq that is kept.
    pub floor: u64,
    /// Changed by a restore.
    pub epoch: u64,
    /// Whether the room was deleted.
    pub deleted: bool,
}

impl From<&RoomInfo> for Terms {
    fn from(info: &RoomInfo) -> Self {
        let RoomInfo { settings, floor, epoch, deleted, .. } = info;
        Self { visibility: settings.visibility, floor: *floor, epoch: *epoch, deleted: *deleted }
    }
}

impl Terms {
    /// The terms after `chunk`.
    pub(crate) fn fold(&mut self, chunk: &Chunk) {
        for event in chunk.events() {
            match &event.body {
                Body::RoomChanged { settings } => self.visibility = settings.visibility,
                // Earlier events are no longer kept.
                Body::RoomDeleted => (self.floor, self.deleted) = (event.seq, true),
                _ => {}
            }
        }
    }
}

impl RoomState {
    pub(crate) fn of(stored: &StoredRoom) -> Self {
        Self::at(stored.head(), Terms::from(&stored.info))
    }

    pub(crate) fn at(head: Head, terms: Terms) -> Self {
        let Terms { visibility, floor, epoch, deleted } = terms;
        Self { head: head.seq(), end: head, visibility, floor, epoch, deleted }
    }

    pub(crate) fn terms(self) -> Terms {
        let Self { visibility, floor, epoch, deleted, .. } = self;
        Terms { visibility, floor, epoch, deleted }
    }
}
