//! Invitations.

use std::num::NonZeroU32;
use std::sync::atomic::Ordering;

use parlance_core::{Action, Caller, Command, RequestId, RoomId};
use parlance_proto::error::Failure;
use parlance_proto::v1;
use v1::exported_item::Item;
use v1::server_frame::Frame;
use v1::signal::Signal;

use crate::gate::Admitted;
use crate::testing::{Conversation, TestNode, add, caller, remove, user, user_caller};
use crate::{Parts, PeopleLimits};

pub(super) async fn invite(node: &TestNode, by: &str, room: &str, whom: &str) -> Result<(), Failure> {
    let request = v1::InviteMemberRequest {
        room_id: room.to_owned(),
        user_id: whom.to_owned(),
        request_id: format!("invite-{whom}-{}", node.store.reads()),
        ..Default::default()
    };
    Ok(node.api.invite_member(&caller(by), request).await.map(drop)?)
}

pub(super) async fn accept(node: &TestNode, whom: &str, room: &str) -> Result<(), Failure> {
    let request =
        v1::AcceptInvitationRequest { room_id: room.to_owned(), request_id: format!("accept-{whom}") };
    Ok(node.api.accept_invitation(&caller(whom), request).await.map(drop)?)
}

async fn decline(node: &TestNode, whom: &str, room: &str) {
    let request = v1::DeclineInvitationRequest { room_id: room.to_owned(), request_id: "decline".into() };
    node.api.decline_invitation(&caller(whom), request).await.unwrap();
}

/// The ids of the rooms that `whom` is invited to, in pages of two.
pub(super) async fn rooms_of(node: &TestNode, whom: &str) -> Vec<String> {
    let (mut rooms, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = v1::ListInvitationsRequest { page_size: 2, page_token };
        let page = node.api.list_invitations(&caller(whom), request).await.unwrap();
        rooms.extend(page.invitations.into_iter().map(|invitation| invitation.room_id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return rooms;
        }
    }
}

async fn listed(node: &TestNode, whom: &str) -> usize {
    parlance_store::InvitationStore::invited_to(node.store.as_ref(), &user(whom), None, 100)
        .await
        .unwrap()
        .len()
}

pub(super) async fn group(node: &TestNode, by: &str, others: &[&str], id: &str) -> v1::CreateRoomResponse {
    let request = v1::CreateRoomRequest {
        kind: v1::RoomKind::Group.into(),
        member_ids: others.iter().map(|&other| other.to_owned()).collect(),
        request_id: id.to_owned(),
        ..Default::default()
    };
    node.api.create_room(&caller(by), request).await.unwrap()
}

/// The room of the next signal about an invitation, and whether there is one.
async fn next_signal(at: &mut Conversation) -> (String, bool) {
    loop {
        if let Frame::Signal(v1::Signal { signal: Some(Signal::InvitationChanged(changed)) }) =
            at.next().await
        {
            return (changed.room_id, changed.invitation.is_some());
        }
    }
}

#[tokio::test]
async fn sessions_of_who_is_invited_are_told_of_each_change() {
    let (node, room) = TestNode::with_group().await;
    let room = room.to_string();
    let mut at_carol = Conversation::open(&node.api, caller("carol")).await;
    invite(&node, "alice", &room, "carol").await.unwrap();
    assert_eq!(next_signal(&mut at_carol).await, (room.clone(), true));
    decline(&node, "carol", &room).await;
    assert_eq!(next_signal(&mut at_carol).await, (room.clone(), false));
    invite(&node, "alice", &room, "carol").await.unwrap();
    assert_eq!(next_signal(&mut at_carol).await, (room.clone(), true));
    let request = v1::RevokeInvitationRequest {
        room_id: room.clone(),
        user_id: "carol".into(),
        request_id: "revoke".into(),
        ..Default::default()
    };
    node.api.revoke_invitation(&caller("alice"), request).await.unwrap();
    assert_eq!(next_signal(&mut at_carol).await, (room.clone(), false));
    assert_eq!(accept(&node, "carol", &room).await.unwrap_err().reason, "not_invited");
}

#[tokio::test]
async fn lists_are_mended_when_they_are_read() {
    let (node, room) = TestNode::with_group().await;
    let mut rooms = vec![room.to_string()];
    for id in ["second", "third"] {
        rooms.push(group(&node, "alice", &[], id).await.room.unwrap().room_id);
    }
    for room in &rooms {
        invite(&node, "alice", room, "carol").await.unwrap();
    }
    let mut sorted = rooms.clone();
    sorted.sort();
    assert_eq!((rooms_of(&node, "carol").await, listed(&node, "carol").await), (sorted, 3));
    // Added by somebody else, and removed again; and a room that is deleted.
    add(&node.api, &room, "carol").await;
    remove(&node.api, &room, "carol").await;
    let delete = v1::DeleteRoomRequest {
        room_id: rooms[1].clone(),
        request_id: "delete".into(),
        ..Default::default()
    };
    node.api.delete_room(&caller("alice"), delete).await.unwrap();
    assert_eq!(listed(&node, "carol").await, 3);
    assert_eq!((rooms_of(&node, "carol").await, listed(&node, "carol").await), (rooms[2..].to_vec(), 1));
    assert_eq!(accept(&node, "carol", &rooms[0]).await.unwrap_err().reason, "not_invited");
}

#[tokio::test]
async fn a_user_has_only_so_many_invitations() {
    let (node, _) = TestNode::with_group().await;
    let mut rooms = Vec::new();
    for id in ["1", "2", "3", "4"] {
        rooms.push(group(&node, "alice", &[], id).await.room.unwrap().room_id);
    }
    for room in &rooms[..3] {
        invite(&node, "alice", room, "carol").await.unwrap();
    }
    let full = invite(&node, "alice", &rooms[3], "carol").await.unwrap_err();
    assert_eq!((full.reason.as_str(), full.metadata["user_id"].as_str()), ("too_many_invitations", "carol"));
    // One more to a room that she is invited to replaces that one; whoever may not invite learns nothing.
    invite(&node, "alice", &rooms[0], "carol").await.unwrap();
    assert_eq!(invite(&node, "bob", &rooms[3], "carol").await.unwrap_err().reason, "not_member");
    // What is over does not count.
    add(&node.api, &RoomId::parse(&rooms[1]).unwrap(), "carol").await;
    invite(&node, "alice", &rooms[3], "carol").await.unwrap();
    assert_eq!(invite(&node, "alice", &rooms[3], "nobody").await.unwrap_err().reason, "user_not_found");
}

fn backend() -> Admitted {
    Caller { is_service: true, is_admin: true, ..user_caller("backend") }.into()
}

async fn leave(node: &TestNode, who: &str, room: &str) {
    let (room_id, request_id) = (room.to_owned(), format!("leave-{room}"));
    let request = v1::LeaveRoomRequest { room_id, request_id, ..Default::default() };
    node.api.leave_room(&caller(who), request).await.unwrap();
}

async fn block(node: &TestNode, by: &str, whom: &str) {
    let request = v1::BlockUserRequest { user_id: whom.to_owned(), request_id: "block".into() };
    node.api.block_user(&caller(by), request).await.unwrap();
}

async fn made(node: &TestNode, by: &str, id: &str) -> String {
    group(node, by, &[], id).await.room.unwrap().room_id
}

/// A stranger made users uninvitable: create a group, invite them, leave it.
#[tokio::test]
async fn invitations_to_rooms_that_all_have_left_count_for_nothing() {
    let (node, _) = TestNode::with_group().await;
    for number in 0..6 {
        let room = made(&node, "alice", &number.to_string()).await;
        invite(&node, "alice", &room, "carol").await.unwrap();
        leave(&node, "alice", &room).await;
        let store: &dyn parlance_store::InvitationStore = node.store.as_ref();
        assert!(store.invitations(&RoomId::parse(&room).unwrap()).await.unwrap().is_empty());
    }
    let room = made(&node, "bob", "of-bob").await;
    invite(&node, "bob", &room, "carol").await.unwrap();
    assert_eq!(rooms_of(&node, "carol").await, [room]);
    assert_eq!(listed(&node, "carol").await, 1);
}

/// Only the app invites to a room without members.
#[tokio::test]
async fn what_nobody_is_shown_is_exported_and_erased_and_counts_for_nothing() {
    let (node, _) = TestNode::with_group().await;
    let mut hidden = Vec::new();
    for number in 0..4 {
        let room = made(&node, "alice", &number.to_string()).await;
        leave(&node, "alice", &room).await;
        let command = Command {
            actor: user("backend"),
            authority: backend().authority(),
            request: RequestId::parse("invite").unwrap(),
            after: None,
            action: Action::Invite {
                users: vec![user("carol")],
                added: Vec::new(),
                lasts: std::time::Duration::from_secs(60),
            },
        };
        let id = RoomId::parse(&room).unwrap();
        node.api.rooms().submit(&id, command).await.unwrap();
        hidden.push(id);
    }
    assert!(rooms_of(&node, "carol").await.is_empty());
    let room = made(&node, "bob", "of-bob").await;
    invite(&node, "bob", &room, "carol").await.unwrap();
    decline(&node, "carol", hidden[0].as_str()).await;

    let export = v1::ExportUserRequest { user_id: "carol".into(), page_token: String::new() };
    let items = node.api.export_user(&backend(), export).await.unwrap().items;
    let exported = items.iter().filter(|item| matches!(item.item, Some(Item::Invitation(_)))).count();
    assert_eq!(exported, 4);
    let delete = v1::DeleteUserRequest { user_id: "carol".into(), ..Default::default() };
    node.api.delete_user(&backend(), delete).await.unwrap();
    for room in hidden.iter().chain([&RoomId::parse(&room).unwrap()]) {
        let store: &dyn parlance_store::InvitationStore = node.store.as_ref();
        assert!(store.invitations(room).await.unwrap().is_empty(), "{room}");
    }
    assert_eq!(listed(&node, "carol").await, 0);
}

#[tokio::test]
async fn whoever_is_blocked_has_no_invitation_shown_or_counted() {
    let (node, room) = TestNode::with_group().await;
    for number in 0..3 {
        let room = made(&node, "alice", &number.to_string()).await;
        invite(&node, "alice", &room, "carol").await.unwrap();
    }
    assert_eq!(rooms_of(&node, "carol").await.len(), 3);
    block(&node, "carol", "alice").await;
    assert!(rooms_of(&node, "carol").await.is_empty());
    let of_bob = made(&node, "bob", "of-bob").await;
    invite(&node, "bob", &of_bob, "carol").await.unwrap();
    assert_eq!(rooms_of(&node, "carol").await, [of_bob]);
    assert_eq!(invite(&node, "alice", room.as_str(), "carol").await.unwrap_err().reason, "not_accepted");
}

#[tokio::test]
async fn invited_again_at_once_a_user_is_not_told_again() {
    let (node, room) = TestNode::with_group().await;
    let room = room.to_string();
    let mut at_carol = Conversation::open(&node.api, caller("carol")).await;
    for _ in 0..5 {
        invite(&node, "alice", &room, "carol").await.unwrap();
    }
    let other = made(&node, "alice", "other").await;
    invite(&node, "alice", &other, "carol").await.unwrap();
    assert_eq!(next_signal(&mut at_carol).await, (room, true));
    assert_eq!(next_signal(&mut at_carol).await, (other, true));
}

#[tokio::test]
async fn a_caller_who_vanishes_keeps_nobody_from_being_told() {
    let (node, room) = TestNode::with_group().await;
    let room = room.to_string();
    let mut at_carol = Conversation::open(&node.api, caller("carol")).await;
    let appends = || node.store.calls().get("append").copied().unwrap_or(0);
    let before = appends();
    let mut inviting = Box::pin(invite(&node, "alice", &room, "carol"));
    while appends() == before {
        assert!(futures::poll!(&mut inviting).is_pending());
        tokio::task::yield_now().await;
    }
    drop(inviting);
    assert_eq!(next_signal(&mut at_carol).await, (room, true));
}

#[tokio::test]
async fn an_unreadable_room_keeps_no_user_from_being_deleted() {
    let (node, room) = TestNode::with_group().await;
    invite(&node, "alice", room.as_str(), "carol").await.unwrap();
    let other = made(&node, "alice", "other").await;
    invite(&node, "alice", &other, "carol").await.unwrap();
    // It is not among the rooms that are kept in memory.
    let other_node = node.other();
    node.store.damaged.lock().unwrap().insert(room.clone());
    let export = v1::ExportUserRequest { user_id: "carol".into(), page_token: String::new() };
    let page = other_node.export_user(&backend(), export).await.unwrap();
    assert_eq!(page.unreadable_room_ids, [room.to_string()]);
    let delete = v1::DeleteUserRequest { user_id: "carol".into(), ..Default::default() };
    let page = other_node.delete_user(&backend(), delete).await.unwrap();
    assert_eq!(page.unreadable_room_ids, [room.to_string()]);
    assert_eq!(page.next_page_token, "");
    let store: &dyn parlance_store::InvitationStore = node.store.as_ref();
    assert!(store.invitations(&RoomId::parse(&other).unwrap()).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_list_that_cannot_be_mended_is_read_all_the_same() {
    let (node, room) = TestNode::with_group().await;
    invite(&node, "alice", room.as_str(), "carol").await.unwrap();
    let other = made(&node, "alice", "other").await;
    invite(&node, "alice", &other, "carol").await.unwrap();
    add(&node.api, &room, "carol").await;
    node.store.keeps_invited.store(true, Ordering::SeqCst);
    assert_eq!(rooms_of(&node, "carol").await, [other]);
    assert_eq!(listed(&node, "carol").await, 2);
}

#[tokio::test]
async fn a_refused_invitation_costs_no_permit() {
    let limits = PeopleLimits { invitations: NonZeroU32::new(1), ..PeopleLimits::NONE };
    let (node, room) = TestNode::with_group_from(|parts| Parts { limits, ..parts }).await;
    // None of them is carried out.
    for _ in 0..200 {
        assert_eq!(invite(&node, "bob", room.as_str(), "carol").await.unwrap_err().reason, "needs_role");
    }
    let of_bob = made(&node, "bob", "of-bob").await;
    let request = v1::InviteMemberRequest {
        room_id: of_bob.clone(),
        user_id: "carol".into(),
        request_id: "once".into(),
        ..Default::default()
    };
    // Nor a repeat.
    for number in 0..200 {
        let invited = node.api.invite_member(&caller("bob"), request.clone()).await.unwrap();
        assert_eq!(invited.outcome.unwrap().is_repeat, number > 0);
    }
}
