//! What is on disk is kept for years: these bytes were written once and must be read, and
//! written, the same for as long as the format has this number.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Debug, Write};
use std::path::Path;

use parlance_core::{
    Body, Chunk, Cursors, Emoji, Event, Interval, Mark, Member, Message, Name, Overlay, RequestId, Role,
    RoomId, RoomInfo, RoomKind, Settings, Standing, Text, Timestamp, Title, Topic, UserId, Visibility,
};

use super::keys;
use crate::record::*;
use crate::{StoreError, User};

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

/// The same, and that the bytes read as `value`.
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

fn emoji() -> Emoji {
    Emoji::parse("👍").unwrap()
}

fn settings() -> Settings {
    Settings {
        title: Title::parse("Team").unwrap(),
        topic: Topic::parse("What we do").unwrap(),
        visibility: Visibility::SinceJoined,
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
        Body::Message(Message { text: text("Grüße"), reply_to: None }),
        Body::Message(Message { text: text("an answer"), reply_to: Some(5) }),
        Body::MessageEdited { target: 5, text: text("Grüße!") },
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
            body,
        })
        .collect();
    let chunk = Chunk::new(*b"a nonce, 16 byte", events, 2, 1).unwrap();
    let follows = chunk.clone().with_previous(Some(*b"the one before it"[..16].first_chunk().unwrap()));
    check("chunk-with-previous", follows, encode_chunk, |bytes| decode_chunk(&room(), 1, bytes));
    check("chunk", chunk, encode_chunk, |bytes| decode_chunk(&room(), 1, bytes));
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
    };
    check("room", info, encode_room, |bytes| decode_room(&room(), bytes));
}

#[test]
fn member() {
    let decode = |bytes: &[u8]| decode_member(&room(), &user("bob"), bytes);
    // As rows were written before it was kept what someone left with.
    let left = Interval { joined: 2, left: Some(9), visibility: None };
    let mut member = Member {
        user: user("bob"),
        role: Role::Admin,
        intervals: vec![left, Interval::starting_at(300)],
        standing: Standing::Free,
        left_with: None,
    };
    check("member", member.clone(), encode_member, decode);
    member.intervals[1] = Interval { joined: 300, left: Some(310), visibility: Some(Visibility::All) };
    member.standing = Standing::Removed;
    member.left_with = Some(settings());
    check("member-removed", member, encode_member, decode);
}

#[test]
fn cursors() {
    let cursors = Cursors { delivered: 400, read: Mark { seq: 300, message_count: 200 } };
    check("cursors", cursors, encode_cursors, |bytes| decode_cursors(&room(), &user("bob"), bytes));
}

#[test]
fn overlay() {
    let by = BTreeSet::from([user("alice"), user("bob")]);
    let edited = Overlay {
        changed: 9,
        edited: Some((text("Grüße!"), Timestamp(1_700_000_000_456))),
        deleted: false,
        reactions: BTreeMap::from([(emoji(), by)]),
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
    };
    check("user", alice, encode_user, |bytes| decode_user(&user("alice"), bytes));
}
