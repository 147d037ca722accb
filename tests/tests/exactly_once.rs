//! A request is carried out once, however often it is sent.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use futures::future::join_all;
use parlance_client::transport::Dialer;
use parlance_client::{Config, Session};
use parlance_proto::json;
use parlance_proto::v1::reply::Result as Answer;
use parlance_proto::v1::send_message_request::Target;
use parlance_proto::v1::{self, SendMessageResponse};
use parlance_tests::{DOORS, Door, Operation, Person, Server, fresh, refused, within};
use serde_json::Value;
use tonic::Code;

/// The answer to a retry: the first one, flagged as a repeat.
fn repeat(first: &SendMessageResponse) -> SendMessageResponse {
    SendMessageResponse { is_repeat: true, ..first.clone() }
}

#[tokio::test]
async fn a_retry_gets_the_first_answer_through_any_door_and_after_any_end() {
    let mut server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let room = alice.group(&[&bob]).await;
    let to_room = v1::SendMessageRequest { after_seq: Some(3), ..Person::message(&room, "to the room") };
    let target = Some(Target::ToUser(bob.id.clone()));
    let to_bob = v1::SendMessageRequest { target, ..Person::message("", "to bob") };
    let mut first = Vec::new();
    for message in [&to_room, &to_bob] {
        let sent = alice.chat().send_message(message.clone()).await.unwrap().into_inner();
        assert!(!sent.is_repeat);
        first.push(sent);
    }
    bob.say(&room, "in between").await;
    for end in ["none", "stop", "kill", "kill"] {
        match end {
            "stop" => server.stop().await,
            "kill" => server.kill().await,
            _ => {}
        }
        if end != "none" {
            server.start_again().await;
        }
        for door in DOORS {
            println!("through {door}, end: {end}");
            let mut conversation = alice.connect(door).await;
            for (message, first) in [&to_room, &to_bob].into_iter().zip(&first) {
                assert_eq!(conversation.call(message.clone()).await.unwrap(), repeat(first));
            }
        }
    }
    let alice = server.person_with("alice", &alice.token);
    assert_eq!(alice.log(&room).await.len(), 5, "created, two members, two messages");
    assert_eq!(alice.log(&first[1].room_id).await.len(), 4);
}

#[tokio::test]
async fn of_32_at_once_one_is_stored() {
    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    for round in 0..5 {
        let target = match round % 2 {
            0 => Target::RoomId(alice.group(&[&bob]).await),
            _ => Target::ToUser(server.person(&fresh("carol")).await.id),
        };
        let message = v1::SendMessageRequest { target: Some(target), ..Person::message("", "once") };
        let mut sessions = join_all((0..32).map(|number| alice.connect(DOORS[number % 3]))).await;
        let sends = sessions.iter_mut().map(|session| session.call(message.clone()));
        let mut answers: Vec<_> = join_all(sends).await.into_iter().map(Result::unwrap).collect();
        answers.sort_by_key(|answer| answer.is_repeat);
        assert!(!answers[0].is_repeat);
        for answer in &answers[1..] {
            assert_eq!(*answer, repeat(&answers[0]));
        }
        let log = alice.log(&answers[0].room_id).await;
        assert_eq!(log.iter().filter(|event| event.request_id == message.client_message_id).count(), 1);
    }
}

#[tokio::test]
async fn late_retry_is_recognised_or_has_to_catch_up_first() {
    let mut server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let room = alice.group(&[&bob]).await;
    let message = v1::SendMessageRequest { after_seq: Some(3), ..Person::message(&room, "early") };
    let first = alice.chat().send_message(message.clone()).await.unwrap().into_inner();
    let mut at_bob = bob.connect(Door::WebSocketBinary).await;
    at_bob.flood(&room, 4_000, |number| number.to_string()).await;
    // Removes it from all caches.
    server.kill().await;
    server.start_again().await;
    let retry = async |after_seq| {
        let message = v1::SendMessageRequest { after_seq, ..message.clone() };
        alice.connect(Door::Grpc).await.call(message).await
    };
    assert_eq!(retry(Some(3)).await.unwrap(), repeat(&first));
    assert_eq!(retry(None).await.unwrap(), repeat(&first));

    let mut at_bob = bob.connect(Door::WebSocketBinary).await;
    let head = at_bob.flood(&room, 200, |number| number.to_string()).await;
    let failure = retry(Some(3)).await.unwrap_err();
    assert_eq!((failure.code, failure.reason.as_str()), (Code::FailedPrecondition, "catch_up_first"));
    assert_eq!((&failure.metadata["room_id"], &failure.metadata["head_seq"]), (&room, &head.to_string()));
    let ahead = (Code::OutOfRange, "cursor_ahead".to_owned());
    assert_eq!(refused(retry(Some(head + 1)).await), ahead);

    // The client pages through the room on its own: it finds one of the
    // messages, but not the other.
    let dialer = Dialer::new(Door::Grpc, server.address());
    let (session, updates) = Session::start(Config::new(dialer, alice.token.clone()));
    drop(updates);
    let found = within("the room is paged", session.call(message.clone())).await;
    assert_eq!(found.unwrap(), repeat(&first));
    let late = v1::SendMessageRequest { client_message_id: "late".to_owned(), ..message };
    let sent = within("the room is paged", session.call(late)).await.unwrap();
    assert_eq!((sent.seq, sent.is_repeat), (head + 1, false));
}

#[tokio::test]
async fn other_changes_are_done_once_too() {
    let mut server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let room = alice.group(&[&bob]).await;
    let seq = alice.say(&room, "hello").await;
    assert_eq!(seq, 4, "the table's requests are about the message at 4");
    server.person("mallory").await;
    let mut changes = Vec::new();
    let mut conversation = alice.connect(Door::Grpc).await;
    for method in ["EditMessage", "AddReaction", "RemoveReaction", "DeleteMessage", "UpdateRoom"]
        .into_iter()
        .chain(["AddMembers", "SetRole", "RemoveMember"])
    {
        let frame = Operation::named(method).frame(method, &room);
        conversation.send_frame(frame.clone()).await;
        let first = outcome(conversation.reply(method).await.unwrap());
        assert_eq!(first["seq"], (5 + changes.len()).to_string(), "{method}: {first}");
        changes.push((method, frame, first));
    }
    let log = alice.log(&room).await;
    for end in ["none", "kill"] {
        if end == "kill" {
            server.kill().await;
            server.start_again().await;
        }
        for door in DOORS {
            let mut conversation = alice.connect(door).await;
            for (method, frame, first) in &changes {
                conversation.send_frame(frame.clone()).await;
                let mut again = outcome(conversation.reply(method).await.unwrap());
                assert_eq!(again["isRepeat"].take(), true, "{method} through {door}");
                assert_eq!(again["seq"], first["seq"], "{method} through {door}");
            }
        }
    }
    let alice = server.person_with("alice", &alice.token);
    assert_eq!(alice.log(&room).await, log);
    // Two identical requests create one room.
    let create = v1::CreateRoomRequest {
        kind: v1::RoomKind::Group.into(),
        member_ids: vec![bob.id.clone()],
        request_id: fresh("create"),
        ..Default::default()
    };
    let mut conversation = alice.connect(Door::WebSocketJson).await;
    let first = conversation.call(create.clone()).await.unwrap();
    let again = conversation.call(create).await.unwrap();
    assert_eq!((first.is_repeat, again.is_repeat, first.room), (false, true, again.room));
}

#[tokio::test]
async fn an_id_stands_for_one_thing_only() {
    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let room = alice.group(&[&bob]).await;
    let message = Person::message(&room, "hello");
    let seq = alice.chat().send_message(message.clone()).await.unwrap().into_inner().seq;
    let other = alice.say(&room, "something else").await;
    let log = alice.log(&room).await;
    let reused = (Code::AlreadyExists, "request_id_reused".to_owned());
    for door in DOORS {
        let mut at_alice = alice.connect(door).await;
        let edit = v1::EditMessageRequest {
            room_id: room.clone(),
            seq,
            text: "hello!".to_owned(),
            request_id: message.client_message_id.clone(),
            after_seq: None,
            ..Default::default()
        };
        assert_eq!(refused(at_alice.call(edit.clone()).await), reused);
        let first = v1::EditMessageRequest { request_id: "edit".to_owned(), ..edit };
        at_alice.call(first.clone()).await.unwrap();
        let elsewhere = v1::EditMessageRequest { seq: other, ..first };
        assert_eq!(refused(at_alice.call(elsewhere).await), reused);
        let send = v1::SendMessageRequest { client_message_id: "edit".to_owned(), ..message.clone() };
        assert_eq!(refused(at_alice.call(send).await), reused);
    }
    assert_eq!(alice.log(&room).await.len(), log.len() + 1, "one edit");
    // Ids are per user: bob's message with the same id is another one.
    let sent = bob.connect(Door::Grpc).await.call(message).await.unwrap();
    assert!(!sent.is_repeat && sent.seq > other);
}

/// The position of a change in its answer.
fn outcome(answer: Answer) -> Value {
    let reply = v1::Reply { request_id: String::new(), result: Some(answer) };
    let json: Value =
        serde_json::from_slice(&json::typed_to_json("parlance.v1.Reply", &reply).unwrap()).unwrap();
    let answer = json.as_object().and_then(|reply| reply.values().next());
    answer.map_or(Value::Null, |answer| answer["outcome"].clone())
}
