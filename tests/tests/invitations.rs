//! Invitations from person to person, through every door and on more than one node.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use http::Method;
use parlance_client::transport::Door;
use parlance_proto::v1;
use parlance_proto::v1::ErasedMessages;
use parlance_proto::v1::event::Body;
use parlance_proto::v1::exported_item::Item;
use parlance_proto::v1::signal::Signal;
use parlance_tests::{Cluster, Conversation, Person, Server, for_each_door, fresh};
use serde_json::json;

use crate::app::App;
use crate::erasure::delete;
use crate::fleet::person;

fn invite(room: &str, user: &Person) -> v1::InviteMemberRequest {
    v1::InviteMemberRequest {
        room_id: room.to_owned(),
        user_id: user.id.clone(),
        request_id: fresh("invite"),
        ..Default::default()
    }
}

fn accept(room: &str) -> v1::AcceptInvitationRequest {
    v1::AcceptInvitationRequest { room_id: room.to_owned(), request_id: fresh("accept") }
}

fn decline(room: &str) -> v1::DeclineInvitationRequest {
    v1::DeclineInvitationRequest { room_id: room.to_owned(), request_id: fresh("decline") }
}

async fn invitations(at: &mut Conversation) -> Vec<v1::Invitation> {
    at.call(v1::ListInvitationsRequest::default()).await.unwrap().invitations
}

/// The users with invitations to a room.
async fn invited(at: &mut Conversation, room: &str) -> Vec<String> {
    let request = v1::ListRoomInvitationsRequest { room_id: room.to_owned(), ..Default::default() };
    let page = at.call(request).await.unwrap();
    page.invitations.into_iter().map(|invitation| invitation.user_id).collect()
}

async fn next_change(at: &mut Conversation) -> v1::InvitationChanged {
    loop {
        if let Signal::InvitationChanged(changed) = at.signal().await {
            return changed;
        }
    }
}

/// The reason for which a request is refused.
async fn refused<R: parlance_client::Request>(at: &mut Conversation, request: R) -> String
where
    R::Response: std::fmt::Debug,
{
    at.call(request).await.unwrap_err().reason
}

#[tokio::test]
async fn an_invitation_says_little_and_becomes_a_membership_when_it_is_accepted() {
    let server = Server::start().await;
    for_each_door(async |door| {
        let (alice, bob) = (server.person(&fresh("alice")).await, server.person(&fresh("bob")).await);
        let carol = server.person(&fresh("carol")).await;
        let room = alice.group(&[&bob]).await;
        alice.say(&room, "before").await;
        let (mut at_alice, mut at_bob) = (alice.connect(door).await, bob.connect(door).await);
        let mut at_carol = carol.connect(door).await;
        at_alice
            .call(v1::UpdateRoomRequest {
                room_id: room.clone(),
                title: Some("Team".to_owned()),
                request_id: fresh("title"),
                ..Default::default()
            })
            .await
            .unwrap();
        assert_eq!(refused(&mut at_bob, invite(&room, &carol)).await, "needs_role");
        at_alice.call(invite(&room, &carol)).await.unwrap();

        let told = next_change(&mut at_carol).await.invitation.unwrap();
        assert_eq!(invitations(&mut at_carol).await, std::slice::from_ref(&told));
        let kind = v1::RoomKind::Group.into();
        assert_eq!((told.title.as_str(), told.kind, told.member_count), ("Team", kind, 2));
        assert_eq!((&told.room_id, &told.user_id, &told.invited_by), (&room, &carol.id, &alice.id));
        assert!(told.until.unwrap().seconds - told.at.unwrap().seconds == 30 * 24 * 3600);
        // Nothing else until then.
        let room_id = || room.clone();
        let list = v1::ListEventsRequest { room_id: room_id(), ..Default::default() };
        assert_eq!(refused(&mut at_carol, list).await, "not_member");
        let read = v1::ListMessagesRequest { room_id: room_id(), ..Default::default() };
        assert_eq!(refused(&mut at_carol, read).await, "not_member");
        assert_eq!(refused(&mut at_carol, v1::GetRoomRequest { room_id: room_id() }).await, "not_member");
        let members = v1::ListMembersRequest { room_id: room_id(), ..Default::default() };
        assert_eq!(refused(&mut at_carol, members).await, "not_member");
        let pending = v1::ListRoomInvitationsRequest { room_id: room_id(), ..Default::default() };
        assert_eq!(refused(&mut at_carol, pending.clone()).await, "not_member");
        assert_eq!(refused(&mut at_bob, pending).await, "needs_role");
        assert_eq!(invited(&mut at_alice, &room).await, std::slice::from_ref(&carol.id));
        assert_eq!(refused(&mut at_carol, Person::message(&room, "hello")).await, "not_member");

        let join = accept(&room);
        let joined = at_carol.call(join.clone()).await.unwrap().outcome.unwrap();
        assert!(at_carol.call(join).await.unwrap().outcome.unwrap().is_repeat);
        assert_eq!(next_change(&mut at_carol).await.invitation, None);
        at_carol.call(Person::message(&room, "hello")).await.unwrap();
        assert!(invitations(&mut at_carol).await.is_empty());
        // Members see who invited whom, and that it was accepted.
        let log = bob.log(&room).await;
        let of = |seq: u64| log.iter().find(|event| event.seq == seq).unwrap();
        assert!(matches!(&of(joined.seq - 1).body, Some(Body::MemberInvited(it)) if it.user_id == carol.id));
        let is_own = of(joined.seq).actor_id == carol.id;
        assert!(matches!(&of(joined.seq).body, Some(Body::MemberAdded(added)) if added.user_id == carol.id && is_own));
    })
    .await;
}

#[tokio::test]
async fn invitations_are_declined_revoked_and_refused_by_blocks_and_bans() {
    let server = Server::start().await;
    for_each_door(async |door| {
        let (alice, bob) = (server.person(&fresh("alice")).await, server.person(&fresh("bob")).await);
        let room = alice.group(&[]).await;
        let (mut at_alice, mut at_bob) = (alice.connect(door).await, bob.connect(door).await);
        at_alice.call(invite(&room, &bob)).await.unwrap();
        at_bob.call(decline(&room)).await.unwrap();
        at_bob.call(decline(&room)).await.unwrap();
        assert_eq!(refused(&mut at_bob, accept(&room)).await, "not_invited");
        let last = alice.log(&room).await.pop().unwrap();
        assert!(matches!(&last.body, Some(Body::InvitationEnded(ended)) if ended.user_id == bob.id));
        assert_eq!(last.actor_id, bob.id);

        at_alice.call(invite(&room, &bob)).await.unwrap();
        let revoke = v1::RevokeInvitationRequest {
            room_id: room.clone(),
            user_id: bob.id.clone(),
            request_id: fresh("revoke"),
            ..Default::default()
        };
        let revoked = at_alice.call(revoke.clone()).await.unwrap().outcome.unwrap();
        let again = at_alice.call(revoke).await.unwrap().outcome.unwrap();
        assert!(again.is_repeat && again.seq == revoked.seq);
        assert_eq!(refused(&mut at_bob, accept(&room)).await, "not_invited");
        assert!(invitations(&mut at_bob).await.is_empty());

        let block = v1::BlockUserRequest { user_id: alice.id.clone(), request_id: fresh("block") };
        at_bob.call(block).await.unwrap();
        assert_eq!(refused(&mut at_alice, invite(&room, &bob)).await, "not_accepted");
        let unblock = v1::UnblockUserRequest { user_id: alice.id.clone(), request_id: fresh("unblock") };
        at_bob.call(unblock).await.unwrap();
        at_alice.call(invite(&room, &bob)).await.unwrap();
        at_bob.call(accept(&room)).await.unwrap();
        let ban = v1::BanMemberRequest {
            room_id: room.clone(),
            user_id: bob.id.clone(),
            request_id: fresh("ban"),
            ..Default::default()
        };
        at_alice.call(ban).await.unwrap();
        assert_eq!(refused(&mut at_alice, invite(&room, &bob)).await, "target_banned");
        let nobody = v1::InviteMemberRequest { user_id: "nobody".to_owned(), ..invite(&room, &bob) };
        assert_eq!(refused(&mut at_alice, nobody).await, "user_not_found");
        let long = prost_types::Duration { seconds: 31 * 24 * 3600, nanos: 0 };
        let long = v1::InviteMemberRequest { duration: Some(long), ..invite(&room, &bob) };
        assert_eq!(refused(&mut at_alice, long).await, "invalid_field");
    })
    .await;
}

#[tokio::test]
async fn invitations_over_rest_are_paged() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    let http = server.http();
    let room = alice.group(&[]).await;
    let path = format!("/v1/rooms/{room}/invitations");
    for id in ["bob", "carol", "dora"] {
        server.person(id).await;
        let call = http.call(Method::POST, &path).bearer(&alice.token);
        let answer = call.json(&json!({"userId": id, "requestId": fresh("invite")})).answer().await;
        assert_eq!(answer.status, 200);
    }
    let page = async |path: &str| http.call(Method::GET, path).bearer(&alice.token).answer().await.json();
    let first = page(&format!("{path}?pageSize=2")).await;
    let ids = |page: &serde_json::Value| {
        let invitations = page["invitations"].as_array().unwrap().iter();
        invitations.map(|invitation| invitation["userId"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let token = first["nextPageToken"].as_str().unwrap();
    assert_eq!((ids(&first), token), (vec!["bob".to_owned(), "carol".to_owned()], "carol"));
    assert_eq!(ids(&page(&format!("{path}?pageSize=2&pageToken={token}")).await), ["dora"]);
    let revoke = format!("{path}/carol?requestId={}", fresh("revoke"));
    assert_eq!(http.call(Method::DELETE, &revoke).bearer(&alice.token).answer().await.status, 200);
    assert_eq!(ids(&page(&path).await), ["bob", "dora"]);
}

#[tokio::test]
async fn invitations_cross_nodes() {
    let cluster = Cluster::start(2).await;
    let (alice, bob) = (person(&cluster, 0, "alice").await, person(&cluster, 1, "bob").await);
    let room = alice.group(&[]).await;
    let mut at_bob = bob.connect(Door::Grpc).await;
    alice.rooms().invite_member(invite(&room, &bob)).await.unwrap();
    assert_eq!(next_change(&mut at_bob).await.invitation.unwrap().invited_by, alice.id);
    let join = accept(&room);
    bob.rooms().accept_invitation(join.clone()).await.unwrap();
    // On the other node, whose own copy of the room is older.
    let other = cluster.person(0, "bob");
    let again = other.rooms().accept_invitation(join).await.unwrap().into_inner().outcome.unwrap();
    assert!(again.is_repeat);
    assert!(invitations(&mut at_bob).await.is_empty());
}

#[tokio::test]
async fn invitations_are_limited_by_a_rate() {
    let server = Server::start_with(&["--invitation-rate", "1", "--user-rate", "100000"]).await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let room = alice.group(&[]).await;
    for number in 0..1_000 {
        if let Err(status) = alice.rooms().invite_member(invite(&room, &bob)).await {
            assert_eq!(status.code(), tonic::Code::ResourceExhausted);
            assert!(number >= 80, "a burst is allowed: {number}");
            return;
        }
    }
    panic!("no limit was met");
}

#[tokio::test]
async fn a_server_that_takes_consent_invites_strangers_and_the_app_adds_anyone() {
    let app = App::start_with(&["--additions", "invite"]).await;
    let (alice, bob) = (app.alice.clone(), app.bob.clone());
    let mut at_bob = bob.connect(Door::Grpc).await;
    let request = v1::CreateRoomRequest {
        kind: v1::RoomKind::Group.into(),
        member_ids: vec![bob.id.clone()],
        request_id: fresh("room"),
        ..Default::default()
    };
    let created = alice.rooms().create_room(request.clone()).await.unwrap().into_inner();
    assert_eq!(created.invited_user_ids, std::slice::from_ref(&bob.id));
    let room = created.room.unwrap().room_id;
    assert_eq!(next_change(&mut at_bob).await.room_id, room);
    let add = |room: &str| v1::AddMembersRequest {
        room_id: room.to_owned(),
        user_ids: vec![bob.id.clone()],
        request_id: fresh("add"),
        after_seq: None,
    };
    let added = alice.rooms().add_members(add(&room)).await.unwrap().into_inner();
    assert_eq!(added.invited_user_ids, std::slice::from_ref(&bob.id));
    let added = app.backend.rooms().add_members(add(&room)).await.unwrap().into_inner();
    assert!(added.invited_user_ids.is_empty() && added.outcome.unwrap().seq > 0);
    // They share a group now.
    let second = v1::CreateRoomRequest { request_id: fresh("room"), ..request };
    let second = alice.rooms().create_room(second).await;
    assert!(second.unwrap().into_inner().invited_user_ids.is_empty());
}

#[tokio::test]
async fn whoever_is_deleted_is_no_longer_invited() {
    let app = App::start().await;
    let (alice, bob) = (app.alice.clone(), app.bob.clone());
    let room = alice.group(&[]).await;
    alice.rooms().invite_member(invite(&room, &bob)).await.unwrap();
    let mut at_app = app.backend.connect(Door::Grpc).await;
    let export = v1::ExportUserRequest { user_id: bob.id.clone(), page_token: String::new() };
    let items = at_app.call(export).await.unwrap().items.into_iter().filter_map(|item| item.item);
    let found = items.filter(|item| matches!(item, Item::Invitation(it) if it.room_id == room)).count();
    assert_eq!(found, 1);
    // Whoever is deactivated may not answer, and stays invited.
    let request = v1::DeactivateUserRequest { user_id: bob.id.clone(), request_id: fresh("off") };
    at_app.call(request).await.unwrap();
    assert!(bob.rooms().accept_invitation(accept(&room)).await.is_err());
    let mut at_alice = alice.connect(Door::Grpc).await;
    assert_eq!(invited(&mut at_alice, &room).await, std::slice::from_ref(&bob.id));
    delete(&mut at_app, &bob.id, ErasedMessages::Unspecified).await;
    assert!(invited(&mut at_alice, &room).await.is_empty());
    assert_eq!(refused(&mut at_alice, invite(&room, &bob)).await, "user_not_found");
}
