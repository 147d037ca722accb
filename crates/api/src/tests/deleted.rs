//! What is left of a deleted room for its members: nothing that they have to put up with.

use std::num::NonZeroU32;

use parlance_core::{Refusal, RoomId};
use parlance_proto::v1;
use v1::server_frame::Frame;
use v1::signal::Signal;

use crate::testing::{Conversation, TestNode, caller, say};
use crate::{Error, Parts, PeopleLimits};

fn creation(id: &str, members: &[&str]) -> v1::CreateRoomRequest {
    v1::CreateRoomRequest {
        kind: v1::RoomKind::Group.into(),
        member_ids: members.iter().map(ToString::to_string).collect(),
        request_id: id.to_owned(),
        ..Default::default()
    }
}

async fn delete(node: &TestNode, owner: &str, room_id: &str) {
    let (room_id, request_id) = (room_id.to_owned(), "delete".to_owned());
    let request = v1::DeleteRoomRequest { room_id, request_id, ..Default::default() };
    node.api.delete_room(&caller(owner), request).await.unwrap();
}

fn received(room: &RoomId, seq: u64) -> v1::AcknowledgeDeliveryRequest {
    v1::AcknowledgeDeliveryRequest { room_id: room.to_string(), seq, ..Default::default() }
}

/// Anyone may add a user to groups and delete those.
#[tokio::test]
async fn deleted_rooms_do_not_use_up_the_rooms_of_a_user() {
    let limits = PeopleLimits { rooms: NonZeroU32::new(3), ..PeopleLimits::NONE };
    let (node, _) = TestNode::with_group_from(|parts| Parts { limits, ..parts }).await;
    for number in 0..5 {
        // With another's name: the limit is theirs, too.
        let owner = if number < 2 { "alice" } else { "carol" };
        let created = node.api.create_room(&caller(owner), creation(&format!("{number}"), &["bob"])).await;
        delete(&node, owner, &created.unwrap().room.unwrap().room_id).await;
    }
    for number in 0..2 {
        node.api.create_room(&caller("bob"), creation(&format!("own{number}"), &[])).await.unwrap();
    }
    let refused = node.api.create_room(&caller("bob"), creation("own2", &[])).await;
    assert_eq!(refused.unwrap_err(), Error::TooManyRooms(3));
}

#[tokio::test]
async fn end_of_a_deleted_room_is_acknowledged_and_then_delivered_no_more() {
    let (node, room) = TestNode::with_group().await;
    let said = say(&node.api, &room, "hello").await;
    delete(&node, "alice", room.as_str()).await;
    let end = said + 1;
    let mut at_alice = Conversation::open(&node.api, caller("alice")).await;
    at_alice.catch_up().await;
    at_alice.waiting();
    let mut at_bob = Conversation::open(&node.api, caller("bob")).await;
    assert_eq!(at_bob.heads().iter().map(|head| head.seq).collect::<Vec<_>>(), [end]);
    at_bob.catch_up().await;

    let refused = node.api.acknowledge_delivery(&caller("bob"), received(&room, end + 1)).await;
    let refusal = Refusal::SeqAhead { seq: end + 1, head: end };
    assert_eq!(refused.unwrap_err(), Error::Refused { room: room.clone(), refusal });
    let refused = node.api.acknowledge_delivery(&caller("carol"), received(&room, end)).await;
    let refusal = Refusal::NotMember;
    assert_eq!(refused.unwrap_err(), Error::Refused { room: room.clone(), refusal });
    // On the node that knows the room, and on one that does not.
    for api in [node.other(), node.api.clone()] {
        let stored = api.acknowledge_delivery(&caller("bob"), received(&room, end)).await.unwrap();
        assert_eq!(stored.delivered_seq, end);
        let hide = v1::SetRoomHiddenRequest { room_id: room.to_string(), hidden: true, ..Default::default() };
        api.set_room_hidden(&caller("bob"), hide).await.unwrap();
    }
    let frames = at_alice.waiting();
    let is_receipt =
        |frame: &Frame| matches!(frame, Frame::Signal(v1::Signal { signal: Some(Signal::Receipt(_)) }));
    assert!(!frames.iter().any(is_receipt), "{frames:?}");
    for api in [node.other(), node.api.clone()] {
        let mut again = Conversation::open(&api, caller("bob")).await;
        assert_eq!(again.heads(), []);
        let frames = again.waiting();
        assert!(!frames.iter().any(|frame| matches!(frame, Frame::Gap(_) | Frame::Event(_))), "{frames:?}");
    }
}

/// A user's presence is signalled to a number of their rooms: deleted ones are none of them.
#[tokio::test]
async fn members_of_a_deleted_room_get_no_presence_signals() {
    let node = TestNode::start();
    node.store.answer_all();
    for id in ["alice", "bob", "carol", "dora"] {
        node.api.ensure_user(&caller(id)).await.unwrap();
    }
    let create = async |owner: &str| {
        let created = node.api.create_room(&caller(owner), creation("shared", &["bob"])).await.unwrap();
        created.room.unwrap().room_id
    };
    create("alice").await;
    let (gone, going) = (create("carol").await, create("dora").await);
    delete(&node, "carol", &gone).await;
    let mut at_alice = Conversation::open(&node.api, caller("alice")).await;
    let mut at_carol = Conversation::open(&node.api, caller("carol")).await;
    at_carol.catch_up().await;
    let mut at_dora = Conversation::open(&node.api, caller("dora")).await;
    let at_bob = Conversation::open(&node.api, caller("bob")).await;
    assert!(super::online::next_presence(&mut at_alice).await);
    let is_signal = |frame: &Frame| matches!(frame, Frame::Signal(_));
    let frames = at_carol.waiting();
    assert!(!frames.iter().any(is_signal), "{frames:?}");
    // The other one is deleted during bob's session.
    assert!(super::online::next_presence(&mut at_dora).await);
    delete(&node, "dora", &going).await;
    drop(at_bob);
    assert!(!super::online::next_presence(&mut at_alice).await);
    for at in [&mut at_carol, &mut at_dora] {
        assert!(!at.waiting().iter().any(is_signal));
    }
}
