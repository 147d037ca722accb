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

/// Removes a slot that is no longer used from the map, also where its user is cancelled. To be
/// dropped after the slot.
struct Cleanup<'m> {
    slots: &'m Map<(UserId, RoomId), Arc<Slot>>,
    key: (UserId, RoomId),
}

impl Drop for Cleanup<'_> {
    fn drop(&mut self) {
        // Nobody else can take it while the map is locked.
        self.slots.remove_if(&self.key, |_, slot| Arc::strong_count(slot) == 1);
    }
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
        let cleanup = Cleanup { slots: &self.slots, key };
        let slot = self.slots.entry(cleanup.key.clone()).or_default().clone();
        self.advance_in(&slot, user, room, to).await
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{TestNode, group, soon, user};

    #[tokio::test]
    async fn a_mark_that_is_given_up_leaves_nothing_behind() {
        let node = TestNode::start();
        node.store.answers.add_permits(1);
        let (room, _) = node.api.rooms().create(group("first")).await.unwrap().into_parts();
        soon(node.store.committed.acquire()).await.unwrap().forget();
        let api = node.api.clone();
        let to = Cursors { delivered: 1, ..Cursors::default() };
        let marking =
            tokio::spawn(async move { api.marks().advance(&user("bob"), &room.info.id, to).await.map(drop) });
        soon(node.store.committed.acquire()).await.unwrap().forget();
        assert_eq!(node.api.marks().slots.len(), 1);
        marking.abort();
        assert!(marking.await.unwrap_err().is_cancelled());
        assert_eq!(node.api.marks().slots.len(), 0);
    }
}
