//! What users who are blocked learn of those who block them.

use parlance_proto::v1;
use v1::server_frame::Frame;
use v1::signal::Signal;

use super::online::next_presence;
use crate::testing::{Conversation, TestNode, caller, hello_to};

async fn block(node: &TestNode, user: &str, other: &str) {
    let request = v1::BlockUserRequest { user_id: other.to_owned(), ..Default::default() };
    node.api.block_user(&caller(user), request).await.unwrap();
}

async fn unblock(node: &TestNode, user: &str, other: &str) {
    let request = v1::UnblockUserRequest { user_id: other.to_owned(), ..Default::default() };
    node.api.unblock_user(&caller(user), request).await.unwrap();
}

/// The signals that have arrived.
fn signals(at: &mut Conversation) -> Vec<Signal> {
    let signal = |frame| match frame {
        Frame::Signal(v1::Signal { signal }) => signal,
        _ => None,
    };
    at.waiting().into_iter().filter_map(signal).collect()
}

#[tokio::test]
async fn members_of_a_group_follow_the_presence_of_those_who_do_not_block_them() {
    let (node, _) = TestNode::with_group().await;
    let mut at_bob = Conversation::open(&node.api, caller("bob")).await;
    let mut at_carol = Conversation::open(&node.api, caller("carol")).await;
    let mut at_alice = Conversation::open(&node.api, caller("alice")).await;
    assert!(next_presence(&mut at_bob).await);
    block(&node, "alice", "bob").await;
    assert!(!next_presence(&mut at_bob).await);
    let changes = |signals: Vec<Signal>| {
        signals.into_iter().filter(|signal| matches!(signal, Signal::BlockChanged(_))).count()
    };
    assert_eq!(changes(signals(&mut at_alice)), 1);
    // Again: nothing changes, and nobody is told.
    block(&node, "alice", "bob").await;
    unblock(&node, "alice", "carol").await;
    assert_eq!((signals(&mut at_alice), signals(&mut at_bob)), (Vec::new(), Vec::new()));
    unblock(&node, "alice", "bob").await;
    assert!(next_presence(&mut at_bob).await);
    assert_eq!(changes(signals(&mut at_alice)), 1);
    // With whom alice shares no room.
    block(&node, "alice", "carol").await;
    assert_eq!(signals(&mut at_carol), Vec::new());
}

#[tokio::test]
async fn typing_and_receipts_stay_within_a_direct_room_without_blocks() {
    let (node, _) = TestNode::with_group().await;
    let sent = node.api.send_message(&caller("bob"), hello_to("alice", "hello")).await.unwrap();
    let (room_id, seq) = (sent.room_id, sent.seq);
    let mut at_bob = Conversation::open(&node.api, caller("bob")).await;
    let mut at_alice = Conversation::open(&node.api, caller("alice")).await;
    for at in [&mut at_bob, &mut at_alice] {
        at.catch_up().await;
    }
    let types = async |id: &str| {
        let request = v1::SendTypingRequest { room_id: room_id.clone() };
        node.api.send_typing(&caller(id), request).await.unwrap();
    };
    let is_of_room = |signal: &Signal| matches!(signal, Signal::Typing(_) | Signal::Receipt(_));
    let receipts = async |id: &str| {
        let request = v1::ListReceiptsRequest { room_id: room_id.clone(), ..Default::default() };
        node.api.list_receipts(&caller(id), request).await.unwrap().receipts.len()
    };
    types("alice").await;
    assert!(signals(&mut at_bob).iter().any(is_of_room));
    block(&node, "alice", "bob").await;
    signals(&mut at_alice);
    for id in ["alice", "bob"] {
        types(id).await;
        let seq = if id == "alice" { seq } else { seq - 1 };
        let read = v1::MarkReadRequest { room_id: room_id.clone(), seq, ..Default::default() };
        node.api.mark_read(&caller(id), read).await.unwrap();
        assert_eq!(receipts(id).await, 1, "one's own");
    }
    // Their own devices learn what they have read.
    for (at, id) in [(&mut at_alice, "alice"), (&mut at_bob, "bob")] {
        let of_room: Vec<Signal> = signals(at).into_iter().filter(is_of_room).collect();
        let is_own = |signal: &Signal| matches!(signal, Signal::Receipt(read) if read.user_id == id);
        assert!(of_room.iter().all(is_own), "{id}: {of_room:?}");
    }
    unblock(&node, "alice", "bob").await;
    types("alice").await;
    assert!(signals(&mut at_bob).iter().any(is_of_room));
    assert_eq!(receipts("bob").await, 2);
}
