//! Links and requests to join.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::future::join_all;
use parlance_core::limits::{CLOCK_SKEW, JOIN_REQUEST_AGE};
use parlance_core::{Caller, Clock, Timestamp};
use parlance_proto::error::Failure;
use parlance_proto::v1;
use parlance_store::InvitationStore;
use v1::exported_item::Item;

use super::invitations::invite;
use crate::gate::Admitted;
use crate::limits::INVITED_FOR_ONE;
use crate::testing::{TestNode, add, caller, user, user_caller};
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

/// How many of carol's rooms the store has with a note.
async fn notes(node: &TestNode) -> usize {
    let all = node.store.invited_to(&user("carol"), None, 10).await.unwrap();
    all.iter().filter(|room| !room.listed.note.as_str().is_empty()).count()
}

async fn answer(node: &TestNode, by: &str, room: &str, answer: v1::JoinRequestAnswer) {
    let answer = v1::AnswerJoinRequestRequest {
        room_id: room.to_owned(),
        user_id: "carol".to_owned(),
        answer: answer.into(),
        request_id: "answer".to_owned(),
        ..Default::default()
    };
    node.api.answer_join_request(&caller(by), answer).await.unwrap();
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
    assert_eq!((own.requests, notes(&node).await), (Vec::new(), 1), "it is not shown, and still there");
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
    assert_eq!(notes(&node).await, 0);
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
    answer(&node, "alice", &other, v1::JoinRequestAnswer::Reject).await;
    ask(&node, "carol", &third, "four").await.unwrap();
}

#[tokio::test]
async fn who_approves_does_not_learn_who_exists() {
    let (node, room) = TestNode::with_group().await;
    by_request(&node, "alice", room.as_str()).await;
    let approves = async |by: &str, whom: &str| -> String {
        let request = v1::AnswerJoinRequestRequest {
            room_id: room.to_string(),
            user_id: whom.to_owned(),
            answer: v1::JoinRequestAnswer::Approve.into(),
            request_id: format!("approve-{by}-{whom}"),
            ..Default::default()
        };
        Failure::from(node.api.answer_join_request(&caller(by), request).await.unwrap_err()).reason
    };
    // A member who may not, a stranger, and the owner, of a user who does not ask and of none.
    for (by, reason) in [("bob", "needs_role"), ("carol", "not_member"), ("alice", "join_request_not_found")]
    {
        for whom in ["carol", "nobody"] {
            assert_eq!(approves(by, whom).await, reason, "{by} {whom}");
        }
    }
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

/// Each of them has counted before any is stored.
#[tokio::test]
async fn of_requests_at_once_no_more_wait_than_may() {
    let (node, _) = TestNode::with_group().await;
    let mut rooms = Vec::new();
    for id in ["one", "two", "three", "four", "five"] {
        rooms.push(group(&node, "alice", id).await);
    }
    let asked = join_all(rooms.iter().map(|room| ask(&node, "carol", room, "ask"))).await;
    assert_eq!(asked.iter().filter(|asked| asked.is_ok()).count(), 2, "{asked:?}");
    let invited = join_all(rooms.iter().map(|room| invite(&node, "alice", room, "bob"))).await;
    assert_eq!(invited.iter().filter(|invited| invited.is_ok()).count(), 3, "{invited:?}");
}

#[tokio::test]
async fn a_list_is_charged_by_its_length() {
    let limits = PeopleLimits { operations: NonZeroU32::new(1), ..PeopleLimits::NONE };
    let (node, _) = TestNode::with_group_from(|parts| Parts { limits, ..parts }).await;
    // Those that were rejected are in the list, too.
    for number in 0..2 * INVITED_FOR_ONE {
        let room = group(&node, "alice", &format!("room{number}")).await;
        ask(&node, "carol", &room, "ask").await.unwrap();
        answer(&node, "alice", &room, v1::JoinRequestAnswer::Reject).await;
    }
    let carol = caller("carol");
    let listed = node.api.list_join_requests(&carol, Default::default()).await.unwrap();
    assert_eq!(listed.requests.len(), 2 * INVITED_FOR_ONE);
    assert!(node.api.gate.check_rate(&carol).is_err(), "two operations are all that there are in a burst");
    assert!(node.api.gate.check_rate(&caller("dora")).is_ok());
}

/// An approval makes them a member without asking how many rooms they have.
#[tokio::test]
async fn requests_that_wait_count_as_rooms() {
    let limits = PeopleLimits { rooms: NonZeroU32::new(2), ..PeopleLimits::NONE };
    let (node, room) = TestNode::with_group_from(|parts| Parts { limits, ..parts }).await;
    add(&node.api, &room, "carol").await;
    let (other, third) = (group(&node, "dora", "other").await, group(&node, "erin", "third").await);
    ask(&node, "carol", &other, "one").await.unwrap();
    assert_eq!(ask(&node, "carol", &third, "two").await.unwrap_err().reason, "too_many_rooms");
    ask(&node, "carol", &other, "again").await.expect("asking again changes nothing");
    answer(&node, "dora", &other, v1::JoinRequestAnswer::Reject).await;
    ask(&node, "carol", &third, "three").await.unwrap();
}

#[tokio::test]
async fn the_note_of_who_was_approved_is_stored_no_more() {
    let (node, room) = TestNode::with_group().await;
    by_request(&node, "alice", room.as_str()).await;
    ask(&node, "carol", room.as_str(), "ask").await.unwrap();
    let request = v1::ListJoinRequestsRequest { room_id: room.to_string(), ..Default::default() };
    let listed = node.api.list_join_requests(&caller("alice"), request).await.unwrap().requests;
    assert_eq!(listed[0].note, "from the choir");
    answer(&node, "alice", room.as_str(), v1::JoinRequestAnswer::Approve).await;
    assert!(node.store.invited_to(&user("carol"), None, 10).await.unwrap().is_empty());
}

/// The room does not know it.
#[tokio::test]
async fn nobody_joins_by_a_link_of_who_is_deactivated_or_deleted() {
    let (node, room) = TestNode::with_group().await;
    let request = v1::CreateInvitationLinkRequest {
        room_id: room.to_string(),
        request_id: "link".to_owned(),
        ..Default::default()
    };
    let secret = node.api.create_invitation_link(&caller("alice"), request).await.unwrap().secret;
    let look = || v1::GetInvitationLinkRequest { room_id: room.to_string(), secret: secret.clone() };
    let join = |id: &str| v1::JoinByLinkRequest {
        room_id: room.to_string(),
        secret: secret.clone(),
        request_id: id.to_owned(),
    };
    let is_suspended = async || {
        let request = v1::ListInvitationLinksRequest { room_id: room.to_string() };
        node.api.list_invitation_links(&app(), request).await.unwrap().links[0].suspended
    };
    node.api.join_by_link(&caller("carol"), join("carol")).await.unwrap();
    assert!(!is_suspended().await);
    let deactivate =
        v1::DeactivateUserRequest { user_id: "alice".to_owned(), request_id: "deactivate".to_owned() };
    node.api.deactivate_user(&app(), deactivate).await.unwrap();
    assert!(is_suspended().await);
    let refused = node.api.get_invitation_link(&caller("dora"), look()).await.map(drop);
    assert_eq!(Failure::from(refused.unwrap_err()).reason, "link_invalid");
    let refused = node.api.join_by_link(&caller("dora"), join("dora")).await.map(drop);
    assert_eq!(Failure::from(refused.unwrap_err()).reason, "link_invalid");
    let again = node.api.join_by_link(&caller("carol"), join("carol")).await.unwrap();
    assert!(again.outcome.unwrap().is_repeat);
    node.api.join_by_link(&caller("carol"), join("more")).await.expect("a member uses nothing");
    let reactivate =
        v1::ReactivateUserRequest { user_id: "alice".to_owned(), request_id: "reactivate".to_owned() };
    node.api.reactivate_user(&app(), reactivate).await.unwrap();
    assert!(!is_suspended().await);
    node.api.join_by_link(&caller("dora"), join("dora")).await.unwrap();
}
