use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use parlance_core::RoomId;
use parlance_runtime::memory::Charge;

use crate::limits::Sizes;
use crate::ring::{Fetched, Ring};
use crate::state::RoomState;

/// The end of a room's log as known here, shared by the room's feed and its subscriptions (the `Listeners`).
pub(crate) struct Tail<Listeners> {
    room: RoomId,
    sizes: &'static Sizes,
    /// The last seq that was delivered here.
    delivered: AtomicU64,
    state: Mutex<State<Listeners>>,
}

/// Under one lock: a listener either sees a chunk or is notified of it.
pub(crate) struct State<Listeners> {
    pub(crate) ring: Ring,
    pub(crate) listeners: Listeners,
}

impl<Listeners: Default> Tail<Listeners> {
    pub(crate) fn new(room: RoomId, sizes: &'static Sizes, held: Charge) -> Self {
        let state = Mutex::new(State { ring: Ring::new(held), listeners: Listeners::default() });
        Self { room, sizes, delivered: AtomicU64::new(0), state }
    }

    pub(crate) fn room(&self) -> &RoomId {
        &self.room
    }

    pub(crate) fn sizes(&self) -> &'static Sizes {
        self.sizes
    }

    /// The room as far as known, once loaded.
    pub(crate) fn known(&self) -> Option<RoomState> {
        self.state().ring.room
    }

    pub(crate) fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::SeqCst)
    }

    pub(crate) fn set_delivered(&self, seq: u64) {
        self.delivered.store(seq, Ordering::SeqCst);
    }

    /// What follows `cursor`, up to `to`; `None` if the ring does not contain it.
    pub(crate) fn following(&self, cursor: u64, to: u64) -> Option<Fetched> {
        self.state().ring.following(cursor, to, self.sizes.room_batch)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State<Listeners>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
