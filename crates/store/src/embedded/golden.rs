//! The disk format must stay readable for years: these bytes were written once, and must
//! be read and written identically for as long as the format has this number.

mod app;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Debug, Write};
use std::path::Path;

use parlance_core::{
    Body, Chunk, Cursors, Data, Emoji, Event, ImageUrl, Interval, Mark, Member, Message, Mute, Name, Overlay,
    Reason, RequestId, Role, RoomId, RoomInfo, RoomKind, Settings, Standing, Text, Timestamp, Title, Topic,
    Unknown, UserId, Visibility,
};

use parlance_proto::storage::v1::{self, MemberRecord, OverlayRecord, RoomRecord, UserRecord};
use parlance_proto::{convert, stored};
use prost::Message as _;

use super::keys;
use crate::consumers::{ConsumerName, ConsumerState, EventKey, Parked, RoomProgress, Walk};
use crate::feed::{Changes, MovedHead, Position};
use crate::feed_record::{
    decode_changes, decode_consumer, decode_progress, encode_changes, encode_consumer, encode_progress,
};
use crate::record::*;
use crate::{Preferences, StoreError, User};

/// Compares `bytes` with the golden file: hex, 32 bytes a line.
fn check_bytes(name: &str, bytes: &[u8]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name).with_extension("hex");
    let mut hex = String::new();
    for line in bytes.chunks(32) {
        line.iter().for_each(|byte| write!(hex, "{byte:02x}").unwrap());
        hex.push('\n');
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(hex, golden, "{}", path.display());
}

/// Checks a value against the golden file, in both directions.
fn check<T: PartialEq + Debug>(
    name: &str,
    value: T,
    encode: fn(&T) -> Vec<u8>,
    decode: impl Fn(&[u8]) -> Result<T, StoreError>,
) {
    let bytes = encode(&value);
    check_bytes(name, &bytes);
    assert_eq!(decode(&bytes), Ok(value));
}

fn user(id: &str) -> UserId {
    UserId::parse(id).unwrap()
}

fn room() -> RoomId {
    RoomId::direct(&user("alice"), &user("bob"))
}

fn text(text: &str) -> Text {
    Text::parse(text).unwrap()
}

fn reason() -> Reason {
    Reason::parse("spam").unwrap()
}

fn emoji() -> Emoji {
    Emoji::parse("👍").unwrap()
}

fn settings() -> Settings {
    Settings {
        title: Title::parse("Team").unwrap(),
        topic: Topic::parse("What we do").unwrap(),
        visibility: Visibility::SinceJoined,
        ..Settings::default()
    }
}

#[test]
fn keys_have_the_bytes_they_always_had() {
    check_bytes("key-commit", &keys::COMMIT);
    check_bytes("key-user", &keys::id("alice"));
    check_bytes("key-room", &keys::id(room().as_str()));
    check_bytes("key-log", &keys::chunk(&room(), 0x0102_0304_0506_0708));
    check_bytes("key-overlay", &keys::chunk(&room(), 7));
    check_bytes("key-member", &keys::pair(room().as_str(), "alice"));
    check_bytes("key-user-room", &keys::pair("alice", room().as_str()));
    check_bytes("key-feed", &keys::feed(0x0102_0304_0506_0708));
}

/// One event of each kind.
#[test]
fn chunk() {
    let (alice, bob) = (user("alice"), user("bob"));
    let bodies = [
        Body::RoomCreated { kind: RoomKind::Group, settings: settings() },
        Body::RoomChanged { settings: settings() },
        Body::MemberAdded { user: bob.clone(), role: Role::Member },
        Body::RoleChanged { user: bob.clone(), role: Role::Admin },
        Body::Message(Message::plain(text("Grüße"))),
        Body::Message(Message { reply_to: Some(5), ..Message::plain(text("an answer")) }),
        Body::MessageEdited { target: 5, text: text("Grüße!"), data: None },
        Body::MessageDeleted { target: 6 },
        Body::ReactionAdded { target: 5, emoji: emoji() },
        Body::ReactionRemoved { target: 5, emoji: emoji() },
        Body::MemberRemoved { user: bob },
    ];
    let events: Vec<Event> = (1..)
        .zip(bodies)
        .map(|(seq, body)| Event {
            seq,
            at: Timestamp(1_700_000_000_123),
            actor: alice.clone(),
            request: RequestId::parse("request-1").unwrap(),
            message_count: seq.saturating_sub(4).min(2),
            deleted_count: 0,
            body,
            unknown: Unknown::default(),
            service: None,
        })
        .collect();
    let chunk = Chunk::new(*b"a nonce, 16 byte", events, 2, 1).unwrap();
    let follows = chunk.clone().with_previous(Some(*b"the one before it"[..16].first_chunk().unwrap()));
    check("chunk-with-previous", follows, encode_chunk, |bytes| decode_chunk(&room(), 1, bytes));
    check("chunk", chunk, encode_chunk, |bytes| decode_chunk(&room(), 1, bytes));
}

/// Unknown data reaches clients as it was stored.
#[test]
fn stored_events_read_as_events_of_the_contract() {
    let bob = user("bob");
    let bodies = [
        Body::RoomCreated { kind: RoomKind::Channel, settings: settings() },
        Body::RoomChanged { settings: settings() },
        Body::MemberAdded { user: bob.clone(), role: Role::Owner },
        Body::MemberRemoved { user: bob.clone() },
        Body::MemberBanned { user: bob.clone(), until: None, reason: Reason::default() },
        Body::MemberBanned { user: bob.clone(), until: Some(Timestamp(1_700_000_000_123)), reason: reason() },
        Body::MemberMuted { user: bob.clone(), until: None, reason: Reason::default() },
        Body::MemberMuted { user: bob.clone(), until: Some(Timestamp(1_700_000_000_123)), reason: reason() },
        Body::MemberUnmuted { user: bob.clone() },
        Body::MemberUnbanned { user: bob.clone() },
        Body::RoleChanged { user: bob, role: Role::Admin },
        Body::Message(Message { reply_to: Some(5), ..Message::plain(text("an answer")) }),
        Body::MessageEdited { target: 5, text: text("Grüße!"), data: None },
        Body::MessageDeleted { target: 6 },
        Body::ReactionAdded { target: 5, emoji: emoji() },
        Body::ReactionRemoved { target: 5, emoji: emoji() },
    ];
    for (seq, body) in (1..).zip(bodies) {
        let event = Event {
            seq,
            at: Timestamp(1_700_000_000_123),
            actor: user("alice"),
            request: RequestId::parse("request-1").unwrap(),
            message_count: 2,
            deleted_count: 1,
            body,
            unknown: Unknown::default(),
            service: None,
        };
        let stored = stored::encode_event(&event);
        assert_eq!(stored::decode_event(&stored), Some(event.clone()));
        assert_eq!(parlance_proto::v1::Event::decode(stored), Ok(convert::event("", &event)));
    }
}

#[test]
fn room_item() {
    let info = RoomInfo {
        id: room(),
        kind: RoomKind::Direct,
        settings: settings(),
        created_at: Timestamp(1_700_000_000_123),
        created_by: user("alice"),
        floor: 12,
        epoch: 2,
        direct_pair: Some((user("alice"), user("bob"))),
        deleted: false,
    };
    check("room", info, encode_room, |bytes| decode_room(&room(), bytes));
}

#[test]
fn member() {
    let decode = |bytes: &[u8]| decode_member(&room(), &user("bob"), bytes);
    // As written by versions that did not record the settings of former members.
    let left = Interval { joined: 2, left: Some(9), visibility: None };
    let mut member = Member {
        user: user("bob"),
        role: Role::Admin,
        intervals: vec![left, Interval::starting_at(300)],
        standing: Standing::Free,
        left_with: None,
        ban_ends: None,
        mute: None,
    };
    check("member", member.clone(), encode_member, decode);
    member.intervals[1] = Interval { joined: 300, left: Some(310), visibility: Some(Visibility::All) };
    member.standing = Standing::Removed;
    member.left_with = Some(settings());
    check("member-removed", member.clone(), encode_member, decode);
    member.standing = Standing::Banned;
    member.ban_ends = Some(Timestamp(1_700_000_000_123));
    member.mute = Some(Mute { until: None });
    check("member-banned", member.clone(), encode_member, decode);
    member.ban_ends = None;
    member.mute = Some(Mute { until: Some(Timestamp(1_700_000_000_123)) });
    check("member-muted", member, encode_member, decode);
}

#[test]
fn cursors() {
    let cursors = Cursors { delivered: 400, read: Mark { seq: 300, message_count: 200, deleted_count: 0 } };
    let decode = |bytes: &[u8]| decode_place(&room(), &user("bob"), bytes);
    let mut place = Place { cursors, ..Place::default() };
    check("cursors", place, encode_place, decode);
    place.hidden = hidden(401, 201);
    check("hidden", place, encode_place, decode);
    place.preferences = Preferences {
        pinned_at: 402,
        muted_at: 403,
        muted_until: Timestamp(1_700_000_000_789),
        unread_at: 301,
    };
    check("preferences", place, encode_place, decode);
}

#[test]
fn overlay() {
    let by = BTreeSet::from([user("alice"), user("bob")]);
    let edited = Overlay {
        changed: 9,
        edited: Some((text("Grüße!"), Timestamp(1_700_000_000_456))),
        deleted: false,
        reactions: BTreeMap::from([(emoji(), by)]),
        unknown: Unknown::default(),
        data: None,
    };
    let decode = |bytes: &[u8]| decode_overlay(&room(), 5, bytes);
    check("overlay", edited, encode_overlay, decode);
    let deleted = Overlay { changed: 10, deleted: true, ..Overlay::default() };
    check("overlay-deleted", deleted, encode_overlay, decode);
}

#[test]
fn user_item() {
    let alice = User {
        id: user("alice"),
        name: Name::parse("Alice Läufer").unwrap(),
        created_at: Timestamp(1_700_000_000_123),
        updated_at: Timestamp(1_700_000_000_456),
        image: ImageUrl::default(),
        data: Data::default(),
    };
    check("user", alice, encode_user, |bytes| decode_user(&user("alice"), bytes));
}

#[test]
fn feed_record() {
    let changes = Changes {
        heads: vec![MovedHead { room: room(), first: 300, last: 302 }],
        marks: vec![(room(), user("alice"))],
        members: vec![(room(), user("bob"))],
        profiles: vec![user("carol")],
    };
    let at = Timestamp(1_700_000_000_123);
    let encode = |(at, changes): &(Timestamp, Changes)| encode_changes(*at, changes);
    let decode = |bytes: &[u8]| Ok(decode_changes(bytes).unwrap());
    check("feed-record", (at, changes), encode, decode);
}

#[test]
fn consumer() {
    let name = ConsumerName::parse("billing").unwrap();
    let state = ConsumerState {
        position: Position::numbered("0123456789abcdef", 300),
        target: "webhook https://example.com/events".to_owned(),
        paused: true,
        disabled: "answers 410".to_owned(),
        walk: Some(Walk { after: Some(room()) }),
        created_at: Timestamp(1_700_000_000_123),
        failing_since: Some(Timestamp(1_700_000_000_789)),
    };
    check("consumer", state, encode_consumer, |bytes| decode_consumer(&name, bytes));
    let parked = Parked { reason: "400".to_owned(), since: Timestamp(1_700_000_000_456) };
    let done = EventKey { epoch: 1_700_000_000, seq: 300 };
    let progress = RoomProgress { done, pending: true, parked: Some(parked) };
    check("consumer-room", progress, encode_progress, |bytes| Ok(decode_progress(&name, &room(), bytes)));
}

/// The bytes of a golden file that no version so far has written.
fn from_the_future(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name).with_extension("hex");
    let hex: String = std::fs::read_to_string(path).unwrap().split_whitespace().collect();
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(byte).collect()
}

/// A message field, a kind of event, enum values and a field next to the body.
#[test]
fn a_chunk_of_a_later_version_is_read_and_written_unchanged() {
    let chunk = decode_chunk(&room(), 7, &from_the_future("future-chunk")).unwrap();
    let bodies: Vec<&Body> = chunk.events().iter().map(|event| &event.body).collect();
    let settings = Settings { topic: Topic::default(), ..settings() };
    let expected = [
        &Body::Message(Message {
            text: text("hello"),
            reply_to: None,
            kind: parlance_core::MessageKind::Text,
            data: Data::default(),
        }),
        &Body::Other,
        &Body::MemberAdded { user: user("bob"), role: Role::Member },
        &Body::RoomChanged { settings },
        &Body::ReactionRemoved { target: 7, emoji: emoji() },
    ];
    assert_eq!(bodies, expected);
    assert_eq!((chunk.head().seq(), chunk.head().message_count(), chunk.head().member_count()), (11, 1, 3));
    assert!(chunk.events().iter().all(|event| !event.unknown.is_empty()));
    check_bytes("future-chunk", &encode_chunk(&chunk));
}

/// An unknown role, visibility, kind or standing grants nothing.
#[test]
fn rows_of_a_later_version_are_read() {
    let info = decode_room(&room(), &from_the_future("future-room")).unwrap();
    assert_eq!((info.kind, info.settings.visibility), (RoomKind::Group, Visibility::SinceJoined));
    assert_eq!((info.settings.title, info.created_by), (settings().title, user("alice")));
    let member = decode_member(&room(), &user("bob"), &from_the_future("future-member")).unwrap();
    assert_eq!((member.role, member.standing), (Role::Member, Standing::Removed));
    let visibility = Some(Visibility::SinceJoined);
    assert_eq!(member.intervals, [Interval { joined: 2, left: Some(9), visibility }]);
}

/// Unknown fields are kept even if this version changes the rest.
#[test]
fn rows_of_a_later_version_keep_what_is_unknown() {
    let holds_later = |bytes: &[u8]| bytes.windows(5).any(|part| part == b"later");
    let old = from_the_future("future-member");
    let mut member = decode_member(&room(), &user("bob"), &old).unwrap();
    member.intervals.push(Interval::starting_at(40));
    let new = carry_unknown::<MemberRecord>(&old, encode_member(&member));
    assert!(holds_later(&old) && holds_later(&new));
    assert_eq!(decode_member(&room(), &user("bob"), &new), Ok(member));

    let old = from_the_future("future-room");
    let mut info = decode_room(&room(), &old).unwrap();
    info.settings.title = Title::parse("Another").unwrap();
    let new = carry_unknown_of_room(&old, &info);
    assert_eq!((holds_later(&new), decode_room(&room(), &new)), (holds_later(&old), Ok(info)));
}

/// A later version may allow longer or otherwise different texts.
#[test]
fn values_beyond_the_limits_of_this_version_are_read() {
    let long = "x ".repeat(20_000);
    let reaction = v1::Reaction { emoji: long.clone(), user_ids: vec!["bob".to_owned()] };
    let overlay = OverlayRecord {
        changed_seq: 9,
        text: Some(long.clone()),
        reactions: vec![reaction],
        ..Default::default()
    };
    let read = decode_overlay(&room(), 5, &overlay.encode_to_vec()).unwrap();
    assert_eq!(read.edited.as_ref().map(|(text, _)| text.as_str()), Some(&*long));
    assert_eq!(encode_overlay(&read), overlay.encode_to_vec());

    let settings = v1::RoomSettings { title: long.clone(), topic: long.clone(), ..Default::default() };
    let record =
        RoomRecord { settings: Some(settings.clone()), created_by: "alice".to_owned(), ..Default::default() };
    let info = decode_room(&room(), &record.encode_to_vec()).unwrap();
    assert_eq!((info.settings.title.as_str(), info.settings.topic.as_str()), (&*long, &*long));
    let record = MemberRecord { left_with: Some(settings), ..Default::default() };
    let member = decode_member(&room(), &user("bob"), &record.encode_to_vec()).unwrap();
    assert_eq!(member.left_with.unwrap().topic.as_str(), long);
    let record = UserRecord { name: long.clone(), ..Default::default() };
    assert_eq!(decode_user(&user("bob"), &record.encode_to_vec()).unwrap().name.as_str(), long);
}

#[test]
fn an_overlay_of_a_later_version_is_kept_until_the_message_is_deleted() {
    let mut overlay = decode_overlay(&room(), 5, &from_the_future("future-overlay")).unwrap();
    check_bytes("future-overlay", &encode_overlay(&overlay));
    let change = |seq, body| Event {
        seq,
        at: Timestamp(1_700_000_000_789),
        actor: user("bob"),
        request: RequestId::parse("request-2").unwrap(),
        message_count: 5,
        deleted_count: 0,
        body,
        unknown: Unknown::default(),
        service: None,
    };
    overlay.apply(&change(10, Body::MessageEdited { target: 5, text: text("again"), data: None }));
    overlay.apply(&change(11, Body::ReactionAdded { target: 5, emoji: emoji() }));
    let read = decode_overlay(&room(), 5, &encode_overlay(&overlay)).unwrap();
    assert_eq!((read.changed, read.edited.as_ref().unwrap().0.as_str()), (11, "again"));
    assert_eq!((&read.unknown, read.unknown.is_empty()), (&overlay.unknown, false));
    overlay.apply(&change(12, Body::MessageDeleted { target: 5 }));
    let bytes = encode_overlay(&overlay);
    assert!(!bytes.windows(5).any(|part| part == b"later"));
}
