//! Whose sessions are notified when a user comes online or goes offline.
use std::time::Duration;

use parlance_core::RoomId;
use parlance_proto::v1;
use v1::server_frame::Frame;
use v1::signal::Signal;

use crate::testing::{Conversation, TestNode, caller, soon, user};

/// Does not elapse: the test ends it explicitly.
const LONG: Duration = Duration::from_secs(3_600);

fn presence(frames: Vec<Frame>) -> Vec<bool> {
    let online = |frame| match frame {
        Frame::Signal(v1::Signal { signal: Some(Signal::Presence(presence)) }) => Some(presence.online),
        _ => None,
    };
    frames.into_iter().filter_map(online).collect()
}

pub(super) async fn next_presence(of: &mut Conversation) -> bool {
    loop {
        if let [online] = presence(vec![of.next().await])[..] {
            return online;
        }
    }
}

pub(super) async fn with_bob(node: &TestNode, creator: &str) -> String {
    let request = v1::CreateRoomRequest {
        kind: v1::RoomKind::Group.into(),
        member_ids: vec!["bob".to_owned()],
        request_id: "create".to_owned(),
        ..Default::default()
    };
    node.api.create_room(&caller(creator), request).await.unwrap().room.unwrap().room_id
}

async fn remove_bob(node: &TestNode, by: &str, room_id: &str) {
    let request = v1::RemoveMemberRequest {
        room_id: room_id.to_owned(),
        user_id: "bob".to_owned(),
        request_id: "remove".to_owned(),
        ..Default::default()
    };
    node.api.remove_member(&caller(by), request).await.unwrap();
}

async fn node() -> TestNode {
    let node = TestNode::start_with_grace(LONG);
    node.store.answer_all();
    for id in ["alice", "bob", "carol"] {
        node.api.ensure_user(&caller(id)).await.unwrap();
    }
    node
}

#[tokio::test]
async fn a_session_that_follows_within_the_grace_signals_nothing() {
    let node = node().await;
    with_bob(&node, "alice").await;
    let mut at_alice = Conversation::open(&node.api, caller("alice")).await;
    let at_bob = Conversation::open(&node.api, caller("bob")).await;
    assert!(next_presence(&mut at_alice).await);
    drop(at_bob);
    assert_eq!(node.api.registry().online(&[user("bob")]).await, Ok(vec![true]), "within the grace");
    let at_bob = Conversation::open(&node.api, caller("bob")).await;
    // The end of the first session is processed first.
    drop(at_bob);
    node.api.end.cancel();
    assert!(!next_presence(&mut at_alice).await);
    assert_eq!(node.api.registry().online(&[user("bob")]).await, Ok(vec![false]));
    assert!(presence(at_alice.waiting()).is_empty(), "no more than that");
}

#[tokio::test]
async fn rooms_left_within_the_grace_get_no_offline_signal() {
    let node = node().await;
    let (shared, _other) = (with_bob(&node, "alice").await, with_bob(&node, "carol").await);
    let mut at_alice = Conversation::open(&node.api, caller("alice")).await;
    let mut at_carol = Conversation::open(&node.api, caller("carol")).await;
    let at_bob = Conversation::open(&node.api, caller("bob")).await;
    assert!(next_presence(&mut at_alice).await && next_presence(&mut at_carol).await);
    drop(at_bob);
    remove_bob(&node, "alice", &shared).await;
    node.api.end.cancel();
    assert!(!next_presence(&mut at_carol).await);
    // All rooms are notified at once.
    assert!(presence(at_alice.waiting()).is_empty());
}

#[tokio::test]
async fn rooms_opened_during_a_session_get_presence_from_then_on() {
    let node = node().await;
    let mut at_bob = Conversation::open(&node.api, caller("bob")).await;
    let mut at_alice = Conversation::open(&node.api, caller("alice")).await;
    let mut at_carol = Conversation::open(&node.api, caller("carol")).await;
    with_bob(&node, "alice").await;
    // Both sessions open the room.
    at_alice.next().await;
    at_bob.next().await;
    assert!(next_presence(&mut at_alice).await, "whoever adds someone learns whether they are online");
    drop(at_bob);
    node.api.end.cancel();
    assert!(!next_presence(&mut at_alice).await);
    assert!(presence(at_carol.waiting()).is_empty(), "they share no room");
}

#[tokio::test]
async fn unreadable_room_is_delivered_once_readable() {
    let node = node().await;
    let room = RoomId::parse(&with_bob(&node, "alice").await).unwrap();
    let mut at_alice = Conversation::open(&node.api, caller("alice")).await;
    at_alice.catch_up().await;
    node.store.hang(&room);
    let at_bob = Conversation::open(&node.api, caller("bob")).await;
    node.store.answer_reads(&room);
    assert!(next_presence(&mut at_alice).await);
    drop(at_bob);
    node.api.end.cancel();
    assert!(!next_presence(&mut at_alice).await);
}

#[tokio::test]
async fn session_that_ends_before_it_opens_a_room_signals_offline_there() {
    let node = node().await;
    let at_bob = Conversation::open(&node.api, caller("bob")).await;
    let mut at_alice = Conversation::open(&node.api, caller("alice")).await;
    with_bob(&node, "alice").await;
    at_alice.next().await;
    // Without having been polled since.
    drop(at_bob);
    node.api.end.cancel();
    assert!(!next_presence(&mut at_alice).await);
}

#[tokio::test]
async fn session_that_ends_while_it_opens_a_room_signals_offline_there() {
    let node = node().await;
    let mut at_bob = Conversation::open(&node.api, caller("bob")).await;
    let mut at_alice = Conversation::open(&node.api, caller("alice")).await;
    let room = RoomId::parse(&with_bob(&node, "alice").await).unwrap();
    at_alice.next().await;
    node.store.hang(&room);
    assert!(at_bob.waiting().is_empty(), "the room is being read");
    drop(at_bob);
    node.store.answer_reads(&room);
    node.api.end.cancel();
    assert!(!next_presence(&mut at_alice).await);
}

#[tokio::test]
async fn rooms_added_within_the_grace_get_an_offline_signal() {
    let node = node().await;
    let at_bob = Conversation::open(&node.api, caller("bob")).await;
    let mut at_alice = Conversation::open(&node.api, caller("alice")).await;
    let mut at_carol = Conversation::open(&node.api, caller("carol")).await;
    drop(at_bob);
    with_bob(&node, "alice").await;
    at_alice.next().await;
    let left = with_bob(&node, "carol").await;
    at_carol.next().await;
    remove_bob(&node, "carol", &left).await;
    node.api.end.cancel();
    assert!(!next_presence(&mut at_alice).await);
    assert!(presence(at_carol.waiting()).is_empty(), "they share no room any more");
}

#[tokio::test]
async fn session_that_ends_during_hello_signals_offline() {
    let node = node().await;
    let room = RoomId::parse(&with_bob(&node, "alice").await).unwrap();
    let mut at_alice = Conversation::open(&node.api, caller("alice")).await;
    at_alice.catch_up().await;
    node.store.hang(&room);
    let mut at_bob = Conversation::begin(&node.api, caller("bob")).await;
    soon(async {
        while !node.api.hub().has_session(&user("bob")) {
            assert!(at_bob.waiting().is_empty(), "no welcome yet");
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(node.api.registry().online(&[user("bob")]).await, Ok(vec![true]));
    drop(at_bob);
    node.store.answer_reads(&room);
    node.api.end.cancel();
    assert!(!next_presence(&mut at_alice).await);
}
