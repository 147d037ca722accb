//! History of an earlier system that comes into rooms, and rooms that are exported.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use http::Method;
use parlance_proto::error::Failure;
use parlance_proto::v1;
use parlance_proto::v1::event::Body;
use parlance_proto::v1::exported_room_item::Item;
use parlance_tests::{Conversation, DOORS, Person, fresh, now, text_of};
use prost_types::Timestamp;
use serde_json::json;

use crate::app::App;

const DATE: Timestamp = Timestamp { seconds: 1_500_000_000, nanos: 0 };

fn message(sender: &str, id: &str, text: &str) -> v1::ImportedMessage {
    v1::ImportedMessage {
        sender_id: sender.to_owned(),
        client_message_id: id.to_owned(),
        sent_at: Some(DATE),
        text: text.to_owned(),
        ..Default::default()
    }
}

fn request(room: &str, first_number: u64, messages: Vec<v1::ImportedMessage>) -> v1::ImportMessagesRequest {
    v1::ImportMessagesRequest { room_id: room.to_owned(), first_number, messages }
}

async fn import(
    at: &mut Conversation,
    request: v1::ImportMessagesRequest,
) -> Result<v1::ImportMessagesResponse, Failure> {
    at.call(request).await
}

async fn texts(at: &Person, room: &str) -> Vec<(String, String)> {
    let log = at.log(room).await;
    let messages = log.iter().filter(|event| matches!(event.body, Some(Body::Message(_))));
    messages.map(|event| (event.actor_id.clone(), text_of(event).to_owned())).collect()
}

#[tokio::test]
async fn messages_are_imported_once_through_every_door() {
    let app = App::start().await;
    for door in DOORS {
        let room = app.alice.group(&[&app.bob]).await;
        let mut at = app.backend.connect(door).await;
        let mut alice = app.alice.connect(door).await;
        let first = vec![message("alice", "a", "hello"), message("bob", "b", "hi")];
        let done = import(&mut at, request(&room, 1, first.clone())).await.unwrap();
        assert_eq!((done.imported, done.seqs.len()), (2, 2), "{door:?}");
        let again = import(&mut at, request(&room, 1, first)).await.unwrap();
        assert_eq!((again.imported, again.seqs), (2, vec![0, 0]), "{door:?}");
        let reply = v1::ImportedMessage { reply_to_seq: done.seqs[1], ..message("alice", "c", "well") };
        let part = import(&mut at, request(&room, 2, vec![message("bob", "b", "hi"), reply])).await.unwrap();
        assert_eq!((part.imported, part.seqs[0]), (3, 0), "{door:?}");
        // Members get them as they come, with both times.
        let events = alice.events_up_to(&room, part.seqs[1]).await;
        let last = events.last().unwrap();
        let Some(Body::Message(shown)) = &last.body else { panic!("{last:?}") };
        assert_eq!((shown.sent_at, shown.reply_to_seq), (Some(DATE), done.seqs[1]), "{door:?}");
        assert_eq!((last.service_id.as_str(), last.request_id.as_str()), ("backend", "c"), "{door:?}");
        assert!(last.at.unwrap().seconds >= i64::try_from(now()).unwrap() - 3600, "{door:?}");
        let gap = import(&mut at, request(&room, 9, vec![message("bob", "z", "later")])).await.unwrap_err();
        assert_eq!(
            (gap.reason.as_str(), gap.metadata.get("imported").map(String::as_str)),
            ("import_gap", Some("3"))
        );
        // Without messages it says how many there are.
        assert_eq!(import(&mut at, request(&room, 0, Vec::new())).await.unwrap().imported, 3, "{door:?}");
        let expected = [("alice", "hello"), ("bob", "hi"), ("alice", "well")];
        assert_eq!(
            texts(&app.alice, &room).await,
            expected.map(|(sender, text)| (sender.to_owned(), text.to_owned()))
        );
    }
}

#[tokio::test]
async fn a_long_history_goes_in_and_out_whole() {
    let mut app = App::start().await;
    let room = app.alice.group(&[&app.bob]).await;
    let mut at = app.backend.connect(DOORS[0]).await;
    let text = |number: u64| format!("message {number} {}", "x".repeat((number % 300) as usize));
    let batch =
        |from: u64| (from..from + 300).map(|n| message("bob", &format!("old{n}"), &text(n))).collect();
    import(&mut at, request(&room, 1, batch(1))).await.unwrap();
    // Killed in between, and repeated from the beginning.
    app.server.kill().await;
    app.server.start_again().await;
    let mut at = app.backend.connect(DOORS[0]).await;
    for from in [1, 301, 601] {
        import(&mut at, request(&room, from, batch(from))).await.unwrap();
    }
    let imported = texts(&app.alice, &room).await;
    assert_eq!(imported.len(), 900);
    assert!(imported.iter().zip(1..).all(|((_, shown), number)| *shown == text(number)));

    app.alice.remove(&room, &app.bob).await;
    let mut request = v1::ExportRoomRequest { room_id: room.clone(), page_token: String::new() };
    let (mut items, mut pages) = (Vec::new(), 0);
    loop {
        let page = at.call(request.clone()).await.unwrap();
        items.extend(page.items.into_iter().filter_map(|item| item.item));
        pages += 1;
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert!(pages > 1, "large texts fill pages");
    assert!(matches!(&items[0], Item::Room(exported) if exported.room_id == room));
    let members = items.iter().filter_map(|item| match item {
        Item::Member(member) => Some(member.user_id.as_str()),
        _ => None,
    });
    assert_eq!(members.collect::<Vec<_>>(), ["alice", "bob"], "former members, too");
    let events = items.iter().filter_map(|item| match item {
        Item::Event(event) => Some(event.seq),
        _ => None,
    });
    let head = app.alice.log(&room).await.last().unwrap().seq;
    assert_eq!(events.collect::<Vec<_>>(), (1..=head).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_cannot_be_imported_is_refused_as_a_whole() {
    let app = App::start().await;
    let room = app.alice.group(&[&app.bob]).await;
    let mut at = app.backend.connect(DOORS[0]).await;
    let later = Timestamp { seconds: i64::try_from(now()).unwrap() + 3600, nanos: 0 };
    let good = message("alice", "1", "good");
    let bad: [(v1::ImportedMessage, &str); 7] = [
        (v1::ImportedMessage { sent_at: None, ..message("bob", "2", "x") }, "sent_at"),
        (v1::ImportedMessage { sent_at: Some(later), ..message("bob", "2", "x") }, "sent_at"),
        (message("b o b", "2", "x"), "sender_id"),
        (message("bob", "", "x"), "client_message_id"),
        (message("bob", "2", " "), "text"),
        (v1::ImportedMessage { kind: "poll".to_owned(), ..message("bob", "2", "x") }, "kind"),
        (message("bob", "2", &"x".repeat(17_000)), "text"),
    ];
    for (message, field) in bad {
        let refused = import(&mut at, request(&room, 1, vec![good.clone(), message])).await.unwrap_err();
        assert_eq!(refused.reason, "invalid_field", "{field}");
        let path = format!("messages[1].{field}");
        assert!(refused.fields.iter().any(|(name, _)| *name == path), "{field}: {refused:?}");
    }
    for (sender, reason) in [("carol", "target_not_member"), ("backend", "")] {
        let answer = import(&mut at, request(&room, 1, vec![message(sender, &fresh("m"), "x")])).await;
        assert_eq!(answer.err().map_or_else(String::new, |refused| refused.reason), reason, "{sender}");
    }
    let zero = import(&mut at, request(&room, 0, vec![good])).await.unwrap_err();
    assert!(zero.fields.iter().any(|(name, _)| name == "first_number"), "{zero:?}");
    let many = (0..501).map(|n| message("bob", &format!("{n}"), "x")).collect();
    let many = import(&mut at, request(&room, 2, many)).await.unwrap_err();
    assert!(many.fields.iter().any(|(name, _)| name == "messages"), "{many:?}");
    assert_eq!(texts(&app.alice, &room).await.len(), 1);
}

#[tokio::test]
async fn a_refused_import_says_how_far_it_has_come() {
    let app = App::start().await;
    let room = app.alice.group(&[&app.bob]).await;
    let mut at = app.backend.connect(DOORS[0]).await;
    let mut messages: Vec<_> = (1..=250).map(|n| message("bob", &format!("{n}"), "x")).collect();
    messages[240].sender_id = "carol".to_owned();
    let refused = import(&mut at, request(&room, 1, messages)).await.unwrap_err();
    let told = |key: &str| refused.metadata.get(key).map(String::as_str);
    assert_eq!((refused.reason.as_str(), told("user_id")), ("target_not_member", Some("carol")));
    let imported = texts(&app.alice, &room).await.len();
    assert_eq!(told("imported"), Some(imported.to_string().as_str()));
    assert!((1..=240).contains(&imported), "the parts before it");
}

#[tokio::test]
async fn imported_messages_are_not_taken_for_those_of_today() {
    let app = App::start().await;
    let room = app.alice.group(&[&app.bob]).await;
    let mut at = app.backend.connect(DOORS[0]).await;
    let mut bob = app.bob.connect(DOORS[0]).await;
    let live = app.alice.say(&room, "does bob see this?").await;
    let done =
        import(&mut at, request(&room, 1, vec![message("bob", "1", "old"), message("bob", "2", "old")]))
            .await
            .unwrap();
    let read = v1::MarkReadRequest { room_id: room.clone(), seq: live - 1, request_id: fresh("mark") };
    let marked = bob.call(read).await.unwrap();
    assert_eq!(
        (marked.read.unwrap().seq, marked.unread_count),
        (live - 1, 3),
        "nobody sent what was imported"
    );
    // A phone that counts its messages from 1.
    let new = v1::SendMessageRequest { client_message_id: "1".to_owned(), ..Person::message(&room, "today") };
    let sent = bob.call(new).await.unwrap();
    assert!(!sent.is_repeat && sent.seq > done.seqs[1], "{sent:?}");
    assert_eq!(texts(&app.alice, &room).await.last().unwrap().1, "today");
}

#[tokio::test]
async fn nothing_is_imported_in_the_name_of_deleted_users() {
    let app = App::start().await;
    let room = app.alice.group(&[&app.bob]).await;
    let mut at = app.backend.connect(DOORS[0]).await;
    let gone = v1::DeleteUserRequest {
        user_id: "bob".to_owned(),
        request_id: fresh("delete"),
        messages: v1::ErasedMessages::Remove.into(),
        page_token: String::new(),
    };
    at.call(gone).await.unwrap();
    let late = vec![message("alice", "1", "hers"), message("bob", "2", "his")];
    let refused = import(&mut at, request(&room, 1, late)).await.unwrap_err();
    let told = refused.metadata.get("user_id").map(String::as_str);
    assert_eq!((refused.reason.as_str(), told), ("user_deleted", Some("bob")));
    assert_eq!(texts(&app.alice, &room).await, []);
}

#[tokio::test]
async fn what_was_imported_goes_with_its_sender_and_its_room() {
    let app = App::start().await;
    let room = app.alice.group(&[&app.bob]).await;
    let mut at = app.backend.connect(DOORS[0]).await;
    import(&mut at, request(&room, 1, vec![message("bob", "1", "mine"), message("alice", "2", "hers")]))
        .await
        .unwrap();
    let gone = v1::DeleteUserRequest {
        user_id: "bob".to_owned(),
        request_id: fresh("delete"),
        messages: v1::ErasedMessages::Remove.into(),
        page_token: String::new(),
    };
    assert_eq!(at.call(gone).await.unwrap().next_page_token, "");
    assert_eq!(
        texts(&app.alice, &room).await.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>(),
        ["", "hers"]
    );

    let path = format!("/v1/rooms/{room}");
    let (status, _) = app.rest(Method::DELETE, &format!("{path}?requestId=gone"), None, None).await;
    assert_eq!(status, 200);
    let body = json!({"firstNumber": 3, "messages": [{"senderId": "alice", "clientMessageId": "3", "sentAt": "2017-07-14T02:40:00Z", "text": "late"}]});
    let (status, answer) = app.rest(Method::POST, &format!("{path}/import"), None, Some(body)).await;
    assert_eq!((status, answer["error"]["reason"].as_str()), (404, Some("room_deleted")));
    let (status, answer) = app.rest(Method::GET, &format!("{path}/export"), None, None).await;
    assert_eq!((status, answer["error"]["reason"].as_str()), (404, Some("room_deleted")));
}
