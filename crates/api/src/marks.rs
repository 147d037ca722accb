use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use parlance_core::{Cursors, RoomId, UserId};
use parlance_store::{Store, StoreError};

use crate::map::Map;

/// Moves members' cursors, one write at a time for each: what comes while one is under way
/// shares the next.
pub(crate) struct Marks {
    store: Arc<dyn Store>,
    slots: Map<(UserId, RoomId), Arc<Slot>>,
}

#[derive(Default)]
struct Slot {
    wanted: Mutex<Cursors>,
    /// Where the cursors were after the last write; held while one is under way.
    written: tokio::sync::Mutex<Option<Cursors>>,
}

impl Slot {
    fn wanted(&self) -> MutexGuard<'_, Cursors> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Marks {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, slots: Map::default() }
    }

    /// How many are being moved.
    pub(crate) fn under_way(&self) -> usize {
        self.slots.len()
    }

    /// Moves a member's cursors forward to `to`; returns where they are then, once that is
    /// stored. `None` for who never was a member.
    pub(crate) async fn advance(
        &self,
        user: &UserId,
        room: &RoomId,
        to: Cursors,
    ) -> Result<Option<Cursors>, StoreError> {
        let key = (user.clone(), room.clone());
        let slot = self.slots.entry(key.clone()).or_default().clone();
        let result = self.advance_in(&slot, user, room, to).await;
        drop(slot);
        // Under the map's lock nobody else takes it.
        self.slots.remove_if(&key, |_, slot| Arc::strong_count(slot) == 1);
        result
    }

    async fn advance_in(
        &self,
        slot: &Slot,
        user: &UserId,
        room: &RoomId,
        to: Cursors,
    ) -> Result<Option<Cursors>, StoreError> {
        slot.wanted().advance(to);
        let mut written = slot.written.lock().await;
        if let Some(cursors) = *written
            && cursors.delivered >= to.delivered
            && cursors.read.seq >= to.read.seq
        {
            return Ok(Some(cursors));
        }
        let wanted = *slot.wanted();
        *written = self.store.advance(user, room, wanted).await?;
        Ok(*written)
    }
}
