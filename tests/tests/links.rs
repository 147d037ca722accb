//! Links by which users join, through every door and on more than one node.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use futures::future::join_all;
use http::Method;
use parlance_client::transport::Door;
use parlance_proto::v1;
use parlance_proto::v1::event::Body;
use parlance_tests::{Cluster, Conversation, Person, Server, for_each_door, fresh};
use serde_json::json;

use crate::app::App;
use crate::fleet::person;

fn make(room: &str, max_uses: u32) -> v1::CreateInvitationLinkRequest {
    v1::CreateInvitationLinkRequest {
        room_id: room.to_owned(),
        request_id: fresh("link"),
        max_uses,
        ..Default::default()
    }
}

fn join(room: &str, secret: &str) -> v1::JoinByLinkRequest {
    v1::JoinByLinkRequest { room_id: room.to_owned(), secret: secret.to_owned(), request_id: fresh("join") }
}

fn look(room: &str, secret: &str) -> v1::GetInvitationLinkRequest {
    v1::GetInvitationLinkRequest { room_id: room.to_owned(), secret: secret.to_owned() }
}

fn revoke(room: &str, link_seq: u64) -> v1::RevokeInvitationLinkRequest {
    let (room_id, request_id) = (room.to_owned(), fresh("revoke"));
    v1::RevokeInvitationLinkRequest { room_id, link_seq, request_id, ..Default::default() }
}

fn role(room: &str, user: &Person, role: v1::Role) -> v1::SetRoleRequest {
    v1::SetRoleRequest {
        room_id: room.to_owned(),
        user_id: user.id.clone(),
        role: role.into(),
        request_id: fresh("role"),
        ..Default::default()
    }
}

async fn links(at: &mut Conversation, room: &str) -> Vec<v1::InvitationLink> {
    let request = v1::ListInvitationLinksRequest { room_id: room.to_owned() };
    at.call(request).await.unwrap().links
}

async fn refused<R: parlance_client::Request>(at: &mut Conversation, request: R) -> String
where
    R::Response: std::fmt::Debug,
{
    at.call(request).await.unwrap_err().reason
}

#[tokio::test]
async fn whoever_has_the_secret_sees_where_it_leads_and_joins() {
    let server = Server::start().await;
    for_each_door(async |door| {
        let (alice, bob) = (server.person(&fresh("alice")).await, server.person(&fresh("bob")).await);
        let carol = server.person(&fresh("carol")).await;
        let room = alice.group(&[]).await;
        let (mut at_alice, mut at_bob) = (alice.connect(door).await, bob.connect(door).await);
        let mut at_carol = carol.connect(door).await;
        let title = v1::UpdateRoomRequest {
            room_id: room.clone(),
            title: Some("Team".to_owned()),
            request_id: fresh("title"),
            ..Default::default()
        };
        at_alice.call(title).await.unwrap();
        let request = make(&room, 1);
        let made = at_alice.call(request.clone()).await.unwrap();
        let (link, secret) = (made.link.unwrap(), made.secret);
        assert_eq!((secret.len(), link.link_seq), (32, made.outcome.unwrap().seq));
        let again = at_alice.call(request).await.unwrap();
        assert!(again.outcome.unwrap().is_repeat && again.secret.is_empty());
        assert_eq!(again.link, Some(link.clone()));
        let other = at_alice.call(make(&room, 0)).await.unwrap();
        assert_ne!(other.secret, secret);

        let seen = at_bob.call(look(&room, &secret)).await.unwrap();
        assert_eq!((seen.title.as_str(), seen.member_count, seen.kind()), ("Team", 1, v1::RoomKind::Group));
        assert_eq!(seen.until, link.until);
        // Guesses, and rooms that are not there, are answered alike.
        for (room, secret) in [(&room, &"0".repeat(32)), (&"r0000".to_owned(), &secret)] {
            assert_eq!(refused(&mut at_bob, look(room, secret)).await, "link_invalid");
            assert_eq!(refused(&mut at_bob, join(room, secret)).await, "link_invalid");
        }
        assert_eq!(refused(&mut at_bob, look(&room, "")).await, "invalid_field");
        assert_eq!(refused(&mut at_bob, v1::GetRoomRequest { room_id: room.clone() }).await, "not_member");

        let joins = join(&room, &secret);
        let joined = at_bob.call(joins.clone()).await.unwrap().outcome.unwrap();
        assert!(at_bob.call(joins).await.unwrap().outcome.unwrap().is_repeat);
        assert_eq!(refused(&mut at_carol, join(&room, &secret)).await, "link_invalid", "it is used up");
        assert_eq!(refused(&mut at_carol, look(&room, &secret)).await, "link_invalid");
        let log = bob.log(&room).await;
        let event = log.iter().find(|event| event.seq == joined.seq).unwrap();
        let by_link = |added: &v1::MemberAdded| added.user_id == bob.id && added.link_seq == link.link_seq;
        assert!(matches!(&event.body, Some(Body::MemberAdded(added)) if by_link(added)));
        assert!(!format!("{:?}", alice.log(&room).await).contains(&secret), "no event has the secret");

        let open = links(&mut at_alice, &room).await;
        assert_eq!(open, [other.link.clone().unwrap()]);
        let of_room = v1::ListInvitationLinksRequest { room_id: room.clone() };
        assert_eq!(refused(&mut at_bob, of_room).await, "needs_role");
        assert_eq!(refused(&mut at_bob, revoke(&room, open[0].link_seq)).await, "needs_role");
        at_alice.call(revoke(&room, open[0].link_seq)).await.unwrap();
        assert_eq!(refused(&mut at_carol, join(&room, &other.secret)).await, "link_invalid");
        assert!(links(&mut at_alice, &room).await.is_empty());
        let long = prost_types::Duration { seconds: 31 * 24 * 3600, nanos: 0 };
        let long = v1::CreateInvitationLinkRequest { duration: Some(long), ..make(&room, 0) };
        assert_eq!(refused(&mut at_alice, long).await, "invalid_field");
        assert_eq!(refused(&mut at_alice, make(&room, 100_001)).await, "invalid_field");
    })
    .await;
}

#[tokio::test]
async fn banned_and_removed_users_stay_out() {
    let server = Server::start().await;
    let (alice, bob, carol) =
        (server.person("alice").await, server.person("bob").await, server.person("carol").await);
    let room = alice.group(&[&bob, &carol]).await;
    let secret = alice.rooms().create_invitation_link(make(&room, 0)).await.unwrap().into_inner().secret;
    alice.remove(&room, &bob).await;
    let ban = v1::BanMemberRequest {
        room_id: room.clone(),
        user_id: carol.id.clone(),
        request_id: fresh("ban"),
        ..Default::default()
    };
    alice.rooms().ban_member(ban).await.unwrap();
    let mut at_bob = bob.connect(Door::Grpc).await;
    assert_eq!(refused(&mut at_bob, join(&room, &secret)).await, "removed");
    let mut at_carol = carol.connect(Door::WebSocketJson).await;
    assert_eq!(refused(&mut at_carol, join(&room, &secret)).await, "banned");
}

#[tokio::test]
async fn links_over_rest() {
    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let room = alice.group(&[]).await;
    let http = server.http();
    let post = async |who: &Person, path: &str, body: serde_json::Value| {
        let call = http.call(Method::POST, &format!("/v1/rooms/{room}/{path}")).bearer(&who.token);
        call.json(&body).answer().await
    };
    let made = post(&alice, "links", json!({"requestId": fresh("link"), "maxUses": 5})).await.json();
    let secret = made["secret"].as_str().unwrap();
    let seen = post(&bob, "link/preview", json!({"secret": secret})).await.json();
    assert_eq!(seen["memberCount"], "1");
    let joined = post(&bob, "link/join", json!({"secret": secret, "requestId": fresh("join")})).await;
    assert_eq!(joined.status, 200);
    let listed = http.get(&format!("/v1/rooms/{room}/links")).bearer(&alice.token).answer().await.json();
    assert_eq!(listed["links"][0]["uses"], 1);
    assert!(!listed.to_string().contains(secret));
    let link = made["link"]["linkSeq"].as_str().unwrap();
    let revoke = format!("/v1/rooms/{room}/links/{link}?requestId={}", fresh("revoke"));
    assert_eq!(http.call(Method::DELETE, &revoke).bearer(&alice.token).answer().await.status, 200);
    let wrong = post(&bob, "link/preview", json!({"secret": secret})).await;
    assert_eq!(wrong.refused().1, "link_invalid");
}

#[tokio::test]
async fn of_many_who_come_at_once_on_two_nodes_as_many_join_as_may() {
    let cluster = Cluster::start(2).await;
    let alice = person(&cluster, 0, "alice").await;
    let room = alice.group(&[]).await;
    let secret = alice.rooms().create_invitation_link(make(&room, 5)).await.unwrap().into_inner().secret;
    let mut people = Vec::new();
    for number in 0..20 {
        people.push(person(&cluster, number % 2, &format!("guest{number}")).await);
    }
    let joins = people.iter().map(|guest| {
        let request = join(&room, &secret);
        async move { guest.rooms().join_by_link(request).await.map(drop) }
    });
    let ended = join_all(joins).await;
    assert_eq!(ended.iter().filter(|ended| ended.is_ok()).count(), 5, "{ended:?}");
    let members = v1::ListMembersRequest { room_id: room.clone(), ..Default::default() };
    assert_eq!(alice.rooms().list_members(members).await.unwrap().into_inner().members.len(), 6);
    for status in ended.into_iter().filter_map(Result::err) {
        assert_eq!(status.code(), tonic::Code::NotFound, "the others are told that it is used up: {status}");
    }
}

#[tokio::test]
async fn a_retry_on_another_node_uses_a_link_once() {
    let cluster = Cluster::start(2).await;
    let (alice, bob) = (person(&cluster, 0, "alice").await, person(&cluster, 0, "bob").await);
    let room = alice.group(&[]).await;
    let secret = alice.rooms().create_invitation_link(make(&room, 2)).await.unwrap().into_inner().secret;
    let mut at_alice = alice.connect(Door::Grpc).await;
    let joins = join(&room, &secret);
    let joined = bob.rooms().join_by_link(joins.clone()).await.unwrap().into_inner().outcome.unwrap();
    // The answer was lost.
    let bob = cluster.person(1, "bob");
    let again = bob.rooms().join_by_link(joins).await.unwrap().into_inner().outcome.unwrap();
    assert_eq!((again.is_repeat, again.seq), (true, joined.seq));
    let other = bob.rooms().join_by_link(join(&room, &secret)).await.unwrap().into_inner().outcome.unwrap();
    assert_eq!(other.seq, 0, "a member uses nothing");
    assert_eq!(links(&mut at_alice, &room).await[0].uses, 1);
}

#[tokio::test]
async fn a_link_is_worth_what_its_maker_may_do() {
    let app = App::start().await;
    let (alice, bob, carol) = (app.alice.clone(), app.bob.clone(), app.person("carol"));
    let room = alice.group(&[&bob]).await;
    let mut at_carol = carol.connect(Door::Grpc).await;
    let mut at_alice = alice.connect(Door::WebSocketJson).await;
    at_alice.call(role(&room, &bob, v1::Role::Admin)).await.unwrap();
    let secret = bob.rooms().create_invitation_link(make(&room, 0)).await.unwrap().into_inner().secret;
    at_carol.call(look(&room, &secret)).await.unwrap();
    at_alice.call(role(&room, &bob, v1::Role::Member)).await.unwrap();
    assert_eq!(refused(&mut at_carol, look(&room, &secret)).await, "link_invalid");
    assert_eq!(refused(&mut at_carol, join(&room, &secret)).await, "link_invalid");
    assert!(links(&mut at_alice, &room).await[0].suspended);
    at_alice.call(role(&room, &bob, v1::Role::Admin)).await.unwrap();
    at_carol.call(look(&room, &secret)).await.unwrap();
    assert!(!links(&mut at_alice, &room).await[0].suspended);
    // Deleted users have left.
    let mut at_app = app.backend.connect(Door::Grpc).await;
    let delete =
        v1::DeleteUserRequest { user_id: bob.id.clone(), request_id: fresh("delete"), ..Default::default() };
    at_app.call(delete).await.unwrap();
    assert_eq!(refused(&mut at_carol, join(&room, &secret)).await, "link_invalid");
    // The app's own links work in any case.
    let of_app = at_app.call(make(&room, 0)).await.unwrap();
    assert!(!links(&mut at_alice, &room).await[1].suspended);
    at_carol.call(join(&room, &of_app.secret)).await.unwrap();
}

#[tokio::test]
async fn nobody_joins_a_room_that_is_archived_or_deleted() {
    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let room = alice.group(&[]).await;
    let mut at_bob = bob.connect(Door::Grpc).await;
    let secret = alice.rooms().create_invitation_link(make(&room, 0)).await.unwrap().into_inner().secret;
    let archive = |archived| v1::UpdateRoomRequest {
        room_id: room.clone(),
        archived: Some(archived),
        request_id: fresh("archive"),
        ..Default::default()
    };
    alice.rooms().update_room(archive(true)).await.unwrap();
    assert_eq!(refused(&mut at_bob, join(&room, &secret)).await, "room_archived");
    assert_eq!(refused(&mut at_bob, join(&room, "wrong")).await, "link_invalid", "guesses say nothing");
    let mut at_alice = alice.connect(Door::Grpc).await;
    assert_eq!(refused(&mut at_alice, make(&room, 0)).await, "room_archived");
    alice.rooms().update_room(archive(false)).await.unwrap();
    at_bob.call(look(&room, &secret)).await.unwrap();
    let delete =
        v1::DeleteRoomRequest { room_id: room.clone(), request_id: fresh("delete"), ..Default::default() };
    alice.rooms().delete_room(delete).await.unwrap();
    assert_eq!(refused(&mut at_bob, look(&room, &secret)).await, "link_invalid");
    assert_eq!(refused(&mut at_bob, join(&room, &secret)).await, "link_invalid");
}

#[tokio::test]
async fn guesses_are_limited_by_a_rate() {
    let server = Server::start_with(&["--invitation-rate", "1", "--user-rate", "100000"]).await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let room = alice.group(&[]).await;
    let secret = alice.rooms().create_invitation_link(make(&room, 0)).await.unwrap().into_inner().secret;
    for _ in 0..200 {
        bob.rooms().get_invitation_link(look(&room, &secret)).await.expect("who is right is not charged");
    }
    for number in 0..1_000 {
        let secret = format!("{number:032x}");
        let status = bob.rooms().get_invitation_link(look(&room, &secret)).await.unwrap_err();
        if status.code() == tonic::Code::ResourceExhausted {
            let status = bob.rooms().join_by_link(join(&room, &secret)).await.unwrap_err();
            assert_eq!(status.code(), tonic::Code::ResourceExhausted);
            return;
        }
        assert_eq!(status.code(), tonic::Code::NotFound);
    }
    panic!("no limit was met");
}

#[tokio::test]
async fn joining_by_a_link_counts_against_the_rooms_of_a_user() {
    let server = Server::start_with(&["--user-rooms", "1"]).await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let room = alice.group(&[]).await;
    let secret = alice.rooms().create_invitation_link(make(&room, 0)).await.unwrap().into_inner().secret;
    bob.group(&[]).await;
    let mut at_bob = bob.connect(Door::Grpc).await;
    assert_eq!(refused(&mut at_bob, join(&room, &secret)).await, "too_many_rooms");
}
