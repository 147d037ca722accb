use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use parlance_core::limits::MAX_SIGNAL_MEMBERS;
use parlance_core::{Cursors, RoomId, UserId};
use parlance_delivery::SharedFrame;
use parlance_proto::v1;
use parlance_store::{Store, StoreError};
use tokio_util::task::TaskTracker;

use parlance_cluster::{Cluster, SignalRoom};
use parlance_runtime::map::Map;
use parlance_runtime::own_task::run_to_end;

/// Moves members' cursors, one write at a time for each: what comes while one is under way
/// shares the next.
pub(crate) struct Marks {
    store: Arc<dyn Store>,
    cluster: Arc<Cluster>,
    tasks: TaskTracker,
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
    pub(crate) fn new(store: Arc<dyn Store>, cluster: Arc<Cluster>, tasks: TaskTracker) -> Self {
        Self { store, cluster, tasks, slots: Map::default() }
    }

    /// How many are being moved.
    pub(crate) fn under_way(&self) -> usize {
        self.slots.len()
    }

    /// Moves a member's cursors forward to `to` and sends the room a receipt. Returns the stored
    /// cursors; `None` for someone who never was a member.
    ///
    /// Completes even if the caller is dropped, so that every stored mark is signalled.
    pub(crate) async fn advance_and_signal(
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

    /// Signals the room what `to` has moved, unless another device was further; and the user's other
    /// devices what was read.
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
        if read.is_some() && room.head.member_count() > MAX_SIGNAL_MEMBERS {
            return self.cluster.signal_user(user, &frame).await;
        }
        let except = if read.is_some() { None } else { Some(user) };
        self.cluster.signal(&[room], &frame, except).await;
    }

    /// Moves a member's cursors forward to `to`; returns where they are then, once that is
    /// stored. `None` for who never was a member.
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
    use std::sync::atomic::Ordering;

    use futures::FutureExt;
    use parlance_core::{Body, Chunk, Event, Refusal, RequestId, Role, Timestamp};

    use super::*;
    use crate::Error;
    use crate::testing::{TestNode, caller, group, soon, user};
    use parlance_hub::{Terms, Waken};

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

    async fn say(node: &TestNode, sender: &str, room: &RoomId, count: usize) -> u64 {
        let caller = caller(sender);
        let mut seq = 0;
        for number in 0..count {
            let request = v1::SendMessageRequest {
                text: "x".into(),
                client_message_id: format!("{sender}-{}-{number}", node.store.reads()),
                target: Some(v1::send_message_request::Target::RoomId(room.to_string())),
                ..Default::default()
            };
            seq = node.api.send_message(&caller, request).await.unwrap().seq;
        }
        seq
    }

    async fn mark(node: &TestNode, room: &RoomId, seq: u64) -> Result<(u64, u64), Error> {
        let request = v1::MarkReadRequest { room_id: room.to_string(), seq, ..Default::default() };
        let response = node.api.mark_read(&caller("bob"), request).await?;
        Ok((response.read.unwrap().seq, response.unread_count))
    }

    async fn type_in(node: &TestNode, room: &RoomId) -> Result<(), Error> {
        let request = v1::SendTypingRequest { room_id: room.to_string() };
        node.api.send_typing(&caller("bob"), request).await.map(drop)
    }

    async fn reads_of<T>(node: &TestNode, work: impl Future<Output = T>) -> (T, usize) {
        let before = node.store.reads();
        let result = work.await;
        (result, node.store.reads() - before)
    }

    #[tokio::test]
    async fn live_sessions_mark_acknowledge_and_type_without_reading() {
        let node = TestNode::start();
        node.store.answer_all();
        let room = node.api.rooms().create(group("first")).await.unwrap().into_parts().0.info.id;
        let _session = node.live("bob", &room).await;
        let head = say(&node, "alice", &room, 3).await;
        assert_eq!(reads_of(&node, type_in(&node, &room)).await, (Ok(()), 0));
        // In the middle of the ring, and at the head.
        assert_eq!(reads_of(&node, mark(&node, &room, head - 1)).await, (Ok((head - 1, 1)), 0));
        assert_eq!(reads_of(&node, mark(&node, &room, head)).await, (Ok((head, 0)), 0));
        let bob = user("bob");
        let acknowledged = node.api.acknowledge(&bob, &room, head);
        let (cursors, reads) = reads_of(&node, acknowledged).await;
        assert_eq!((cursors.unwrap().delivered, reads), (head, 0));
        // Before the ring: one read for the counts at that seq, one for the caller's later messages.
        let (_, reads) = reads_of(&node, mark(&node, &room, 2)).await;
        assert_eq!(reads, 2);
        // A seq beyond this node's head is checked against the store.
        let ahead = mark(&node, &room, head + 1).await.unwrap_err();
        assert!(matches!(ahead, Error::Refused { refusal: Refusal::SeqAhead { .. }, .. }), "{ahead}");
    }

    #[tokio::test]
    async fn a_mark_reaches_up_to_ones_own_message_behind_it() {
        let node = TestNode::start();
        node.store.answer_all();
        let room = node.api.rooms().create(group("first")).await.unwrap().into_parts().0.info.id;
        let _session = node.live("bob", &room).await;
        let first = say(&node, "alice", &room, 1).await;
        let own = say(&node, "bob", &room, 1).await;
        say(&node, "alice", &room, 1).await;
        assert_eq!(mark(&node, &room, first).await, Ok((own, 1)));
        // The same without the ring.
        assert_eq!(mark(&node, &room, 2).await, Ok((own, 1)));
    }

    /// What is left of the room is unread, and not what is gone.
    #[tokio::test]
    async fn a_mark_below_the_floor_leaves_unread_what_is_kept() {
        let node = TestNode::start();
        node.store.answer_all();
        let room = node.api.rooms().create(group("first")).await.unwrap().into_parts().0.info.id;
        let first = say(&node, "alice", &room, 5).await - 4;
        node.store.trimmed.store(first + 1, Ordering::SeqCst);
        assert_eq!(mark(&node, &room, first).await, Ok((first, 3)));
        assert_eq!(mark(&node, &room, first + 1).await, Ok((first + 1, 3)));
        assert_eq!(mark(&node, &room, first + 2).await, Ok((first + 2, 2)));
    }

    #[tokio::test]
    async fn who_was_removed_neither_types_nor_marks() {
        let node = TestNode::start();
        node.store.answer_all();
        let room = node.api.rooms().create(group("first")).await.unwrap().into_parts().0.info.id;
        let _session = node.live("bob", &room).await;
        type_in(&node, &room).await.unwrap();
        let request = v1::RemoveMemberRequest {
            room_id: room.to_string(),
            user_id: "bob".into(),
            request_id: "remove".into(),
            ..Default::default()
        };
        node.api.remove_member(&caller("alice"), request).await.unwrap();
        // Although their session has not come to the removal.
        for result in [type_in(&node, &room).await, mark(&node, &room, 3).await.map(drop)] {
            let error = result.unwrap_err();
            assert!(matches!(error, Error::Refused { refusal: Refusal::NotMember, .. }), "{error}");
        }
    }

    /// The hint of a removal was lost: the removal lies in the hole before the next delivered chunk.
    #[tokio::test]
    async fn a_removal_that_was_missed_ends_it_with_the_next_chunk() {
        let node = TestNode::start();
        node.store.answer_all();
        let creation = group("first");
        let (room, info) = (creation.info.id.clone(), creation.info.clone());
        node.api.rooms().create(creation).await.unwrap();
        let _session = node.live("bob", &room).await;
        assert!(node.api.hub().as_member(&user("bob"), &room).is_some());
        let event = Event {
            seq: 5,
            at: Timestamp(2),
            actor: user("alice"),
            request: RequestId::parse("later").unwrap(),
            message_count: 1,
            deleted_count: 0,
            body: Body::MemberAdded { user: user("carol"), role: Role::Member },
            unknown: Default::default(),
        };
        let chunk = Chunk::new([2; 16], vec![event], 1, 2).unwrap();
        node.api.hub().deliver(&room, Terms::from(&info), &chunk);
        assert!(node.api.hub().as_member(&user("bob"), &room).is_none());
    }

    /// Drops a caller who marks after each of its awaits: what is stored is signalled.
    #[tokio::test]
    async fn a_mark_whose_caller_is_gone_is_signalled_if_it_is_stored() {
        for is_live in [true, false] {
            let (mut stored, mut given_up) = (0, 0);
            for polls in 1.. {
                let node = TestNode::start();
                node.store.answer_all();
                let room = node.api.rooms().create(group("first")).await.unwrap().into_parts().0.info.id;
                let head = say(&node, "alice", &room, 1).await;
                let (alice, _listening) = node.live("alice", &room).await;
                let _session = if is_live { Some(node.live("bob", &room).await) } else { None };
                let tasks = node.api.usage().tasks;
                let mut marking = Box::pin(mark(&node, &room, head));
                let mut is_done = false;
                for _ in 0..polls {
                    is_done = is_done || futures::poll!(marking.as_mut()).is_ready();
                    for _ in 0..100 {
                        tokio::task::yield_now().await;
                    }
                }
                drop(marking);
                soon(async {
                    while node.api.usage().tasks > tasks {
                        tokio::task::yield_now().await;
                    }
                })
                .await;
                let row = node.api.store().user_room(&user("bob"), &room).await.unwrap().unwrap();
                let is_stored = row.cursors.read.seq == head;
                let mut is_signalled = false;
                while let Some(waken) = alice.next().now_or_never() {
                    is_signalled |= matches!(waken, Waken::Signal(_));
                }
                assert_eq!(is_signalled, is_stored, "dropped after {polls} polls");
                stored += usize::from(is_stored);
                given_up += usize::from(is_stored && !is_done);
                if is_done {
                    break;
                }
            }
            assert!(stored > 0 && (given_up > 0 || !is_live));
        }
    }
}
