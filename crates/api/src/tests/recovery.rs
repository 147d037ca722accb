//! Writes that a node finds without a hint.
use std::sync::Arc;
use std::time::Duration;

use parlance_cluster::envelope::{self, Content};
use parlance_core::RoomId;
use parlance_hub::{Listening, Mailbox};
use parlance_proto::cluster::v1::HeadHint;
use parlance_proto::v1;
use parlance_registry::Notice;
use v1::event::Body;
use v1::server_frame::Frame;

use super::receive;
use super::rooms::delivered_within;
use crate::testing::{Conversation, TestNode, add, caller, group, remove, say, user};

/// All hints were lost: the session still belongs to the earlier membership.
#[tokio::test]
async fn readded_member_receives_the_room_again() {
    let (node, room) = TestNode::with_group().await;
    let mut at_bob = Conversation::open(&node.api, caller("bob")).await;
    at_bob.catch_up().await;
    let other = node.other();
    let removed = remove(&other, &room, "bob").await;
    // More than are read at once: the new membership lies in a hole that this node delivers
    // past.
    for text in ["1", "2", "3", "4"] {
        say(&other, &room, text).await;
    }
    let added = add(&other, &room, "bob").await;
    say(&other, &room, "welcome back").await;
    receive(&node, [Notice::Missed]).await;
    // Before the session has reached the removal.
    while !node.api.recovery().settled {
        tokio::task::yield_now().await;
    }

    let mut got = Vec::new();
    while got.last() != Some(&"live".to_owned()) {
        got.push(match at_bob.next().await {
            Frame::Event(event) => match event.body.unwrap() {
                Body::Message(message) => message.text,
                _ => event.seq.to_string(),
            },
            Frame::Gap(gap) => format!("gap {}-{}", gap.from_seq, gap.to_seq),
            _ => continue,
        });
        if got.last() == Some(&"welcome back".to_owned()) {
            say(&node.api, &room, "live").await;
        }
    }
    let (removed, added) = (removed.to_string(), added.to_string());
    assert_eq!(got, [removed.as_str(), "gap 5-8", &added, "welcome back", "live"]);
}

const ROOMS: usize = 20;

/// A node where bob is subscribed to some rooms.
async fn with_rooms() -> (TestNode, Vec<RoomId>, Vec<(Arc<Mailbox>, Listening)>) {
    let node = TestNode::start();
    node.store.answer_all();
    let (mut rooms, mut listening) = (Vec::new(), Vec::new());
    for number in 0..ROOMS {
        let created = node.api.rooms().create(group(&format!("room-{number}"))).await.unwrap();
        let room = created.into_parts().0.info.id;
        listening.push(node.live("bob", &room).await);
        rooms.push(room);
    }
    (node, rooms, listening)
}

/// Counts the reads of a node that is notified of trouble, and delivers `notices` of the
/// first two rooms.
async fn reads_in_a_minute(node: &TestNode, rooms: &[RoomId], notices: Vec<Notice>) -> usize {
    let before = node.store.reads();
    receive(node, notices).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let recovery = node.api.recovery();
    assert!(!recovery.settled);
    assert_eq!(recovery.left, 1);
    let known = |room| node.api.cluster().known_room(&user("bob"), room, 1).is_some();
    assert_eq!((known(&rooms[0]), known(&rooms[1])), (false, true), "what the store has to be asked for");
    node.store.reads() - before
}

async fn settles(node: &TestNode, room: &RoomId) {
    tokio::time::sleep(Duration::from_secs(40)).await;
    assert!(node.api.recovery().settled);
    assert!(node.api.cluster().known_room(&user("bob"), room, 1).is_some());
}

#[tokio::test(start_paused = true)]
async fn room_that_cannot_be_read_is_retried_alone() {
    let (node, rooms, _listening) = with_rooms().await;
    node.store.damaged.lock().unwrap().insert(rooms[0].clone());
    let reads = reads_in_a_minute(&node, &rooms, vec![Notice::Missed]).await;
    assert!(reads < ROOMS + 20, "{reads}");
    node.store.damaged.lock().unwrap().clear();
    settles(&node, &rooms[0]).await;
}

#[tokio::test(start_paused = true)]
async fn room_with_hanging_read_is_retried_alone() {
    let (node, rooms, _listening) = with_rooms().await;
    node.store.hang(&rooms[0]);
    let reads = reads_in_a_minute(&node, &rooms, vec![Notice::Missed]).await;
    assert!(reads < ROOMS + 20, "{reads}");
    node.store.answer_reads(&rooms[0]);
    settles(&node, &rooms[0]).await;
}

/// The room advances elsewhere, and this node receives a hint for each message.
#[tokio::test(start_paused = true)]
async fn hints_of_a_room_that_cannot_be_read_have_no_other_room_compared() {
    let (node, rooms, _listening) = with_rooms().await;
    node.store.damaged.lock().unwrap().insert(rooms[0].clone());
    let hint = |head_seq| {
        let hint = HeadHint { room_id: rooms[0].to_string(), head_seq, ..HeadHint::default() };
        Notice::Payload(envelope::encode(Content::Head(hint)))
    };
    let reads = reads_in_a_minute(&node, &rooms, (100..108).map(hint).collect()).await;
    assert!(reads < ROOMS, "{reads}");
    node.store.damaged.lock().unwrap().clear();
    settles(&node, &rooms[0]).await;
}

/// Three at a time, these would take ten seconds each.
#[tokio::test(start_paused = true)]
async fn hanging_rooms_do_not_block_comparison_of_others() {
    let (node, rooms, _listening) = with_rooms().await;
    let (whole, hanging) = rooms.split_first().unwrap();
    hanging.iter().take(5).for_each(|room| node.store.hang(room));
    let said = say(&node.other(), whole, "unheard").await;
    // Most often, the last one is compared first.
    receive(&node, [Notice::Missed]).await;
    assert!(delivered_within(&node, whole, said, Duration::from_secs(9)).await);
}
