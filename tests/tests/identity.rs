//! Every operation of the contract requires an identity, and access to its room.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use http::Method;
use parlance_proto::error::Failure;
use parlance_proto::v1::{self, RoomKind};
use parlance_tests::{Conversation, DOORS, Door, OPERATIONS, Operation, Person, RawGrpc, Server, refused};
use tonic::Code;

fn reason(code: Code, reason: &str) -> (Code, String) {
    (code, reason.to_owned())
}

#[tokio::test]
async fn without_a_token_nothing_is_done_through_any_door() {
    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let room = alice.group(&[&bob]).await;
    alice.say(&room, "hello").await;
    let log = alice.log(&room).await;
    let bearers = [
        (None, "token_missing"),
        (Some("Bearer"), "token_invalid"),
        (Some("Bearer garbage"), "token_invalid"),
        (Some("Basic YWxpY2U6"), "token_invalid"),
        (Some(&*format!("Basic {}", alice.token)), "token_invalid"),
        (Some(&*alice.token), "token_invalid"),
    ];
    for (bearer, expected) in bearers {
        let (grpc, http) = (RawGrpc::new(&server.address(), bearer), server.http());
        for operation in &OPERATIONS {
            // Local mode issues tokens to users without one; an invalid token is still
            // refused.
            let is_first = operation.method == "UserService/CreateUser" && bearer.is_none();
            // Public operations ignore the token.
            if is_first || operation.method == "ServerService/GetServer" {
                continue;
            }
            let answer = grpc.unary(&operation.grpc_path(), operation.encoded(&room)).await;
            assert_eq!(refused(answer), reason(Code::Unauthenticated, expected), "{}", operation.method);

            let (verb, path) = (operation.rest.0.clone(), operation.rest_path(&room));
            let mut call = http.call(verb.clone(), &path);
            if let Some(bearer) = bearer {
                call = call.header("authorization", bearer);
            }
            if verb == Method::POST || verb == Method::PATCH {
                call = call.json(&operation.json(&room));
            }
            assert_eq!(call.answer().await.refused(), (401, expected.to_owned()), "{verb} {path}");
        }
        let hello = futures::stream::iter([Vec::new()]);
        let stream = grpc.chat(hello).await.map(|_| ());
        assert_eq!(refused(stream), reason(Code::Unauthenticated, expected));
        let headers: Vec<_> = bearer.map(|bearer| ("authorization", bearer)).into_iter().collect();
        let handshake = parlance_tests::RawWebSocket::connect(&server.address(), &headers).await;
        assert_eq!(handshake.err(), Some((401, expected.to_owned())));
    }
    assert_eq!(alice.log(&room).await, log);
}

/// A person's view of a room, for comparison.
async fn state(person: &Person, room: &str) -> String {
    let members = v1::ListMembersRequest { room_id: room.to_owned(), ..Default::default() };
    let members = person.rooms().list_members(members).await.unwrap().into_inner();
    let inbox = person.inbox().list_inbox(v1::ListInboxRequest::default()).await.unwrap().into_inner();
    format!("{:?}\n{members:?}\n{inbox:?}", person.log(room).await)
}

/// Sends the operation as a frame of `Chat`.
async fn ask(conversation: &mut Conversation, operation: &Operation, room: &str) -> (Code, String) {
    conversation.send_frame(operation.frame(operation.method, room)).await;
    match conversation.reply(operation.method).await {
        Ok(_) => (Code::Ok, String::new()),
        Err(failure) => (failure.code, failure.reason),
    }
}

async fn room(owner: &Person, kind: RoomKind, other: &Person) -> String {
    let request = v1::CreateRoomRequest {
        kind: kind.into(),
        member_ids: vec![other.id.clone()],
        request_id: parlance_tests::fresh("room"),
        ..Default::default()
    };
    let room = owner.rooms().create_room(request).await.unwrap().into_inner().room.unwrap().room_id;
    assert_eq!(owner.say(&room, "among us").await, 4);
    room
}

#[tokio::test]
async fn in_a_room_that_is_not_ones_own_nothing_is_seen_or_done() {
    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let mallory = server.person("mallory").await;
    let grpc = RawGrpc::new(&server.address(), Some(&format!("Bearer {}", mallory.token)));
    for kind in [RoomKind::Group, RoomKind::Direct, RoomKind::Channel] {
        let room = room(&alice, kind, &bob).await;
        let before = (state(&alice, &room).await, state(&bob, &room).await);
        for operation in OPERATIONS.iter().filter(|operation| operation.has_room()) {
            let expected = match (kind, operation.method) {
                // A channel is visible and open to everyone.
                (RoomKind::Channel, "RoomService/GetRoom") => reason(Code::Ok, ""),
                (RoomKind::Channel, "RoomService/JoinRoom") => continue,
                (_, "RoomService/ImportMessages" | "RoomService/ExportRoom") => {
                    reason(Code::PermissionDenied, "needs_scope")
                }
                (RoomKind::Channel, "RoomService/RequestToJoin") => {
                    reason(Code::FailedPrecondition, "not_by_request")
                }
                // Nobody learns from guesses which rooms there are.
                (_, "RoomService/GetInvitationLink" | "RoomService/JoinByLink") => {
                    reason(Code::NotFound, "link_invalid")
                }
                // Others must not learn that two users have a direct room.
                (RoomKind::Direct, _) => reason(Code::NotFound, "room_not_found"),
                (_, "RoomService/AcceptInvitation") => reason(Code::PermissionDenied, "not_invited"),
                // Declining again has no effect.
                (_, "RoomService/DeclineInvitation" | "RoomService/WithdrawJoinRequest") => {
                    reason(Code::Ok, "")
                }
                _ => reason(Code::PermissionDenied, "not_member"),
            };
            let answer = grpc.unary(&operation.grpc_path(), operation.encoded(&room)).await;
            let answer = answer.map_or_else(
                |status| (status.code(), Failure::from_status(&status).reason),
                |_| (Code::Ok, String::new()),
            );
            assert_eq!(answer, expected, "{} of a {kind:?}", operation.method);
            for door in DOORS {
                let mut at_mallory = mallory.connect(door).await;
                let answer = ask(&mut at_mallory, operation, &room).await;
                assert_eq!(answer, expected, "{} of a {kind:?} through {door}", operation.method);
            }
        }
        assert_eq!((state(&alice, &room).await, state(&bob, &room).await), before, "of a {kind:?}");
    }
}

#[tokio::test]
async fn removed_member_keeps_what_they_saw_and_nothing_else() {
    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    server.person("mallory").await;
    let room = room(&alice, RoomKind::Group, &bob).await;
    alice.remove(&room, &bob).await;
    alice.say(&room, "after bob").await;
    let before = state(&alice, &room).await;
    for door in DOORS {
        let mut at_bob = bob.connect(door).await;
        for operation in OPERATIONS.iter().filter(|operation| operation.has_room()) {
            let answer = ask(&mut at_bob, operation, &room).await;
            let expected = match operation.method {
                "ChatService/GetMessage" | "ChatService/ListMessages" | "ChatService/ListEvents" => {
                    reason(Code::Ok, "")
                }
                // Leaving again after leaving has no effect.
                "RoomService/LeaveRoom" => reason(Code::Ok, ""),
                "RoomService/JoinRoom" => reason(Code::PermissionDenied, "not_joinable"),
                // What they saw, they may report.
                "ChatService/ReportMessage" => reason(Code::Ok, ""),
                "RoomService/AcceptInvitation" => reason(Code::PermissionDenied, "not_invited"),
                "RoomService/ImportMessages" | "RoomService/ExportRoom" => {
                    reason(Code::PermissionDenied, "needs_scope")
                }
                "RoomService/DeclineInvitation" | "RoomService/WithdrawJoinRequest" => reason(Code::Ok, ""),
                "RoomService/GetInvitationLink" | "RoomService/JoinByLink" => {
                    reason(Code::NotFound, "link_invalid")
                }
                _ => reason(Code::PermissionDenied, "not_member"),
            };
            assert_eq!(answer, expected, "{} through {door}", operation.method);
        }
        let request = v1::GetMessageRequest { room_id: room.clone(), seq: 6 };
        assert_eq!(refused(at_bob.call(request).await), reason(Code::NotFound, "message_not_found"));
    }
    assert_eq!(bob.log(&room).await.last().unwrap().seq, 5, "the removal");
    assert_eq!(state(&alice, &room).await, before);
}

#[tokio::test]
async fn a_profile_is_ones_own() {
    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let rename = |user_id: &str| v1::UpdateUserRequest {
        user_id: user_id.to_owned(),
        name: Some("Someone".to_owned()),
        request_id: parlance_tests::fresh("rename"),
        ..Default::default()
    };
    for door in DOORS {
        let mut at_bob = bob.connect(door).await;
        let denied = reason(Code::PermissionDenied, "needs_scope");
        assert_eq!(refused(at_bob.call(rename("alice")).await), denied);
        assert_eq!(refused(at_bob.call(rename("nobody")).await), denied, "nor does one learn who exists");
        assert_eq!(at_bob.call(rename("me")).await.unwrap().user.unwrap().user_id, "bob");
    }
    let mut at_alice = alice.connect(Door::Grpc).await;
    let asked = v1::GetUserRequest { user_id: "me".to_owned() };
    assert_eq!(at_alice.call(asked).await.unwrap().user.unwrap().name, "alice");
}
