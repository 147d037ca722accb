//! Users who are deleted, and what is exported about a user, through every door.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use http::Method;
use parlance_client::transport::Door;
use parlance_proto::v1;
use parlance_proto::v1::ErasedMessages;
use parlance_proto::v1::event::Body;
use parlance_proto::v1::exported_item::Item;
use parlance_proto::v1::send_message_request::Target;
use parlance_tests::{Conversation, DOORS, Person, fresh, text_of};
use serde_json::json;

use crate::app::App;
use crate::events::{Consumer, from_beginning, open};

/// Deletes a user, call by call; returns what is left of them, and the number of calls.
pub(crate) async fn delete(at: &mut Conversation, user: &str, messages: ErasedMessages) -> (v1::User, usize) {
    let mut request = v1::DeleteUserRequest {
        user_id: user.to_owned(),
        request_id: fresh("delete"),
        messages: messages.into(),
        page_token: String::new(),
    };
    for calls in 1.. {
        let part = at.call(request.clone()).await.unwrap();
        assert_eq!(part.unreadable_room_ids, Vec::<String>::new());
        if part.next_page_token.is_empty() {
            return (part.user.unwrap(), calls);
        }
        request.page_token = part.next_page_token;
    }
    unreachable!()
}

pub(crate) async fn exported(at: &mut Conversation, user: &str) -> Vec<Item> {
    let mut request = v1::ExportUserRequest { user_id: user.to_owned(), page_token: String::new() };
    let mut items = Vec::new();
    loop {
        let page = at.call(request.clone()).await.unwrap();
        items.extend(page.items.into_iter().filter_map(|item| item.item));
        if page.next_page_token.is_empty() {
            return items;
        }
        request.page_token = page.next_page_token;
    }
}

pub(crate) async fn member_ids(at: &Person, room: &str) -> Vec<String> {
    let request = v1::ListMembersRequest { room_id: room.to_owned(), ..Default::default() };
    let page = at.rooms().list_members(request).await.unwrap().into_inner();
    page.members.into_iter().map(|member| member.user_id).collect()
}

/// The texts of a room, and whether each is deleted.
pub(crate) async fn messages(at: &Person, room: &str) -> Vec<(String, bool)> {
    let log = at.log(room).await;
    let messages = log.iter().filter_map(|event| match &event.body {
        Some(Body::Message(message)) => Some((text_of(event).to_owned(), message.deleted)),
        _ => None,
    });
    messages.collect()
}

fn direct(user: &Person) -> v1::SendMessageRequest {
    v1::SendMessageRequest { target: Some(Target::ToUser(user.id.clone())), ..Person::message("", "psst") }
}

#[tokio::test]
async fn a_deleted_user_is_gone_and_never_comes_back() {
    for door in DOORS {
        let mut app = App::start().await;
        let mut at_app = app.backend.connect(door).await;
        let (own, shared) = (app.bob.group(&[&app.alice]).await, app.alice.group(&[&app.bob]).await);
        app.bob.say(&shared, "hello").await;
        let private = app.bob.chat().send_message(direct(&app.alice)).await.unwrap().into_inner().room_id;
        let block = v1::BlockUserRequest { user_id: "backend".to_owned(), request_id: fresh("block") };
        app.backend.users().get_user(v1::GetUserRequest { user_id: "me".to_owned() }).await.unwrap();
        app.bob.users().block_user(block).await.unwrap();
        let profile = json!({"name": "Bob B", "imageUrl": "https://example.org/b.png", "data": {"a": 1}});
        assert_eq!(app.rest(Method::PATCH, "/v1/users/bob", None, Some(profile)).await.0, 200);
        let mut open = app.bob.connect(door).await;

        let (left, _) = delete(&mut at_app, "bob", ErasedMessages::Unspecified).await;
        assert!(left.deleted && !left.deactivated);
        assert_eq!((left.name.as_str(), left.image_url.as_str(), &left.data), ("bob", "", &None));
        assert_eq!(open.end().await.failure.unwrap().reason, "token_revoked");
        for room in [&own, &shared] {
            assert_eq!(member_ids(&app.alice, room).await, ["alice"]);
        }
        let request = v1::ListMembersRequest { room_id: own.clone(), ..Default::default() };
        let members = app.alice.rooms().list_members(request).await.unwrap().into_inner().members;
        assert_eq!(members[0].role(), v1::Role::Owner);
        assert_eq!(messages(&app.alice, &shared).await, [("hello".to_owned(), false)]);
        // Nobody writes to them.
        let written = app.alice.chat().send_message(Person::message(&private, "there?")).await;
        assert_eq!(written.unwrap_err().code(), tonic::Code::FailedPrecondition);
        assert_eq!(
            app.backend.chat().send_message(direct(&app.bob)).await.unwrap_err().code(),
            tonic::Code::NotFound
        );
        let add = v1::AddMembersRequest {
            room_id: shared.clone(),
            user_ids: vec!["bob".to_owned()],
            request_id: fresh("add"),
            after_seq: None,
        };
        assert_eq!(at_app.call(add).await.unwrap_err().reason, "user_not_found");
        assert!(!exported(&mut at_app, "bob").await.iter().any(|item| matches!(item, Item::Block(_))));

        // Neither a token nor the app brings them back, nor a restart, nor another deletion.
        let again = v1::CreateUserRequest { user_id: "bob".to_owned(), update: true, ..Default::default() };
        for _ in 0..2 {
            let refused =
                app.server.http().get("/v1/users/me").bearer(&app.bob.token).answer().await.refused();
            assert_eq!(refused, (401, "user_deleted".to_owned()));
            let refused = app.backend.users().create_user(again.clone()).await.unwrap_err();
            assert_eq!(refused.code(), tonic::Code::PermissionDenied);
            let back = v1::ReactivateUserRequest { user_id: "bob".to_owned(), request_id: fresh("back") };
            let refused = app.backend.users().reactivate_user(back).await.unwrap_err();
            assert_eq!(refused.code(), tonic::Code::NotFound);
            app.server.stop().await;
            app.server.start_again().await;
            let mut at_app = app.backend.connect(door).await;
            let head = app.alice.log(&shared).await.len();
            assert_eq!(delete(&mut at_app, "bob", ErasedMessages::Unspecified).await.0, left);
            assert_eq!(app.alice.log(&shared).await.len(), head, "a repeat changes nothing");
        }
        let mut at_app = app.backend.connect(door).await;
        let request = |user: &str| v1::DeleteUserRequest { user_id: user.to_owned(), ..Default::default() };
        assert_eq!(at_app.call(request("nobody")).await.unwrap_err().reason, "user_not_found");
        assert_eq!(at_app.call(request("backend")).await.unwrap_err().reason, "invalid_field");
    }
}

#[tokio::test]
async fn messages_and_reactions_are_removed_on_request() {
    let app = App::start().await;
    let mut at_app = app.backend.connect(Door::WebSocketJson).await;
    let room = app.alice.group(&[&app.bob]).await;
    let kept = app.alice.say(&room, "kept").await;
    for number in 0..150 {
        app.bob.say(&room, &format!("bob {number}")).await;
    }
    let react = v1::AddReactionRequest {
        room_id: room.clone(),
        seq: kept,
        emoji: "👍".to_owned(),
        request_id: fresh("react"),
        after_seq: None,
    };
    app.bob.chat().add_reaction(react.clone()).await.unwrap();
    app.alice
        .chat()
        .add_reaction(v1::AddReactionRequest { request_id: fresh("react"), ..react })
        .await
        .unwrap();
    // Of a room that bob has left.
    let left = app.alice.group(&[&app.bob]).await;
    app.bob.say(&left, "before").await;
    app.alice.remove(&left, &app.bob).await;

    let (user, _) = delete(&mut at_app, "bob", ErasedMessages::Remove).await;
    assert_eq!(user.name, "bob");
    let log = app.alice.log(&room).await;
    for event in &log {
        let Some(Body::Message(message)) = &event.body else { continue };
        assert_eq!(message.deleted, event.actor_id == "bob", "{event:?}");
        if event.seq == kept {
            let users: Vec<_> = message.reactions.iter().flat_map(|reaction| &reaction.user_ids).collect();
            assert_eq!(users, ["alice"]);
        }
    }
    assert_eq!(messages(&app.alice, &left).await, [(String::new(), true)]);
    delete(&mut at_app, "bob", ErasedMessages::Remove).await;
    assert_eq!(app.alice.log(&room).await.len(), log.len(), "a repeat changes nothing");
}

#[tokio::test]
async fn consumers_are_told_what_a_deletion_removes_and_do_not_get_it_again() {
    let app = App::start().await;
    let mut at_app = app.backend.connect(Door::Grpc).await;
    let room = app.alice.group(&[&app.bob]).await;
    let said = [app.bob.say(&room, "a secret").await, app.bob.say(&room, "another").await];
    let (address, token) = (app.server.address(), &app.backend.token);
    let mut running = Consumer::default();
    let mut stream = open(&address, token, from_beginning()).await.unwrap();
    running.read_to(&mut stream, &room, said[1]).await;
    assert_eq!(running.texts(&room), ["a secret", "another"]);

    delete(&mut at_app, "bob", ErasedMessages::Remove).await;
    let last = app.alice.say(&room, "who was that?").await;
    running.read_to(&mut stream, &room, last).await;
    let types = running.types(&room);
    let of = |kind: &str| types.iter().filter(|each| **each == kind).count();
    assert_eq!((of("parlance.message.deleted.v1"), of("parlance.member.removed.v1")), (2, 1), "{types:?}");

    // A consumer that begins afterwards, as one that is replayed.
    let mut later = Consumer::default();
    let mut stream = open(&address, token, from_beginning()).await.unwrap();
    later.read_to(&mut stream, &room, last).await;
    assert_eq!(later.texts(&room), ["", "", "who was that?"]);
    assert_eq!(later.types(&room), types);
}

/// Bob reacts to the message `seq` of a room.
pub(crate) async fn react(bob: &Person, room: &str, seq: u64, emoji: &str) {
    let request = v1::AddReactionRequest {
        room_id: room.to_owned(),
        seq,
        emoji: emoji.to_owned(),
        request_id: fresh("react"),
        after_seq: None,
    };
    bob.chat().add_reaction(request).await.unwrap();
}

pub(crate) async fn reactions(at: &Person, room: &str) -> usize {
    let log = at.log(room).await;
    let messages = log.iter().filter_map(|event| match &event.body {
        Some(Body::Message(message)) => Some(message.reactions.len()),
        _ => None,
    });
    messages.sum()
}

#[tokio::test]
async fn reactions_are_removed_from_frozen_rooms_and_from_rooms_left_before() {
    let app = App::start().await;
    let mut at_app = app.backend.connect(Door::Grpc).await;
    let (frozen, left) = (app.alice.group(&[&app.bob]).await, app.alice.group(&[&app.bob]).await);
    let private = app.alice.chat().send_message(direct(&app.bob)).await.unwrap().into_inner();
    for (room, seq) in [
        (&frozen, app.alice.say(&frozen, "hello").await),
        (&left, app.alice.say(&left, "hello").await),
        (&private.room_id, private.seq),
    ] {
        for emoji in ["👍", "🎉"] {
            react(&app.bob, room, seq, emoji).await;
        }
        assert_eq!(reactions(&app.alice, room).await, 2);
    }
    app.alice.remove(&left, &app.bob).await;
    for room in [&frozen, &private.room_id] {
        let path = format!("/v1/rooms/{room}");
        let (status, _) = app
            .rest(Method::PATCH, &path, None, Some(json!({"frozen": true, "requestId": fresh("freeze")})))
            .await;
        assert_eq!(status, 200);
    }
    delete(&mut at_app, "bob", ErasedMessages::Remove).await;
    for room in [&frozen, &left, &private.room_id] {
        assert_eq!(reactions(&app.alice, room).await, 0, "in {room}");
    }
    assert_eq!(member_ids(&app.alice, &frozen).await, ["alice"]);
}

#[tokio::test]
async fn no_earlier_request_of_the_user_stands_in_for_the_deletion() {
    let app = App::start().await;
    let mut at_app = app.backend.connect(Door::Grpc).await;
    let (said, left) = (app.alice.group(&[&app.bob]).await, app.alice.channel().await);
    // Ids that a deletion has used.
    let message = v1::SendMessageRequest {
        client_message_id: "erase-leave".to_owned(),
        ..Person::message(&said, "a secret")
    };
    app.bob.chat().send_message(message).await.unwrap();
    for request_id in [fresh("join"), fresh("again")] {
        let join = v1::JoinRoomRequest { room_id: left.clone(), request_id, ..Default::default() };
        app.bob.rooms().join_room(join).await.unwrap();
        let leave = v1::LeaveRoomRequest {
            room_id: left.clone(),
            request_id: "erase-leave".to_owned(),
            ..Default::default()
        };
        let _ = app.bob.rooms().leave_room(leave).await;
    }
    delete(&mut at_app, "bob", ErasedMessages::Remove).await;
    assert_eq!(messages(&app.alice, &said).await, [(String::new(), true)]);
    for room in [&said, &left] {
        assert_eq!(member_ids(&app.alice, room).await, ["alice"]);
    }
}

/// The answer to a repeat is the room, whoever of it was deleted since.
#[tokio::test]
async fn what_names_a_deleted_user_may_be_repeated() {
    let app = App::start().await;
    let mut at_app = app.backend.connect(Door::Grpc).await;
    let bob = || vec!["bob".to_owned()];
    let order = v1::CreateRoomRequest {
        room_id: "order-42".to_owned(),
        owner_id: "alice".to_owned(),
        kind: v1::RoomKind::Group.into(),
        member_ids: bob(),
        ..Default::default()
    };
    let group = v1::CreateRoomRequest {
        kind: v1::RoomKind::Group.into(),
        member_ids: bob(),
        request_id: fresh("group"),
        ..Default::default()
    };
    let direct = v1::CreateRoomRequest {
        kind: v1::RoomKind::Direct.into(),
        member_ids: bob(),
        request_id: fresh("direct"),
        ..Default::default()
    };
    let all = [(&app.backend, order), (&app.alice, group.clone()), (&app.alice, direct)];
    let mut rooms = Vec::new();
    for (caller, request) in &all {
        let created = caller.rooms().create_room(request.clone()).await.unwrap().into_inner();
        rooms.push(created.room.unwrap().room_id);
    }
    let block = v1::BlockUserRequest { user_id: "bob".to_owned(), request_id: fresh("block") };
    let blocked = app.alice.users().block_user(block.clone()).await.unwrap().into_inner();
    delete(&mut at_app, "bob", ErasedMessages::Unspecified).await;
    for ((caller, request), room) in all.iter().zip(rooms) {
        let again = caller.rooms().create_room(request.clone()).await.unwrap().into_inner();
        assert_eq!((again.room.unwrap().room_id, again.is_repeat), (room, true));
    }
    assert_eq!(app.alice.users().block_user(block).await.unwrap().into_inner(), blocked);

    let new = v1::CreateRoomRequest { request_id: fresh("group"), ..group };
    let refused = app.alice.rooms().create_room(new).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::NotFound);
    let block = v1::BlockUserRequest { user_id: "bob".to_owned(), request_id: fresh("block") };
    assert_eq!(app.person("carl").users().block_user(block).await.unwrap_err().code(), tonic::Code::NotFound);
}

#[tokio::test]
async fn the_name_may_stay_with_the_messages_and_be_removed_later() {
    let app = App::start().await;
    let mut at_app = app.backend.connect(Door::Grpc).await;
    let named = json!({"name": "Bob B"});
    assert_eq!(app.rest(Method::PATCH, "/v1/users/bob", None, Some(named)).await.0, 200);
    assert_eq!(delete(&mut at_app, "bob", ErasedMessages::Keep).await.0.name, "Bob B");
    assert_eq!(delete(&mut at_app, "bob", ErasedMessages::Keep).await.0.name, "Bob B");
    assert_eq!(delete(&mut at_app, "bob", ErasedMessages::Anonymize).await.0.name, "bob");
    let search = v1::SearchUsersRequest { name_prefix: "bob".to_owned(), ..Default::default() };
    assert_eq!(at_app.call(search).await.unwrap().users, []);
}

#[tokio::test]
async fn everything_about_a_user_is_exported_and_nothing_of_others() {
    let app = App::start().await;
    let rooms = [app.alice.group(&[&app.bob]).await, app.bob.group(&[&app.alice]).await];
    for (number, room) in rooms.iter().enumerate() {
        app.alice.say(room, "of alice").await;
        for message in 0..60 {
            app.bob.say(room, &format!("{number} {message} {}", "x".repeat(1_500))).await;
        }
    }
    app.alice.remove(&rooms[0], &app.bob).await;
    let block = v1::BlockUserRequest { user_id: "alice".to_owned(), request_id: fresh("block") };
    app.bob.users().block_user(block).await.unwrap();
    for door in DOORS {
        let mut at_app = app.backend.connect(door).await;
        let items = exported(&mut at_app, "bob").await;
        assert!(matches!(&items[0], Item::User(user) if user.user_id == "bob"));
        assert!(matches!(&items[1], Item::Block(block) if block.user_id == "alice"));
        let mut seen: Vec<_> = items
            .iter()
            .filter_map(|item| match item {
                Item::Room(room) => Some(room.room_id.clone()),
                _ => None,
            })
            .collect();
        seen.sort();
        let mut expected = rooms.to_vec();
        expected.sort();
        assert_eq!(seen, expected, "each once");
        let events = items.iter().filter_map(|item| match item {
            Item::Event(event) => Some(event),
            _ => None,
        });
        let events: Vec<_> = events.collect();
        assert!(events.iter().all(|event| event.actor_id == "bob"));
        let texts = events.iter().filter(|event| matches!(event.body, Some(Body::Message(_))));
        assert_eq!(texts.count(), 120);
    }
    let (status, page) = app.rest(Method::GET, "/v1/users/bob/export", None, None).await;
    assert_eq!((status, &page["items"][0]["user"]["userId"]), (200, &json!("bob")));
}
