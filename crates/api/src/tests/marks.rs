//! Marks moved by sessions and callers.
use std::sync::atomic::Ordering;

use futures::FutureExt;
use parlance_core::RoomId;
use parlance_core::{Body, Chunk, Event, Refusal, RequestId, Role, Timestamp};
use parlance_hub::{Terms, Waken};
use parlance_proto::v1;

use crate::Error;
use crate::testing::{TestNode, caller, group, soon, user};

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

/// What is still kept of the room is unread; what was trimmed is not counted.
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
async fn removed_member_can_neither_type_nor_mark() {
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
    // Although their session has not reached the removal.
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
        body: Body::MemberAdded { user: user("carol"), role: Role::Member, link: None },
        unknown: Default::default(),
        service: None,
    };
    let chunk = Chunk::new([2; 16], vec![event], 1, 2).unwrap();
    node.api.hub().deliver(&room, Terms::from(&info), &chunk);
    assert!(node.api.hub().as_member(&user("bob"), &room).is_none());
}

/// Drops a caller who marks at each of its awaits: a stored mark is always signalled.
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
