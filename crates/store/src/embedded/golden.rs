//! The disk format must stay readable for years: these bytes were written once, and must
//! be read and written identically for as long as the format has this number.

mod app;
mod future;
mod fuzz;
mod reports;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Debug, Write};
use std::path::Path;

use parlance_core::{
    Body, Chunk, Cursors, Data, Emoji, Event, ImageUrl, Interval, Invitation, Invitations, JoinRequest, Link,
    LinkHash, Listed, Mark, Member, MemberData, Message, Mute, Name, Overlay, Reason, RequestEnd, RequestId,
    Role, RoomId, RoomInfo, RoomKind, Settings, Standing, Text, Timestamp, Title, TitlePlace, Topic, Unknown,
    UserId, Visibility,
};

use parlance_proto::storage::v1::{self, MemberRecord, OverlayRecord, RoomRecord, UserRecord};
use parlance_proto::{convert, stored};
use prost::Message as _;

use super::keys;
use crate::consumers::{Announced, ConsumerName, ConsumerState, EventKey, Parked, RoomProgress, Walk};
use crate::feed::{Changes, MovedHead, Position};
use crate::feed_record::{
    decode_changes, decode_consumer, decode_progress, encode_changes, encode_consumer, encode_progress,
};
use crate::invitation_record::*;
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
        Body::MemberAdded { user: bob.clone(), role: Role::Member, link: None },
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
        Body::MemberAdded { user: bob.clone(), role: Role::Owner, link: None },
        Body::MemberRemoved { user: bob.clone() },
        Body::MemberBanned { user: bob.clone(), until: None, reason: Reason::default() },
        Body::MemberBanned { user: bob.clone(), until: Some(Timestamp(1_700_000_000_123)), reason: reason() },
        Body::MemberMuted { user: bob.clone(), until: None, reason: Reason::default() },
        Body::MemberMuted { user: bob.clone(), until: Some(Timestamp(1_700_000_000_123)), reason: reason() },
        Body::MemberUnmuted { user: bob.clone() },
        Body::MemberUnbanned { user: bob.clone() },
        Body::MemberInvited { user: bob.clone(), until: Timestamp(1_700_000_000_123) },
        Body::InvitationEnded { user: bob.clone() },
        Body::MemberAdded { user: bob.clone(), role: Role::Member, link: Some(300) },
        Body::LinkCreated { until: Timestamp(1_700_000_000_123), max_uses: 5 },
        Body::LinkRevoked { link: 300 },
        Body::JoinRequested { user: bob.clone(), until: Timestamp(1_700_000_000_123) },
        Body::JoinRequestEnded { user: bob.clone() },
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
        imported: 0,
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
        data: MemberData::default(),
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
    place.preferences.hidden = hidden(401, 201);
    check("hidden", place, encode_place, decode);
    place.preferences = Preferences {
        hidden: place.preferences.hidden,
        pinned_at: 402,
        muted_at: 403,
        muted_until: Timestamp(1_700_000_000_789),
        unread_at: 301,
    };
    check("preferences", place, encode_place, decode);
}

#[test]
fn blocks() {
    let blocks = [(user("bob"), Timestamp(1_700_000_000_123)), (user("eve"), Timestamp(1_700_000_000_456))];
    check("blocks", blocks.into_iter().collect(), encode_blocks, |bytes| {
        decode_blocks(&user("alice"), bytes)
    });
    check_bytes("key-blocks", &keys::blocks("alice"));
}

#[test]
fn invitations() {
    let invitation = |by, seq| Invitation {
        by: user(by),
        at: Timestamp(1_700_000_000_123),
        until: Timestamp(1_700_000_000_456),
        seq,
    };
    let of = [(user("bob"), invitation("alice", 300)), (user("eve"), invitation("carol", 301))];
    let all = Invitations::new(302, of.into());
    check("invitations", all, encode_invitations, |bytes| decode_invitations(&room(), bytes));
    let listed = Listed { seq: 300, note: Reason::default() };
    check("invited", listed, encode_invited, |bytes| decode_invited(&user("bob"), bytes));
    let listed = Listed { seq: 301, note: reason() };
    check("invited-asking", listed, encode_invited, |bytes| decode_invited(&user("bob"), bytes));
    let hash = LinkHash::new(std::array::from_fn(|at| at as u8));
    let (at, until) = (Timestamp(1_700_000_000_123), Timestamp(1_700_000_000_456));
    let link = Link { seq: 300, hash, by: user("alice"), at, until, max_uses: 5, uses: 2, by_app: true };
    let all = Invitations::new(302, BTreeMap::new()).with_links([link]);
    check("invitations-links", all, encode_invitations, |bytes| decode_invitations(&room(), bytes));
    let request = |seq, ended, withdrawals| JoinRequest { at, until, seq, ended, withdrawals };
    let requests = [
        (user("bob"), request(301, None, 0)),
        (user("carol"), request(302, Some(RequestEnd::Rejected), 0)),
        (user("dora"), request(303, Some(RequestEnd::Withdrawn), 2)),
    ];
    let all = Invitations::default().with_requests(304, requests.into());
    let decode = |bytes: &[u8]| decode_requests(&room(), bytes, Invitations::default());
    check("requests", all, encode_requests, decode);
    check_bytes("key-requests", &keys::requests(room().as_str()));
    check_bytes("key-invitations", &keys::invitations(room().as_str()));
    check_bytes("key-invited", &keys::invited("bob", room().as_str()));
}

#[test]
fn listed() {
    let place = TitlePlace { title: Title::parse("Big News").unwrap().folded(), room: room() };
    check("listed", 120, |members| encode_listed(*members), |bytes| decode_listed(&room(), bytes));
    check_bytes("key-listed", &keys::listed(&place));
    assert_eq!(keys::title_place(&keys::listed(&place)), Some(place));
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
        state: Default::default(),
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
        behind_since: None,
    };
    check("consumer", state.clone(), encode_consumer, |bytes| decode_consumer(&name, bytes));
    let behind = ConsumerState { behind_since: Some(Timestamp(1_700_000_000_321)), ..state };
    check("consumer-behind", behind, encode_consumer, |bytes| decode_consumer(&name, bytes));
    let parked = Parked { reason: "400".to_owned(), since: Timestamp(1_700_000_000_456) };
    let done = EventKey { epoch: 1_700_000_000, seq: 300 };
    let read = |bytes: &[u8]| Ok(decode_progress(&name, &room(), bytes));
    let progress = RoomProgress { done, pending: true, parked: Some(parked), announced: None };
    check("consumer-room", progress, encode_progress, read);
    let announced = Announced { first: Some(300), at: Timestamp(1_700_000_000_456) };
    let unread = RoomProgress { pending: true, announced: Some(announced), ..RoomProgress::default() };
    check("consumer-room-unread", unread, encode_progress, read);
}
