//! Invitations, and what becomes of additions that take consent.

use parlance_core::RoomId;
use parlance_proto::error::Failure;
use parlance_proto::v1;
use v1::send_message_request::Target;
use v1::server_frame::Frame;
use v1::signal::Signal;

use crate::testing::{Conversation, TestNode, add, caller, remove, user};
use crate::{Additions, Parts};

async fn invite(node: &TestNode, by: &str, room: &str, whom: &str) -> Result<(), Failure> {
    let request = v1::InviteMemberRequest {
        room_id: room.to_owned(),
        user_id: whom.to_owned(),
        request_id: format!("invite-{whom}-{}", node.store.reads()),
        ..Default::default()
    };
    Ok(node.api.invite_member(&caller(by), request).await.map(drop)?)
}

async fn accept(node: &TestNode, whom: &str, room: &str) -> Result<(), Failure> {
    let request =
        v1::AcceptInvitationRequest { room_id: room.to_owned(), request_id: format!("accept-{whom}") };
    Ok(node.api.accept_invitation(&caller(whom), request).await.map(drop)?)
}

async fn decline(node: &TestNode, whom: &str, room: &str) {
    let request = v1::DeclineInvitationRequest { room_id: room.to_owned(), request_id: "decline".into() };
    node.api.decline_invitation(&caller(whom), request).await.unwrap();
}

/// The ids of the rooms that `whom` is invited to, in pages of two.
async fn rooms_of(node: &TestNode, whom: &str) -> Vec<String> {
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

async fn group(node: &TestNode, by: &str, others: &[&str], id: &str) -> v1::CreateRoomResponse {
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

/// A node that takes consent, with a group of alice and bob, and carol and dora.
async fn consenting() -> (TestNode, String) {
    let (node, room) =
        TestNode::with_group_from(|parts| Parts { additions: Additions::Invite, ..parts }).await;
    node.api.ensure_user(&caller("dora")).await.unwrap();
    (node, room.to_string())
}

async fn adds(node: &TestNode, room: &str, users: &[&str], id: &str) -> v1::AddMembersResponse {
    let request = v1::AddMembersRequest {
        room_id: room.to_owned(),
        user_ids: users.iter().map(|&user| user.to_owned()).collect(),
        request_id: id.to_owned(),
        ..Default::default()
    };
    node.api.add_members(&caller("alice"), request).await.unwrap()
}

async fn writes(node: &TestNode, by: &str, to: &str) {
    let request = v1::SendMessageRequest {
        text: "hello".to_owned(),
        client_message_id: format!("{by}-{to}"),
        target: Some(Target::ToUser(to.to_owned())),
        ..Default::default()
    };
    node.api.send_message(&caller(by), request).await.unwrap();
}

#[tokio::test]
async fn strangers_are_invited_and_those_who_know_each_other_are_added() {
    let (node, first) = consenting().await;
    let created = group(&node, "alice", &["bob", "carol"], "second").await;
    let room = created.room.unwrap();
    assert_eq!((created.invited_user_ids.clone(), room.member_count), (vec!["carol".to_owned()], 2));
    let again = group(&node, "alice", &["bob", "carol"], "second").await;
    assert!(again.is_repeat);
    assert_eq!(again.invited_user_ids, created.invited_user_ids);
    assert_eq!(rooms_of(&node, "carol").await, std::slice::from_ref(&room.room_id));

    // A message that nobody has answered makes nobody known, an answer does.
    writes(&node, "alice", "dora").await;
    let mixed = adds(&node, &first, &["bob", "carol", "dora"], "mixed").await;
    assert_eq!(mixed.invited_user_ids, ["carol", "dora"]);
    writes(&node, "dora", "alice").await;
    let repeated = adds(&node, &first, &["bob", "carol", "dora"], "mixed").await;
    assert!(repeated.outcome.unwrap().is_repeat);
    assert_eq!(repeated.invited_user_ids, mixed.invited_user_ids, "the first answer");
    assert!(adds(&node, &room.room_id, &["dora"], "dora").await.invited_user_ids.is_empty());

    // Whoever shares a group is known; a channel, which anyone joins, is none.
    accept(&node, "carol", &first).await.unwrap();
    assert!(adds(&node, &room.room_id, &["carol"], "carol").await.invited_user_ids.is_empty());
    node.api.ensure_user(&caller("eve")).await.unwrap();
    let channel = v1::CreateRoomRequest {
        kind: v1::RoomKind::Channel.into(),
        request_id: "channel".into(),
        ..Default::default()
    };
    let channel = node.api.create_room(&caller("alice"), channel).await.unwrap().room.unwrap().room_id;
    let join = v1::JoinRoomRequest { room_id: channel, request_id: "join".into(), ..Default::default() };
    node.api.join_room(&caller("eve"), join).await.unwrap();
    assert_eq!(adds(&node, &first, &["eve"], "eve").await.invited_user_ids, ["eve"]);
}
