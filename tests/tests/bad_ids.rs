//! Malformed ids, and ids of nonexistent users and rooms.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use std::collections::HashSet;

use parlance_proto::error::Failure;
use parlance_proto::v1::client_frame::Operation as Asked;
use parlance_proto::v1::{self, ClientFrame, Hello};
use parlance_tests::{OPERATIONS, Operation, Person, Server, for_each_door, fresh, refused};
use tonic::Code;

fn not_found(reason: &str) -> (Code, String) {
    (Code::NotFound, reason.to_owned())
}

fn invalid(field: &str) -> (Code, String, Vec<String>) {
    (Code::InvalidArgument, "invalid_field".to_owned(), vec![field.to_owned()])
}

fn fields<T: std::fmt::Debug>(result: Result<T, Failure>) -> (Code, String, Vec<String>) {
    let failure = result.unwrap_err();
    (failure.code, failure.reason, failure.fields.into_iter().map(|(field, _)| field).collect())
}

#[tokio::test]
async fn ids_that_are_empty_or_absurd() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    let service = server.service("service").await;
    let room = alice.group(&[]).await;
    let absurd =
        ["", &"x".repeat(65), "a b", "a/b", "a\0b", "\u{1F600}", "\u{202e}", "a\nb", "日本", "%2e%2e"];
    for_each_door(async |door| {
        let mut conversation = alice.connect(door).await;
        for id in absurd.iter().map(ToString::to_string) {
            let message = Person::message(&id, "x");
            assert_eq!(fields(conversation.call(message).await), invalid("room_id"), "{id:?}");
            let message =
                v1::SendMessageRequest { client_message_id: id.clone(), ..Person::message(&room, "x") };
            assert_eq!(fields(conversation.call(message).await), invalid("client_message_id"), "{id:?}");
            let request = v1::GetUserRequest { user_id: id.clone() };
            assert_eq!(fields(conversation.call(request).await), invalid("user_id"), "{id:?}");
            let request = v1::GetPresenceRequest { user_ids: vec!["alice".to_owned(), id.clone()] };
            assert_eq!(fields(conversation.call(request).await), invalid("user_ids"), "{id:?}");
            if !id.is_empty() {
                let request = v1::ListRoomsRequest { page_token: id.clone(), ..Default::default() };
                assert_eq!(fields(conversation.call(request).await), invalid("page_token"), "{id:?}");
                let request = v1::CreateUserRequest { user_id: id.clone(), ..Default::default() };
                assert_eq!(fields(conversation.call(request).await), invalid("user_id"), "{id:?}");
            }
        }
        let request = v1::ListUsersRequest { page_size: 201, ..Default::default() };
        let mut lists = service.connect(door).await;
        assert_eq!(fields(lists.call(request).await), invalid("page_size"));
        let message = v1::SendMessageRequest { target: None, ..Person::message("", "x") };
        assert_eq!(fields(conversation.call(message).await), invalid("target"));
        let to_self = v1::send_message_request::Target::ToUser("alice".to_owned());
        let message = v1::SendMessageRequest { target: Some(to_self), ..Person::message("", "x") };
        assert_eq!(fields(conversation.call(message).await), invalid("to_user"));

        // A correlation id that is too long is not echoed.
        let frame = ClientFrame {
            request_id: "x".repeat(65),
            operation: Some(Asked::ListRooms(v1::ListRoomsRequest::default())),
            as_user: String::new(),
        };
        conversation.send_frame(frame).await;
        assert_eq!(fields(conversation.reply("").await), invalid("request_id"));
        assert_eq!(conversation.call(v1::ListRoomsRequest::default()).await.unwrap().rooms.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn rooms_and_people_that_do_not_exist() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    for_each_door(async |door| {
        let mut conversation = alice.connect(door).await;
        for method in OPERATIONS.iter().filter(|operation| operation.has_room()) {
            // For the app alone.
            if ["RoomService/ImportMessages", "RoomService/ExportRoom"].contains(&method.method) {
                continue;
            }
            conversation.send_frame(Operation::named(method.method).frame("1", "r0000")).await;
            let answer = refused(conversation.reply("1").await);
            let is_by_link =
                ["GetInvitationLink", "JoinByLink"].iter().any(|name| method.method.ends_with(name));
            let expected = if is_by_link { "link_invalid" } else { "room_not_found" };
            assert_eq!(answer, not_found(expected), "{}", method.method);
        }
        let nobody = v1::send_message_request::Target::ToUser("nobody".to_owned());
        let message = v1::SendMessageRequest { target: Some(nobody), ..Person::message("", "x") };
        assert_eq!(refused(conversation.call(message).await), not_found("user_not_found"));
        let request = v1::CreateRoomRequest {
            kind: v1::RoomKind::Group.into(),
            member_ids: vec!["nobody".to_owned()],
            request_id: fresh("room"),
            ..Default::default()
        };
        assert_eq!(refused(conversation.call(request).await), not_found("user_not_found"));
    })
    .await;
}

#[tokio::test]
async fn invalid_hellos_are_refused() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    for_each_door(async |door| {
        let mut conversation = alice.connect_silently(door).await;
        let cursor = |room: &str| Person::cursor(room, 0);
        let many = (0..2_001).map(|number| cursor(&number.to_string())).collect();
        let bad = [
            ("a b", Vec::new(), "hello.device_id"),
            (&*"x".repeat(65), Vec::new(), "hello.device_id"),
            ("", vec![cursor("r1"), cursor("")], "hello.cursors[1].room_id"),
            ("", vec![cursor("r1"), cursor("a/b")], "hello.cursors[1].room_id"),
            ("", vec![cursor("r1"), cursor("r2"), cursor("r1")], "hello.cursors[2].room_id"),
            ("", many, "hello.cursors"),
        ];
        for (device_id, cursors, field) in bad {
            let hello = Hello { device_id: device_id.to_owned(), cursors };
            let id = conversation.send(Asked::Hello(hello)).await;
            assert_eq!(fields(conversation.reply(&id).await), invalid(field));
        }
        conversation.say_hello(&[]).await.unwrap();
    })
    .await;
}

/// Guessable request ids do not make guessable rooms: a non-member cannot even find out that one
/// exists.
#[tokio::test]
async fn ids_of_groups_and_channels_cannot_be_computed() {
    let mut seen = HashSet::new();
    for _ in 0..2 {
        let server = Server::start().await;
        let (alice, mallory) = (server.person("alice").await, server.person("mallory").await);
        let create = async |kind: v1::RoomKind, request_id: &str| {
            let (kind, request_id) = (kind.into(), request_id.to_owned());
            let request = v1::CreateRoomRequest { kind, request_id, ..Default::default() };
            let created = alice.rooms().create_room(request).await.unwrap().into_inner();
            (created.room.unwrap().room_id, created.is_repeat)
        };
        for (kind, request) in [(v1::RoomKind::Group, "1"), (v1::RoomKind::Channel, "2")] {
            let (room, is_repeat) = create(kind, request).await;
            assert!(!is_repeat && seen.insert(room.clone()), "{room} is the same on two servers");
            assert_eq!(create(kind, request).await, (room, true));
        }
        // SHA-256 of "alice" and "1", each with a length prefix.
        let room_id = "rf41aab86fe0e6f3245e32d572d2460af".to_owned();
        assert!(!seen.contains(&room_id));
        let request = v1::GetRoomRequest { room_id };
        assert_eq!(refused(mallory.rooms().get_room(request).await), not_found("room_not_found"));
    }
}
