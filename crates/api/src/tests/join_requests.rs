//! Links and requests to join.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parlance_core::limits::{CLOCK_SKEW, JOIN_REQUEST_AGE};
use parlance_core::{Caller, Clock, RoomId, Timestamp};
use parlance_proto::error::Failure;
use parlance_proto::v1;
use parlance_store::InvitationStore;
use v1::exported_item::Item;

use crate::gate::Admitted;
use crate::testing::{TestNode, caller, user, user_caller};
use crate::{Parts, PeopleLimits};

/// A clock that is moved by hand.
struct Moved(AtomicU64);

impl Clock for Moved {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

fn app() -> Admitted {
    Caller { is_service: true, ..user_caller("shop") }.into()
}

/// Has the room be joined by request.
async fn by_request(node: &TestNode, owner: &str, room: &str) {
    let request = v1::UpdateRoomRequest {
        room_id: room.to_owned(),
        joining: Some(v1::RoomJoining::ByRequest.into()),
        request_id: "joining".to_owned(),
        ..Default::default()
    };
    node.api.update_room(&caller(owner), request).await.unwrap();
}

async fn group(node: &TestNode, owner: &str, id: &str) -> String {
    let request = v1::CreateRoomRequest {
        kind: v1::RoomKind::Group.into(),
        request_id: id.to_owned(),
        ..Default::default()
    };
    let room = node.api.create_room(&caller(owner), request).await.unwrap().room.unwrap().room_id;
    by_request(node, owner, &room).await;
    room
}

async fn ask(node: &TestNode, whom: &str, room: &str, id: &str) -> Result<(), Failure> {
    let (room_id, request_id) = (room.to_owned(), id.to_owned());
    let request = v1::RequestToJoinRequest { room_id, request_id, note: "from the choir".to_owned() };
    Ok(node.api.request_to_join(&caller(whom), request).await.map(drop)?)
}

/// How often the store has a note in the row of a room.
async fn notes(node: &TestNode, room: &RoomId) -> usize {
    let all = node.store.invitations(room).await.unwrap();
    all.requests().filter(|(_, request)| !request.note.as_str().is_empty()).count()
}

#[tokio::test]
async fn a_note_is_exported_and_erased_even_if_the_request_has_expired() {
    let clock = Arc::new(Moved(AtomicU64::new(1_800_000_000_000)));
    let of_node = clock.clone();
    let (node, room) = TestNode::with_group_from(|parts| Parts { clock: of_node, ..parts }).await;
    by_request(&node, "alice", room.as_str()).await;
    ask(&node, "carol", room.as_str(), "ask").await.unwrap();
    let over = (JOIN_REQUEST_AGE.as_secs() + CLOCK_SKEW) * 1_000;
    clock.0.fetch_add(over, Ordering::SeqCst);
    let own = node.api.list_join_requests(&caller("carol"), Default::default()).await.unwrap();
    assert_eq!(
        (own.requests, notes(&node, &room).await),
        (Vec::new(), 1),
        "it is not shown, and still there"
    );
    let export = v1::ExportUserRequest { user_id: "carol".to_owned(), ..Default::default() };
    let items = node.api.export_user(&app(), export).await.unwrap().items;
    let is_note =
        |item: &Item| matches!(item, Item::JoinRequest(request) if request.note == "from the choir");
    assert_eq!(items.iter().filter_map(|item| item.item.as_ref()).filter(|item| is_note(item)).count(), 1);
    let delete = v1::DeleteUserRequest {
        user_id: "carol".to_owned(),
        request_id: "delete".to_owned(),
        ..Default::default()
    };
    node.api.delete_user(&app(), delete).await.unwrap();
    assert_eq!(notes(&node, &room).await, 0);
    assert!(node.store.invited_to(&user("carol"), None, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_user_asks_to_join_few_rooms_at_once() {
    let (node, room) = TestNode::with_group().await;
    by_request(&node, "alice", room.as_str()).await;
    ask(&node, "carol", room.as_str(), "one").await.unwrap();
    let other = group(&node, "alice", "other").await;
    ask(&node, "carol", &other, "two").await.unwrap();
    let third = group(&node, "alice", "third").await;
    let refused = ask(&node, "carol", &third, "three").await.unwrap_err();
    assert_eq!(refused.reason, "too_many_join_requests");
    ask(&node, "carol", &other, "again").await.expect("asking again changes nothing");
    // One that was rejected does not wait.
    let answer = v1::AnswerJoinRequestRequest {
        room_id: other,
        user_id: "carol".to_owned(),
        answer: v1::JoinRequestAnswer::Reject.into(),
        request_id: "reject".to_owned(),
        ..Default::default()
    };
    node.api.answer_join_request(&caller("alice"), answer).await.unwrap();
    ask(&node, "carol", &third, "four").await.unwrap();
}

#[tokio::test]
async fn only_wrong_secrets_are_charged() {
    let invitations = NonZeroU32::new(1);
    let limits = PeopleLimits { invitations, ..PeopleLimits::NONE };
    let (node, room) = TestNode::with_group_from(|parts| Parts { limits, ..parts }).await;
    let request = v1::CreateInvitationLinkRequest {
        room_id: room.to_string(),
        request_id: "link".to_owned(),
        ..Default::default()
    };
    let secret = node.api.create_invitation_link(&caller("alice"), request.clone()).await.unwrap().secret;
    // A repeat costs nothing, and shows no secret.
    for _ in 0..200 {
        let again = node.api.create_invitation_link(&caller("alice"), request.clone()).await.unwrap();
        assert!(again.secret.is_empty() && again.outcome.unwrap().is_repeat);
    }
    let join = |secret: &str| v1::JoinByLinkRequest {
        room_id: room.to_string(),
        secret: secret.to_owned(),
        request_id: "join".to_owned(),
    };
    for _ in 0..200 {
        node.api.join_by_link(&caller("carol"), join(&secret)).await.unwrap();
    }
    let mut reasons = Vec::new();
    for _ in 0..200 {
        let refused = node.api.join_by_link(&caller("dora"), join("wrong")).await.map(drop);
        reasons.push(Failure::from(refused.unwrap_err()).reason);
    }
    assert!(reasons.contains(&"link_invalid".into()) && reasons.contains(&"rate_limited".into()));
}
