//! Golden files of the app's additions to stored data.

use parlance_core::{MessageKind, Permissions};

use super::*;

/// The app's own data, as sent by a client.
fn data(json: &[(&str, &str)]) -> Data {
    let value = |text: &str| prost_types::value::Kind::StringValue(text.to_owned());
    let fields =
        json.iter().map(|(key, text)| ((*key).to_owned(), prost_types::Value { kind: Some(value(text)) }));
    parlance_proto::data::parse(Some(&prost_types::Struct { fields: fields.collect() })).unwrap()
}

/// Settings with every field set.
fn full_settings() -> Settings {
    Settings {
        image: ImageUrl::parse_new("https://example.org/a.png").unwrap(),
        data: data(&[("state", "open")]),
        permissions: Permissions {
            post: Some(Role::Admin),
            react: Some(Role::Member),
            invite: Some(Role::Member),
            edit: Some(Role::Owner),
            delete: Some(Role::Owner),
            mention_all: None,
        },
        frozen: true,
        ..settings()
    }
}

/// Events with every field of an app's backend.
#[test]
fn chunk_of_an_app() {
    let kind = |kind| MessageKind::parse(kind).unwrap();
    let message = |text, kind, data| Message { kind, data, ..Message::plain(text) };
    let bodies = [
        Body::RoomChanged { settings: full_settings() },
        Body::Message(message(text("paid"), kind("system"), Data::default())),
        Body::Message(message(Text::empty(), kind("custom:card"), data(&[("a", "1"), ("b", "2")]))),
        Body::MessageEdited { target: 3, text: Text::empty(), data: Some(data(&[("a", "3")])) },
        Body::MessageEdited { target: 3, text: text("a card"), data: Some(Data::default()) },
        Body::RoomDeleted,
    ];
    check_app_chunk("chunk-app", &bodies);
    let bob = user("bob");
    let bodies = [
        Body::MemberUpdated { user: bob.clone(), data: Some(data(&[("team", "7")])) },
        Body::MemberUpdated { user: bob, data: Some(Data::default()) },
    ];
    check_app_chunk("chunk-member-data", &bodies);
}

fn check_app_chunk(name: &str, bodies: &[Body]) {
    let event = |(seq, body)| Event {
        seq,
        at: Timestamp(1_700_000_000_123),
        actor: user("alice"),
        service: Some(user("backend")),
        request: RequestId::parse("request-1").unwrap(),
        message_count: 2,
        deleted_count: 0,
        body,
        unknown: Unknown::default(),
    };
    let events: Vec<Event> = (1..).zip(bodies.iter().cloned()).map(event).collect();
    for event in &events {
        let stored = stored::encode_event(event);
        assert_eq!(parlance_proto::v1::Event::decode(stored), Ok(convert::event("", event)));
    }
    let chunk = Chunk::new(*b"a nonce, 16 byte", events, 2, 1).unwrap();
    check(name, chunk, encode_chunk, |bytes| decode_chunk(&room(), 1, bytes));
}

/// A mention of all, and who may mention all.
#[test]
fn chunk_with_mention_of_all() {
    let permissions = Permissions { mention_all: Some(Role::Owner), ..Permissions::default() };
    let bodies = [
        Body::RoomChanged { settings: Settings { permissions, ..settings() } },
        Body::Message(Message { mentions_all: true, ..Message::plain(text("to all")) }),
    ];
    let event = |(seq, body)| Event {
        seq,
        at: Timestamp(1_700_000_000_123),
        actor: user("alice"),
        service: None,
        request: RequestId::parse("request-1").unwrap(),
        message_count: seq - 1,
        deleted_count: 0,
        body,
        unknown: Unknown::default(),
    };
    let events: Vec<Event> = (1..).zip(bodies).map(event).collect();
    for event in &events {
        let stored = stored::encode_event(event);
        assert_eq!(parlance_proto::v1::Event::decode(stored), Ok(convert::event("", event)));
    }
    let chunk = Chunk::new(*b"a nonce, 16 byte", events, 1, 1).unwrap();
    check("chunk-mention-all", chunk, encode_chunk, |bytes| decode_chunk(&room(), 1, bytes));
}

#[test]
fn rows_of_an_app() {
    let id = RoomId::parse_own("order-42").unwrap();
    let info = RoomInfo {
        id: id.clone(),
        kind: RoomKind::Group,
        settings: full_settings(),
        created_at: Timestamp(1_700_000_000_123),
        created_by: user("backend"),
        floor: 12,
        epoch: 1,
        direct_pair: None,
        deleted: true,
        imported: 0,
    };
    check("room-app", info, encode_room, |bytes| decode_room(&id, bytes));
    let edited = Overlay {
        changed: 9,
        edited: Some((Text::empty(), Timestamp(1_700_000_000_456))),
        data: Some(data(&[("a", "3")])),
        ..Overlay::default()
    };
    check("overlay-app", edited, encode_overlay, |bytes| decode_overlay(&room(), 5, bytes));
    let alice = User {
        id: user("alice"),
        name: Name::parse("Alice").unwrap(),
        image: ImageUrl::parse_new("https://example.org/a.png").unwrap(),
        data: data(&[("team", "7")]),
        created_at: Timestamp(1_700_000_000_123),
        updated_at: Timestamp(1_700_000_000_456),
        state: Default::default(),
    };
    check("user-app", alice, encode_user, |bytes| decode_user(&user("alice"), bytes));
    let member = Member::joined(user("bob"), Role::Member, 7)
        .with_data(MemberData { values: data(&[("team", "7")]), seq: 300 });
    check("member-data", member, encode_member, |bytes| decode_member(&room(), &user("bob"), bytes));
    check("overlay-outdated", Overlay::outdated(301), encode_overlay, |bytes| {
        decode_overlay(&room(), 300, bytes)
    });
}
