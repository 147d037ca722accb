//! Messages of other nodes, as they arrive at a node.

use futures::FutureExt;
use parlance_cluster::envelope::{self, Content};
use parlance_core::RoomId;
use parlance_delivery::SharedFrame;
use parlance_hub::{Mailbox, Terms, Waken};
use parlance_proto::cluster::v1::{Forward, SignalHint};
use parlance_proto::v1;
use parlance_registry::Notice;

use super::receive;
use crate::testing::{TestNode, add, caller, group, remove, say, soon, user};
use parlance_store::LogStore;

fn signals(mailbox: &Mailbox) -> usize {
    let mut signals = 0;
    while let Some(waken) = mailbox.next().now_or_never() {
        signals += usize::from(matches!(waken, Waken::Signal(_)));
    }
    signals
}

/// Alice types, and has read the room up to `seq`: two signals.
async fn type_and_mark(node: &TestNode, room: &RoomId, seq: u64) {
    let alice = caller("alice");
    let request = v1::SendTypingRequest { room_id: room.to_string() };
    node.api.send_typing(&alice, request).await.unwrap();
    let request = v1::MarkReadRequest { room_id: room.to_string(), seq, ..Default::default() };
    node.api.mark_read(&alice, request).await.unwrap();
}

#[tokio::test]
async fn former_members_get_no_signals() {
    let (node, room) = TestNode::with_group().await;
    add(&node.api, &room, "carol").await;
    let (carol, _at_carol) = node.live("carol", &room).await;
    let (bob, at_bob) = node.live("bob", &room).await;
    type_and_mark(&node, &room, 3).await;
    assert_eq!((signals(&carol), signals(&bob)), (2, 2));
    // One session of bob has not reached the removal yet, another one reads the past only.
    let removed = remove(&node.api, &room, "bob").await;
    assert_eq!(at_bob.removed_at(), removed);
    let past = node.api.hub().open(&user("bob"), None);
    let _at_past = node.api.hub().subscribe(&room, &past).await.unwrap().unwrap();
    type_and_mark(&node, &room, 4).await;
    assert_eq!((signals(&carol), signals(&bob), signals(&past)), (2, 0, 0));
}

/// The removal lies in a hole that this node has delivered past; its hint arrives later.
#[tokio::test]
async fn late_removal_hint_is_applied() {
    let (node, room) = TestNode::with_group().await;
    let (bob, at_bob) = node.live("bob", &room).await;
    let other = node.other();
    for text in ["1", "2", "3"] {
        say(&other, &room, text).await;
    }
    let removed = remove(&other, &room, "bob").await;
    let head = say(&other, &room, "without bob").await;
    // As many as are read at once, plus one.
    node.api.hub().refresh(at_bob.feed()).await.unwrap();
    assert_eq!((at_bob.feed().known().unwrap().head, at_bob.removed_at()), (head, 0));

    let chunk = node.store.chunk(&room, removed).await.unwrap().unwrap();
    let stored = node.store.room(&room).await.unwrap().unwrap();
    let hint = envelope::chunk(&room, Terms::from(&stored.info), &chunk);
    receive(&node, [Notice::Payload(envelope::encode(hint))]).await;
    soon(async {
        while at_bob.removed_at() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(at_bob.removed_at(), removed);
    type_and_mark(&node, &room, head - 2).await;
    assert_eq!(signals(&bob), 0);
}

/// Both reach the room in this order, so the second one shows that the first was ignored.
#[tokio::test]
async fn commands_from_nodes_without_a_fleet_are_ignored() {
    let node = TestNode::start();
    node.store.answer_all();
    let creation = group("first");
    let (room, actor) = (creation.info.id.clone(), creation.info.created_by.clone());
    node.api.rooms().create(creation).await.unwrap();
    let head = node.store.room(&room).await.unwrap().unwrap().head().seq();
    let send = |text: &str| {
        Content::Forward(Forward {
            id: 1,
            node_id: "another".to_owned(),
            room_id: room.as_str().to_owned(),
            user_id: actor.as_str().to_owned(),
            client_message_id: text.to_owned(),
            text: text.to_owned(),
            head_seq: head,
            ..Forward::default()
        })
    };
    let unverified = Notice::Unverified(envelope::encode(send("unverified")));
    let verified = Notice::Payload(envelope::encode(send("verified")));
    receive(&node, [unverified, verified]).await;
    let chunk = soon(async {
        loop {
            if let Some(chunk) = node.store.chunk(&room, head + 1).await.unwrap() {
                return chunk;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(chunk.events().len(), 1);
    assert_eq!(chunk.events()[0].request.as_str(), "verified");
}

/// Clients trust signals as coming from the server.
#[tokio::test]
async fn signals_of_nodes_without_a_fleet_reach_nobody() {
    let (node, room) = TestNode::with_group().await;
    let bob = node.api.hub().open(&user("bob"), None);
    let profile = v1::User { user_id: "alice".to_owned(), name: "Mallory".to_owned(), ..Default::default() };
    let frame = SharedFrame::signal(v1::signal::Signal::UserUpdated(profile));
    let hint = SignalHint {
        room_ids: vec![room.to_string()],
        user_ids: vec!["bob".to_owned()],
        frame: frame.proto().clone(),
        ..SignalHint::default()
    };
    let signal = || envelope::encode(Content::Signal(hint.clone()));
    receive(&node, [Notice::Unverified(signal())]).await;
    assert_eq!(signals(&bob), 0);
    receive(&node, [Notice::Payload(signal())]).await;
    assert_eq!(signals(&bob), 1);
}

#[tokio::test(start_paused = true)]
async fn typing_that_is_repeated_too_often_is_not_passed_on() {
    let (node, room) = TestNode::with_group().await;
    let (bob, _at_bob) = node.live("bob", &room).await;
    let request = v1::SendTypingRequest { room_id: room.to_string() };
    let mut passed_on = Vec::new();
    for pause in [2, 0] {
        for _ in 0..50 {
            node.api.send_typing(&caller("alice"), request.clone()).await.unwrap();
        }
        passed_on.push(signals(&bob));
        tokio::time::advance(std::time::Duration::from_secs(pause)).await;
    }
    assert_eq!(passed_on, [5, 2]);
}
