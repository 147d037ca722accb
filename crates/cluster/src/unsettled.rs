use std::sync::atomic::{AtomicU64, Ordering};

use parlance_core::RoomId;
use parlance_runtime::map::Map;

/// Rooms with an append of unknown outcome, each with its most recent watch.
#[derive(Default)]
pub(crate) struct Unsettled {
    rooms: Map<RoomId, u64>,
    begun: AtomicU64,
}

impl Unsettled {
    /// Starts a watch, which replaces the previous one.
    pub(crate) fn begin(&self, room: &RoomId) -> u64 {
        let watch = self.begun.fetch_add(1, Ordering::Relaxed);
        self.rooms.insert(room.clone(), watch);
        watch
    }

    pub(crate) fn is_current(&self, room: &RoomId, watch: u64) -> bool {
        self.rooms.get(room).is_some_and(|current| *current == watch)
    }

    pub(crate) fn end(&self, room: &RoomId, watch: u64) {
        self.rooms.remove_if(room, |_, current| *current == watch);
    }
}
