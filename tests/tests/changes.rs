//! Edits, deletions and reactions.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use parlance_proto::v1;
use parlance_proto::v1::event::Body;
use parlance_tests::{Conversation, Door, Person, Server, for_each_door, fresh, refused, text_of};
use tonic::Code;

fn message(event: &v1::Event) -> &v1::Message {
    match &event.body {
        Some(Body::Message(message)) => message,
        other => panic!("no message: {other:?}"),
    }
}

async fn edit(conversation: &mut Conversation, room: &str, seq: u64, text: &str) -> u64 {
    let (room_id, text, request_id) = (room.to_owned(), text.to_owned(), fresh("edit"));
    let request =
        v1::EditMessageRequest { room_id, seq, text, request_id, after_seq: None, ..Default::default() };
    conversation.call(request).await.unwrap().outcome.unwrap().seq
}

fn delete(room: &str, seq: u64) -> v1::DeleteMessageRequest {
    v1::DeleteMessageRequest { room_id: room.to_owned(), seq, request_id: fresh("delete"), after_seq: None }
}

fn react(room: &str, seq: u64, emoji: &str) -> v1::AddReactionRequest {
    let (room_id, emoji, request_id) = (room.to_owned(), emoji.to_owned(), fresh("react"));
    v1::AddReactionRequest { room_id, seq, emoji, request_id, after_seq: None }
}

#[tokio::test]
async fn edits_replies_and_reactions_are_events_and_show_in_history() {
    let server = Server::start().await;
    for_each_door(async |door| {
        let (alice, bob) = (server.person(&fresh("alice")).await, server.person(&fresh("bob")).await);
        let room = alice.group(&[&bob]).await;
        let seq = alice.say(&room, "helo").await;
        let (mut at_alice, mut at_bob) = (alice.connect(door).await, bob.connect(door).await);
        at_bob.events_up_to(&room, seq).await;

        let edited = edit(&mut at_alice, &room, seq, "hello").await;
        assert_eq!(
            at_bob.event().await.body,
            Some(Body::MessageEdited(v1::MessageEdited {
                target_seq: seq,
                text: "hello".to_owned(),
                ..Default::default()
            }))
        );
        at_bob.call(react(&room, seq, "👋")).await.unwrap();
        assert_eq!(
            at_bob.event().await.body,
            Some(Body::ReactionAdded(v1::ReactionAdded { target_seq: seq, emoji: "👋".to_owned() }))
        );
        at_alice.call(react(&room, seq, "👋")).await.unwrap();
        let remove = v1::RemoveReactionRequest {
            room_id: room.clone(),
            seq,
            emoji: "👋".to_owned(),
            request_id: fresh("unreact"),
            after_seq: None,
        };
        let removed = at_alice.call(remove).await.unwrap().outcome.unwrap().seq;
        let reply = v1::SendMessageRequest { reply_to_seq: seq, ..Person::message(&room, "hello you") };
        let reply = at_bob.call(reply).await.unwrap().seq;
        let events = at_bob.events_up_to(&room, reply).await;
        assert_eq!(message(events.last().unwrap()).reply_to_seq, seq);
        assert_eq!(events.last().unwrap().message_count, 2, "changes are no messages");

        let request = v1::GetMessageRequest { room_id: room.clone(), seq };
        let now = at_bob.call(request).await.unwrap().message.unwrap();
        assert_eq!(text_of(&now), "hello");
        assert!(message(&now).edited_at.is_some());
        assert_eq!(message(&now).changed_seq, removed);
        let waves = v1::Reaction { emoji: "👋".to_owned(), user_ids: vec![bob.id.clone()] };
        assert_eq!(message(&now).reactions, [waves]);
        // Catching up returns the present form too, and the edit after it.
        let mut again = alice.resume(door, &[Person::cursor(&room, seq - 1)]).await;
        assert_eq!(text_of(&again.event().await), "hello");
        assert_eq!(again.event().await.seq, edited);
    })
    .await;
}

/// The events of a room as returned to this person by every available method.
async fn everything(person: &Person, room: &str, head: u64) -> Vec<v1::Event> {
    let mut events = person.log(room).await;
    let request = v1::ListMessagesRequest { room_id: room.to_owned(), ..Default::default() };
    events.extend(person.chat().list_messages(request).await.unwrap().into_inner().messages);
    for door in parlance_tests::DOORS {
        let mut conversation = person.resume(door, &[Person::cursor(room, 0)]).await;
        events.extend(conversation.events_up_to(room, head).await);
    }
    events
}

#[tokio::test]
async fn deleted_text_never_leaves_again() {
    let mut server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let room = alice.group(&[&bob]).await;
    // An open session keeps the room's recent events in memory.
    let mut listener = bob.connect(Door::Grpc).await;
    let mut at_alice = alice.connect(Door::Grpc).await;
    let seq = alice.say(&room, "first secret").await;
    edit(&mut at_alice, &room, seq, "second secret").await;
    listener.events_up_to(&room, seq + 1).await;
    let secrets = |events: &[v1::Event]| format!("{events:?}").matches("secret").count();
    assert!(secrets(&everything(&bob, &room, seq + 1).await) > 0);

    at_alice.call(delete(&room, seq)).await.unwrap();
    let deleted = listener.events_up_to(&room, seq + 2).await.pop().unwrap();
    assert_eq!(deleted.body, Some(Body::MessageDeleted(v1::MessageDeleted { target_seq: seq })));

    assert_eq!(secrets(&everything(&bob, &room, seq + 2).await), 0, "from memory");
    let request = v1::GetMessageRequest { room_id: room.clone(), seq };
    let gone = bob.chat().get_message(request).await.unwrap().into_inner().message.unwrap();
    assert_eq!((text_of(&gone), message(&gone).deleted), ("", true));
    assert_eq!(gone.message_count, 1, "a deleted message stays counted");

    server.kill().await;
    server.start_again().await;
    let (alice, bob) = (server.person_with("alice", &alice.token), server.person_with("bob", &bob.token));
    assert_eq!(secrets(&everything(&bob, &room, seq + 2).await), 0, "from the disk");
    let again = alice.chat().delete_message(delete(&room, seq)).await.unwrap().into_inner();
    assert_eq!(again.outcome.unwrap().seq, 0, "nothing had to change");
}

#[tokio::test]
async fn permissions_of_changes() {
    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let room = alice.group(&[&bob]).await;
    let (of_alice, of_bob) = (alice.say(&room, "mine").await, bob.say(&room, "mine").await);
    for_each_door(async |door| {
        let (mut at_alice, mut at_bob) = (alice.connect(door).await, bob.connect(door).await);
        let head = alice.log(&room).await.len();
        let request = |seq| v1::EditMessageRequest {
            room_id: room.clone(),
            seq,
            text: "yours".to_owned(),
            request_id: fresh("edit"),
            after_seq: None,
            ..Default::default()
        };
        let denied = |reason: &str| (Code::PermissionDenied, reason.to_owned());
        assert_eq!(refused(at_bob.call(request(of_alice)).await), denied("not_sender"));
        assert_eq!(refused(at_alice.call(request(of_bob)).await), denied("not_sender"));
        assert_eq!(refused(at_bob.call(delete(&room, of_alice)).await), denied("needs_role"));
        let missing = (Code::NotFound, "message_not_found".to_owned());
        assert_eq!(refused(at_bob.call(react(&room, 1_000_000, "x")).await), missing);
        assert_eq!(refused(at_bob.call(request(1)).await), missing, "the room's beginning is no message");
        assert_eq!(alice.log(&room).await.len(), head);
    })
    .await;
    // The owner may delete messages of others, and deleted messages cannot be changed
    // any more.
    alice.chat().delete_message(delete(&room, of_bob)).await.unwrap();
    let gone = (Code::FailedPrecondition, "message_deleted".to_owned());
    assert_eq!(refused(alice.chat().add_reaction(react(&room, of_bob, "x")).await), gone);
}
