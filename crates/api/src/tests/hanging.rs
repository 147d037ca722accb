//! A room whose reads never complete affects only itself.
use std::time::Duration;

use parlance_core::RoomId;
use parlance_hub::Terms;
use parlance_proto::v1;

use tokio::time::Instant;
use v1::client_frame::Operation;
use v1::server_frame::Frame;

use crate::testing::{Conversation, TestNode, add, add_by, caller, group, remove, remove_by, say, soon};
use parlance_store::LogStore;

/// A node with two groups of alice and bob.
async fn two_rooms() -> (TestNode, RoomId, RoomId) {
    let (node, hanging) = TestNode::with_group().await;
    let other = node.api.rooms().create(group("second")).await.unwrap().into_parts().0.info.id;
    (node, hanging, other)
}

/// A session of bob that has caught up in all rooms.
async fn caught_up(node: &TestNode) -> Conversation {
    let mut bob = Conversation::open(&node.api, caller("bob")).await;
    bob.catch_up().await;
    bob
}

/// Checks that bob receives a message of `room`, can answer it and mark it read, and receives no event of
/// another room meanwhile.
async fn is_served(node: &TestNode, bob: &mut Conversation, room: &RoomId, text: &str) {
    let said = say(&node.api, room, text).await;
    let Frame::Event(event) = bob.next().await else { panic!("not an event") };
    assert_eq!((event.room_id.as_str(), event.seq), (room.as_str(), said));
    let send = v1::SendMessageRequest {
        text: format!("{text}, answered"),
        client_message_id: text.replace(' ', "-"),
        target: Some(v1::send_message_request::Target::RoomId(room.to_string())),
        ..Default::default()
    };
    let mark = v1::MarkReadRequest { room_id: room.to_string(), seq: said + 1, ..Default::default() };
    for operation in [Operation::SendMessage(send), Operation::MarkRead(mark)] {
        let reply = bob.call(operation).await;
        assert!(!matches!(reply, v1::reply::Result::Error(_)), "{reply:?}");
    }
    for frame in bob.waiting() {
        if let Frame::Event(event) = frame {
            assert_eq!(event.room_id, room.as_str());
        }
    }
}

/// Receives all of `room` from `after` to `last`, each seq exactly once, as an event or in a gap. Returns
/// the seqs of the events.
async fn events_to(bob: &mut Conversation, room: &RoomId, after: u64, last: u64) -> Vec<u64> {
    let (mut at, mut seqs) = (after, Vec::new());
    while at < last {
        match bob.next().await {
            Frame::Event(event) if event.room_id == room.as_str() => {
                assert_eq!(event.seq, at + 1);
                at = event.seq;
                seqs.push(at);
            }
            Frame::Gap(gap) if gap.room_id == room.as_str() => {
                assert_eq!(gap.from_seq, at + 1, "{gap:?}");
                at = gap.to_seq;
            }
            _ => {}
        }
    }
    seqs
}

#[tokio::test]
async fn session_opens_without_hanging_room_and_gets_it_later() {
    let (node, hanging, other) = two_rooms().await;
    node.store.hang(&hanging);
    // This node has not loaded the room either.
    let mut bob = Conversation::open(&node.api, caller("bob")).await;
    let heads: Vec<_> = bob.heads().iter().map(|head| head.room_id.as_str()).collect();
    assert_eq!(heads, [other.as_str()]);
    let Frame::Gap(gap) = bob.next().await else { panic!("not a gap") };
    assert_eq!((gap.room_id.as_str(), gap.reason()), (hanging.as_str(), v1::GapReason::Unreadable));
    bob.catch_up().await;
    is_served(&node, &mut bob, &other, "still there").await;

    node.store.answer_reads(&hanging);
    let last = say(&node.api, &hanging, "read again").await;
    assert!(events_to(&mut bob, &hanging, 0, last).await.ends_with(&[last]));
}

/// It is not begun again, which would make a slow store slower, and the client wait.
#[tokio::test(start_paused = true)]
async fn what_was_begun_of_a_slow_room_goes_on() {
    let (node, hanging) = TestNode::with_group().await;
    node.store.hang(&hanging);
    let mut bob = Conversation::open(&node.api, caller("bob")).await;
    let Frame::Gap(gap) = bob.next().await else { panic!("not a gap") };
    assert_eq!(gap.reason(), v1::GapReason::Unreadable);
    let (reads, answered) = (node.store.reads(), Instant::now());
    node.store.answer_reads(&hanging);
    assert_eq!(events_to(&mut bob, &hanging, 0, 1).await, [1]);
    assert!(answered.elapsed() < Duration::from_millis(100), "{:?}", answered.elapsed());
    // The user's row, and the log.
    assert_eq!(node.store.reads() - reads, 2);
}

/// Bob was added to a room that hangs, and is served in the other one.
struct Joining {
    node: TestNode,
    hanging: RoomId,
    other: RoomId,
    bob: Conversation,
    /// The seq of the event that added him.
    joined: u64,
}

async fn joining() -> Joining {
    let (node, hanging, other) = two_rooms().await;
    remove(&node.api, &hanging, "bob").await;
    let mut bob = caught_up(&node).await;
    // The room is cached on the node that writes, but the rows of its members are not.
    node.store.hang(&hanging);
    let joined = add(&node.api, &hanging, "bob").await;
    is_served(&node, &mut bob, &other, "joined").await;
    Joining { node, hanging, other, bob, joined }
}

#[tokio::test]
async fn hanging_room_blocks_no_other_when_joined() {
    let Joining { node, hanging, other, mut bob, joined } = joining().await;
    let last = say(&node.api, &hanging, "welcome").await;
    is_served(&node, &mut bob, &other, "still joined").await;

    node.store.answer_reads(&hanging);
    assert_eq!(events_to(&mut bob, &hanging, 0, last).await, [joined, last]);
}

#[tokio::test]
async fn member_removed_while_room_opens_gets_nothing_later() {
    let Joining { node, hanging, other, mut bob, joined } = joining().await;
    let removed = remove_by(&node.api, &hanging, "bob", "remove-again").await;
    say(&node.api, &hanging, "without bob").await;
    is_served(&node, &mut bob, &other, "removed").await;

    node.store.answer_reads(&hanging);
    // The last word on the room: that bob is no longer a member, or nothing at all.
    let added = add_by(&node.api, &hanging, "bob", "add-again").await;
    let mut seqs = Vec::new();
    while seqs.last() != Some(&added) {
        if let Frame::Event(event) = bob.next().await {
            seqs.push(event.seq);
        }
    }
    seqs.retain(|seq| *seq != joined && *seq != removed);
    assert_eq!(seqs, [added]);
}

#[tokio::test]
async fn unreadable_hole_blocks_no_other_room() {
    let (node, hanging, other) = two_rooms().await;
    let mut bob = caught_up(&node).await;
    let begun = node.api.hub().feed(&hanging).unwrap().known().unwrap().head;
    // More events than the ring holds, of which only the last one arrives.
    let elsewhere = node.other();
    let mut last = 0;
    let mut tails = Vec::new();
    for text in ["1", "2", "3", "4", "5"] {
        last = say(&elsewhere, &hanging, text).await;
        tails.push(node.store.room(&hanging).await.unwrap().unwrap());
    }
    node.store.hang(&hanging);
    // Events delivered while the hole is being read must arrive, too.
    for (stored, text) in tails[3..].iter().zip(["past a hole", "further past a hole"]) {
        node.api.hub().deliver(&hanging, Terms::from(&stored.info), &stored.tail);
        is_served(&node, &mut bob, &other, text).await;
    }

    node.store.answer_reads(&hanging);
    assert_eq!(events_to(&mut bob, &hanging, begun, last).await, Vec::from_iter(begun + 1..=last));
}

#[tokio::test]
async fn hanging_room_blocks_no_other_when_retried() {
    let (node, hanging, other) = two_rooms().await;
    node.store.damaged.lock().unwrap().insert(hanging.clone());
    let mut bob = Conversation::open(&node.api, caller("bob")).await;
    let Frame::Gap(gap) = bob.next().await else { panic!("not a gap") };
    assert_eq!(gap.room_id, hanging.as_str());
    bob.catch_up().await;
    node.store.hang(&hanging);
    node.store.damaged.lock().unwrap().clear();
    let reads = node.store.reads();
    soon(async {
        while node.store.reads() == reads {
            assert!(bob.waiting().is_empty());
            tokio::task::yield_now().await;
        }
    })
    .await;
    is_served(&node, &mut bob, &other, "tried again").await;

    node.store.answer_reads(&hanging);
    let last = say(&node.api, &hanging, "read again").await;
    assert!(events_to(&mut bob, &hanging, 0, last).await.ends_with(&[last]));
}

/// A session opens quickly no matter how many of its rooms hang.
#[tokio::test(start_paused = true)]
async fn session_opens_within_seconds_if_all_rooms_hang() {
    let node = TestNode::start();
    node.store.answer_all();
    // Half a second each, three at a time, would take ten seconds.
    for number in 0..60 {
        let created = node.api.rooms().create(group(&format!("room-{number}"))).await.unwrap();
        node.store.hang(&created.into_parts().0.info.id);
    }
    let begun = Instant::now();
    let mut bob = Conversation::open(&node.api, caller("bob")).await;
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    assert_eq!(bob.heads().len(), 0);
    for _ in 0..60 {
        let Frame::Gap(gap) = bob.next().await else { panic!("not a gap") };
        assert_eq!(gap.reason(), v1::GapReason::Unreadable);
    }
}
