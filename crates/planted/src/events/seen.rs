use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use parlance_core::RoomId;
use parlance_store::feed::Position;

/// The observations of one consumer's wrappers.
#[derive(Default)]
pub(super) struct Seen(Mutex<Sights>);

#[derive(Default)]
pub(super) struct Sights {
    /// How far the feed was read.
    pub(super) position: Option<Position>,
    /// The first event named by the last record of each room.
    pub(super) named: HashMap<RoomId, u64>,
    /// The last event of each room accepted by its sink.
    pub(super) taken: HashMap<RoomId, u64>,
}

impl Seen {
    pub(super) fn sights(&self) -> MutexGuard<'_, Sights> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
