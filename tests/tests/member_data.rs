//! What the app keeps about the members of a room, through every door.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use http::Method;
use parlance_proto::v1;
use parlance_proto::v1::event::Body;
use parlance_proto::v1::exported_item::Item;
use parlance_proto::v1::exported_room_item::Item as RoomItem;
use parlance_proto::v1::send_message_request::Target;
use parlance_tests::{Conversation, DOORS, Door, Person, fresh};
use prost_types::value::Kind;
use prost_types::{Struct, Value};
use serde_json::json;

use crate::app::App;
use crate::erasure::{delete, exported};

fn data(team: &str) -> Option<Struct> {
    let value = Value { kind: Some(Kind::StringValue(team.to_owned())) };
    Some(Struct { fields: [("team".to_owned(), value)].into() })
}

fn set(room: &str, user: &str, team: &str) -> v1::UpdateMemberRequest {
    v1::UpdateMemberRequest {
        room_id: room.to_owned(),
        user_id: user.to_owned(),
        data: data(team),
        request_id: fresh("set"),
        ..Default::default()
    }
}

async fn of_bob(at: &mut Conversation, room: &str) -> Option<Struct> {
    let request = v1::ListMembersRequest { room_id: room.to_owned(), ..Default::default() };
    let members = at.call(request).await.unwrap().members;
    members.into_iter().find(|member| member.user_id == "bob").unwrap().data
}

/// The data of the events in which it changed, as the log shows it.
async fn in_log(person: &Person, room: &str) -> Vec<Option<Struct>> {
    let log = person.log(room).await.into_iter();
    let updated = log.filter_map(|event| match event.body {
        Some(Body::MemberUpdated(updated)) => Some(updated.data),
        _ => None,
    });
    updated.collect()
}

#[tokio::test]
async fn members_have_data_through_every_door() {
    let app = App::start().await;
    let room = app.alice.group(&[&app.bob]).await;
    for door in DOORS {
        let (mut at_alice, mut at_bob) = (app.alice.connect(door).await, app.bob.connect(door).await);
        let request = set(&room, "me", &door.to_string());
        let outcome = at_bob.call(request.clone()).await.unwrap().outcome.unwrap();
        let again = at_bob.call(request).await.unwrap().outcome.unwrap();
        assert_eq!((again.seq, again.is_repeat), (outcome.seq, true), "{door}");
        let event = loop {
            let event = at_alice.event().await;
            if event.seq == outcome.seq {
                break event;
            }
        };
        let expected = v1::MemberUpdated { user_id: "bob".to_owned(), data: data(&door.to_string()) };
        assert_eq!(
            (event.body, event.actor_id.as_str()),
            (Some(Body::MemberUpdated(expected)), "bob"),
            "{door}"
        );
        assert_eq!(of_bob(&mut at_alice, &room).await, data(&door.to_string()), "{door}");
        let own =
            at_bob.call(v1::GetRoomRequest { room_id: room.clone() }).await.unwrap().membership.unwrap();
        assert_eq!(own.data, data(&door.to_string()), "{door}");
        at_alice.call(set(&room, "bob", "of alice")).await.unwrap();
        let refused = at_bob.call(set(&room, "alice", "of bob")).await.unwrap_err();
        assert_eq!(refused.reason, "needs_role", "{door}");
    }
    let shown = in_log(&app.alice, &room).await;
    let (last, earlier) = shown.split_last().unwrap();
    assert_eq!(*last, data("of alice"));
    assert!(earlier.iter().all(Option::is_none), "{earlier:?}");

    let path = format!("/v1/rooms/{room}/members/bob/data");
    let own = json!({"data": {"team": "red", "points": 7}, "requestId": "own"});
    assert_eq!(app.rest(Method::PATCH, &path, None, Some(own)).await.0, 200);
    let as_bob = json!({"data": {"team": "blue"}, "unsetData": ["points"], "requestId": "as-bob"});
    assert_eq!(app.rest(Method::PATCH, &path, Some("bob"), Some(as_bob)).await.0, 200);
    let of_alice = format!("/v1/rooms/{room}/members/alice/data");
    let body = json!({"data": {"team": "blue"}, "requestId": "of-alice"});
    let (status, refused) = app.rest(Method::PATCH, &of_alice, Some("bob"), Some(body)).await;
    assert_eq!((status, &refused["error"]["reason"]), (403, &json!("needs_role")));
    let too_large = json!({"data": {"team": "x".repeat(5_000)}, "requestId": "large"});
    let (status, refused) = app.rest(Method::PATCH, &path, None, Some(too_large)).await;
    assert_eq!((status, &refused["error"]["reason"]), (400, &json!("invalid_field")));
    assert_eq!(in_log(&app.alice, &room).await.last(), Some(&data("blue")));
}

#[tokio::test]
async fn data_is_exported_and_goes_with_the_user() {
    let app = App::start().await;
    let room = app.alice.group(&[&app.bob]).await;
    let hello = v1::SendMessageRequest {
        target: Some(Target::ToUser("bob".to_owned())),
        ..Person::message("", "psst")
    };
    let private = app.alice.chat().send_message(hello).await.unwrap().into_inner().room_id;
    let mut at_bob = app.bob.connect(Door::Grpc).await;
    for room in [&room, &private] {
        at_bob.call(set(room, "bob", "red")).await.unwrap();
    }
    let mut at_app = app.backend.connect(Door::Grpc).await;
    let rooms = exported(&mut at_app, "bob").await.into_iter().filter_map(|item| match item {
        Item::Room(room) => room.membership.unwrap().data,
        _ => None,
    });
    assert_eq!(rooms.collect::<Vec<_>>(), [data("red").unwrap(), data("red").unwrap()]);
    let request = v1::ExportRoomRequest { room_id: room.clone(), page_token: String::new() };
    let page = at_app.call(request).await.unwrap();
    let of_members = page.items.into_iter().filter_map(|item| match item.item {
        Some(RoomItem::Member(member)) => member.data,
        _ => None,
    });
    assert_eq!(of_members.collect::<Vec<_>>(), [data("red").unwrap()]);

    delete(&mut at_app, "bob", v1::ErasedMessages::Keep).await;
    assert_eq!(of_bob(&mut at_app, &private).await, None);
    for room in [&room, &private] {
        let shown = in_log(&app.alice, room).await;
        assert!(shown.iter().flatten().all(|data| data.fields.is_empty()), "{shown:?}");
    }
}
