//! What one user, or one address, may take of a node: then a clear refusal, and nothing for others.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use parlance_proto::v1::send_message_request::Target;
use parlance_proto::v1::{self, RoomKind};
use parlance_tests::{Conversation, DOORS, Server, eventually, fresh, refused};
use tonic::Code;

const FULL: Code = Code::ResourceExhausted;

#[tokio::test]
async fn a_user_has_so_many_sessions() {
    let server = Server::start_with(&["--user-sessions", "2"]).await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    for door in DOORS {
        let address = server.address();
        let open = || Conversation::open(&address, &alice.token, door, &[]);
        // Those of the previous door end when the server notices.
        let first = eventually("there is room", async || open().await.ok()).await;
        let _second = eventually("there is room", async || open().await.ok()).await;
        let third = open().await.err().unwrap();
        assert_eq!((third.code, third.reason.as_str()), (FULL, "too_many_sessions"), "{door}");
        assert!(third.retry_after.is_some(), "{door}");
        bob.connect(door).await;
        drop(first);
        eventually("there is room again", async || open().await.ok()).await;
    }
}

#[tokio::test]
async fn sessions_of_a_user_open_at_a_rate() {
    let server = Server::start_with(&["--hello-rate", "1"]).await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let mut refusals = Vec::new();
    for _ in 0..50 {
        let opened = Conversation::open(&server.address(), &alice.token, DOORS[0], &[]).await;
        refusals.extend(opened.err().map(|failure| failure.reason));
    }
    assert!(refusals.contains(&"rate_limited".to_owned()), "{refusals:?}");
    bob.connect(DOORS[0]).await;
}

fn creation(kind: RoomKind, id: &str) -> v1::CreateRoomRequest {
    v1::CreateRoomRequest { kind: kind.into(), request_id: id.to_owned(), ..Default::default() }
}

fn direct(to: &str) -> v1::SendMessageRequest {
    v1::SendMessageRequest {
        target: Some(Target::ToUser(to.to_owned())),
        client_message_id: fresh("direct"),
        text: "hello".to_owned(),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_user_creates_and_joins_so_many_rooms() {
    let server = Server::start_with(&["--user-rooms", "2"]).await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let channel = bob.channel().await;
    let create = async |id: &str| alice.rooms().create_room(creation(RoomKind::Group, id)).await;
    let full = (FULL, "too_many_rooms".to_owned());
    let first = create("first").await.unwrap().into_inner().room.unwrap().room_id;
    alice.chat().send_message(direct("bob")).await.unwrap();
    // What is there goes on, and a repeat finds it.
    alice.chat().send_message(direct("bob")).await.unwrap();
    assert!(create("first").await.unwrap().into_inner().is_repeat);
    assert_eq!(refused(create("second").await), full);
    server.person("carol").await;
    assert_eq!(refused(alice.chat().send_message(direct("carol")).await), full);
    let join = v1::JoinRoomRequest { room_id: channel.clone(), request_id: fresh("join"), after_seq: None };
    assert_eq!(refused(alice.rooms().join_room(join.clone()).await), full);
    let leave = v1::LeaveRoomRequest { room_id: first, request_id: fresh("leave"), after_seq: None };
    // The owner leaves an empty room behind.
    alice.rooms().leave_room(leave).await.unwrap();
    alice.rooms().join_room(join).await.unwrap();
    assert_eq!(refused(create("third").await), full);
}

#[tokio::test]
async fn rooms_are_created_at_a_rate() {
    let server =
        Server::start_with(&["--new-room-rate", "1", "--user-rooms", "0", "--user-rate", "100000"]).await;
    let alice = server.person("alice").await;
    for number in 0..1_000 {
        let created = alice.rooms().create_room(creation(RoomKind::Group, &format!("room-{number}"))).await;
        if created.is_err() {
            assert_eq!(refused(created), (FULL, "rate_limited".to_owned()));
            assert!(number >= 200, "a burst is allowed: {number}");
            return;
        }
    }
    panic!("no limit was met");
}

#[tokio::test]
async fn tokens_of_an_address_with_too_many_bad_ones_are_not_examined() {
    let server = Server::start_with(&["--failed-token-rate", "1"]).await;
    let alice = server.person("alice").await;
    let mut open = alice.connect(DOORS[0]).await;
    let http = server.http();
    let status = async |token: &str| http.get("/v1/inbox").bearer(token).answer().await;
    let mut refusal = None;
    for _ in 0..200 {
        let answer = status("not.a.token").await;
        if answer.status == 429 {
            refusal = Some(answer);
            break;
        }
        assert_eq!(answer.refused(), (401, "token_invalid".to_owned()));
    }
    let refusal = refusal.expect("it is limited");
    assert_eq!(refusal.refused().1, "too_many_failed_tokens");
    assert!(refusal.headers.contains_key("retry-after"));
    for door in DOORS {
        // Kept up, so that the pause goes on.
        for _ in 0..5 {
            status("not.a.token").await;
        }
        let opened = Conversation::open(&server.address(), "not.a.token", door, &[]).await;
        assert_eq!(opened.err().unwrap().reason, "too_many_failed_tokens", "{door}");
    }
    // Who is in stays in.
    open.call(v1::ListInboxRequest::default()).await.unwrap();
    eventually("alice is let in again", async || (status(&alice.token).await.status == 200).then_some(()))
        .await;
}
