use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use parlance_cluster::{Cluster, SignalRoom};
use parlance_core::limits::MAX_SIGNAL_MEMBERS;
use parlance_core::{Cursors, RoomId, UserId};
use parlance_delivery::SharedFrame;
use parlance_proto::v1;
use parlance_runtime::map::Map;
use parlance_runtime::own_task::run_to_end;
use parlance_store::{Store, StoreError};
use tokio_util::task::TaskTracker;

/// Moves members' cursors, one write at a time per member: updates that arrive during a write share the next one.
pub struct Marks {
    store: Arc<dyn Store>,
    cluster: Arc<Cluster>,
    tasks: TaskTracker,
    slots: Map<(UserId, RoomId), Arc<Slot>>,
}

#[derive(Default)]
struct Slot {
    wanted: Mutex<Cursors>,
    /// The cursors after the last write; locked during a write.
    written: tokio::sync::Mutex<Option<Cursors>>,
}

/// Removes an unused slot from the map, also when its caller is cancelled. Must be dropped after the slot.
struct Cleanup<'m> {
    slots: &'m Map<(UserId, RoomId), Arc<Slot>>,
    key: (UserId, RoomId),
}

impl Drop for Cleanup<'_> {
    fn drop(&mut self) {
        // Nobody else can take the slot while the map is locked.
        self.slots.remove_if(&self.key, |_, slot| Arc::strong_count(slot) == 1);
    }
}

impl Slot {
    fn wanted(&self) -> MutexGuard<'_, Cursors> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Marks {
    /// Moves cursors in `store`, in tasks of `tasks`.
    pub fn new(store: Arc<dyn Store>, cluster: Arc<Cluster>, tasks: TaskTracker) -> Self {
        Self { store, cluster, tasks, slots: Map::default() }
    }

    /// The number of cursors being moved.
    pub fn under_way(&self) -> usize {
        self.slots.len()
    }

    /// Moves a member's cursors forward to `to` and sends a receipt to the room. Returns the stored cursors; `None`
    /// for a user who never was a member.
    ///
    /// Completes even if the caller is dropped, so that every stored mark is signalled.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn advance_and_signal(
        self: &Arc<Self>,
        user: &UserId,
        room: &SignalRoom,
        to: Cursors,
    ) -> Result<Option<Cursors>, StoreError> {
        let (marks, user, room) = (self.clone(), user.clone(), room.clone());
        let moving = async move {
            let cursors = marks.advance(&user, &room.room, to).await?;
            if let Some(cursors) = cursors {
                marks.signal(&user, room, to, cursors).await;
            }
            Ok(cursors)
        };
        run_to_end(&self.tasks, moving).await
    }

    /// Like [`Self::advance_and_signal`], in a room whose members get no receipts.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn advance_silently(
        self: &Arc<Self>,
        user: &UserId,
        room: &RoomId,
        to: Cursors,
    ) -> Result<Option<Cursors>, StoreError> {
        let (marks, user, room) = (self.clone(), user.clone(), room.clone());
        run_to_end(&self.tasks, async move { marks.advance(&user, &room, to).await }).await
    }

    /// Signals to the room what `to` has moved, unless another device was further; and to the user's other devices
    /// what was read.
    async fn signal(&self, user: &UserId, room: SignalRoom, to: Cursors, cursors: Cursors) {
        let read = (to.read.seq == cursors.read.seq && to.read.seq != 0).then_some(to.read);
        let receipt = v1::Receipt {
            room_id: room.room.as_str().to_owned(),
            user_id: user.as_str().to_owned(),
            delivered_seq: if to.delivered == cursors.delivered { to.delivered } else { 0 },
            read_seq: read.map_or(0, |read| read.seq),
            message_count: read.map(|read| read.message_count),
        };
        if receipt.delivered_seq == 0 && read.is_none() {
            return;
        }
        let frame = SharedFrame::signal(v1::signal::Signal::Receipt(receipt));
        // Receipts that cannot be checked are lost, and reach neither those who are blocked nor strangers.
        let is_own = room.head.member_count() > MAX_SIGNAL_MEMBERS
            || self.cluster.has_block_in(user, &room).await.unwrap_or(true)
            || self.cluster.hides_in(user, &room.room).await;
        if is_own {
            if read.is_some() {
                self.cluster.signal_user(user, &frame).await;
            }
            return;
        }
        let except = if read.is_some() { &[] } else { std::slice::from_ref(user) };
        self.cluster.signal(&[room], &frame, except).await;
    }

    /// Moves a member's cursors forward to `to`; returns the stored cursors. `None` for a user who never was a
    /// member.
    async fn advance(
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
        *written = self.store.advance_stored(user, room, wanted).await?;
        Ok(*written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{TestNode, group, soon, user};

    #[tokio::test]
    async fn abandoned_mark_leaves_nothing_behind() {
        let node = TestNode::start();
        node.store.answers.add_permits(1);
        let (room, _) = node.rooms.create(group("first")).await.unwrap().into_parts();
        soon(node.store.committed.acquire()).await.unwrap().forget();
        let marks = node.sessions.marks().clone();
        let to = Cursors { delivered: 1, ..Cursors::default() };
        let marking =
            tokio::spawn(async move { marks.advance(&user("bob"), &room.info.id, to).await.map(drop) });
        soon(node.store.committed.acquire()).await.unwrap().forget();
        assert_eq!(node.sessions.marks().slots.len(), 1);
        marking.abort();
        assert!(marking.await.unwrap_err().is_cancelled());
        assert_eq!(node.sessions.marks().slots.len(), 0);
    }
}
