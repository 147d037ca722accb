//! Events in the form that consumers receive (`proto/events/events.proto`).

use parlance_core::{Body, Entry, RoomId};
use parlance_proto::events::v1::{RoomContext, RoomEvent};
use parlance_proto::{convert, v1};
use parlance_store::consumers::EventKey;

use crate::log::RoomHead;

/// How much of an event is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Content {
    /// Everything.
    #[default]
    Full,
    /// Only ids and kinds, for consumers that may not copy text.
    Ids,
}

/// The id of an event: unique, and the same each time the event is delivered.
pub fn id(room: &RoomId, key: EventKey) -> String {
    format!("{room}:{}:{}", key.epoch, key.seq)
}

/// The type of an event, under which consumers subscribe to it.
pub fn kind(body: &Body) -> &'static str {
    match body {
        Body::RoomCreated { .. } => "parlance.room.created.v1",
        Body::RoomChanged { .. } => "parlance.room.updated.v1",
        Body::MemberAdded { .. } => "parlance.member.added.v1",
        Body::MemberRemoved { .. } => "parlance.member.removed.v1",
        Body::MemberBanned { .. } => "parlance.member.banned.v1",
        Body::MemberUnbanned { .. } => "parlance.member.unbanned.v1",
        Body::MemberMuted { .. } => "parlance.member.muted.v1",
        Body::MemberUnmuted { .. } => "parlance.member.unmuted.v1",
        Body::MemberInvited { .. } => "parlance.member.invited.v1",
        Body::InvitationEnded { .. } => "parlance.member.invitation_ended.v1",
        Body::LinkCreated { .. } => "parlance.room.link_created.v1",
        Body::LinkRevoked { .. } => "parlance.room.link_revoked.v1",
        Body::JoinRequested { .. } => "parlance.member.join_requested.v1",
        Body::JoinRequestEnded { .. } => "parlance.member.join_request_ended.v1",
        Body::MemberUpdated { .. } => "parlance.member.updated.v1",
        Body::RoleChanged { .. } => "parlance.member.role_changed.v1",
        Body::Message(_) => "parlance.message.sent.v1",
        Body::MessageEdited { .. } => "parlance.message.edited.v1",
        Body::MessageDeleted { .. } => "parlance.message.deleted.v1",
        Body::ReactionAdded { .. } => "parlance.reaction.added.v1",
        Body::ReactionRemoved { .. } => "parlance.reaction.removed.v1",
        Body::RoomDeleted => "parlance.room.deleted.v1",
        Body::Other => "parlance.unknown.v1",
    }
}

/// The event of `entry` in its current form.
pub fn room_event(room: &RoomId, head: &RoomHead, entry: &Entry, content: Content) -> RoomEvent {
    let key = EventKey { epoch: head.epoch, seq: entry.event.seq };
    let mut event = convert::entry(room.as_str(), entry);
    if content == Content::Ids {
        event = v1::Event { body: None, raw: Vec::new(), ..event };
    }
    // Nothing of a deleted room is told but that it is.
    let shows_title = content == Content::Full && entry.event.body != Body::RoomDeleted;
    RoomEvent {
        id: id(room, key),
        r#type: kind(&entry.event.body).to_owned(),
        room_id: room.as_str().to_owned(),
        epoch: key.epoch,
        seq: key.seq,
        at: Some(convert::timestamp(entry.event.at)),
        event: Some(event),
        room: Some(RoomContext {
            kind: convert::room_kind(head.kind).into(),
            title: if shows_title { head.title.as_str().to_owned() } else { String::new() },
            head_seq: head.head,
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fmt::Write;
    use std::path::Path;

    use parlance_core::{
        Data, Emoji, Event, Message, Overlay, Reason, RequestId, Role, RoomKind, Settings, Text, Timestamp,
        Title, Topic, Unknown, UserId, Visibility,
    };
    use parlance_proto::json::room_event_to_json;
    use prost::Message as _;

    use super::*;

    /// One event of each kind, the last one from a later version.
    fn entries() -> Vec<Entry> {
        let bob = UserId::parse("bob").unwrap();
        let text = |text: &str| Text::parse(text).unwrap();
        let settings = Settings {
            title: Title::parse("Team").unwrap(),
            topic: Topic::default(),
            visibility: Visibility::All,
            ..Settings::default()
        };
        let emoji = Emoji::parse("👍").unwrap();
        let bodies = [
            Body::RoomCreated { kind: RoomKind::Group, settings: settings.clone() },
            Body::RoomChanged { settings },
            Body::MemberAdded { user: bob.clone(), role: Role::Member, link: None },
            Body::RoleChanged { user: bob.clone(), role: Role::Admin },
            Body::Message(Message::plain(text("hello"))),
            Body::Message(Message { reply_to: Some(5), ..Message::plain(text("to be deleted")) }),
            Body::MessageEdited { target: 5, text: text("hello!"), data: None },
            Body::MessageDeleted { target: 6 },
            Body::ReactionAdded { target: 5, emoji: emoji.clone() },
            Body::ReactionRemoved { target: 5, emoji },
            Body::MemberRemoved { user: bob.clone() },
            Body::MemberBanned { user: bob.clone(), until: None, reason: Reason::default() },
            Body::MemberUnbanned { user: bob },
            Body::Other,
        ];
        let mut later = Vec::new();
        prost::encoding::bytes::encode(99, &b"of a later version".to_vec(), &mut later);
        let event = |(seq, body): (u64, Body)| {
            let is_other = body == Body::Other;
            Event {
                seq,
                at: Timestamp(1_700_000_000_123),
                actor: UserId::parse("alice").unwrap(),
                request: RequestId::parse("request-1").unwrap(),
                message_count: seq.saturating_sub(4).min(2),
                deleted_count: u64::from(seq >= 8),
                body,
                unknown: if is_other { Unknown::new(later.clone()) } else { Unknown::default() },
                service: None,
            }
        };
        let deleted = Overlay { changed: 8, deleted: true, ..Overlay::default() };
        let edited = Overlay {
            changed: 7,
            edited: Some((text("hello!"), Timestamp(1_700_000_000_123))),
            ..Overlay::default()
        };
        let entry = |event: Event| {
            let overlay = match Entry::overlay_key(&event) {
                Some(5) => Some(edited.clone()),
                Some(6) => Some(deleted.clone()),
                _ => None,
            };
            Entry::merge(event, overlay)
        };
        (1..).zip(bodies).map(event).map(entry).collect()
    }

    /// One event of each kind that came later, and of fields that did, in an order that only grows.
    fn later_entries() -> Vec<Entry> {
        let bob = || UserId::parse("bob").unwrap();
        let until = Timestamp(1_700_000_600_000);
        let bodies = [
            Body::MemberMuted { user: bob(), until: Some(until), reason: Reason::default() },
            Body::MemberUnmuted { user: bob() },
            Body::MemberInvited { user: bob(), until },
            Body::InvitationEnded { user: bob() },
            Body::LinkCreated { until, max_uses: 3 },
            Body::LinkRevoked { link: 19 },
            Body::JoinRequested { user: bob(), until },
            Body::JoinRequestEnded { user: bob() },
            Body::RoomDeleted,
            Body::Message(Message { mentions_all: true, ..Message::plain(Text::parse("to all").unwrap()) }),
            Body::MemberUpdated {
                user: bob(),
                data: Some(Data::new([("team".to_owned(), vec![0x1a, 3, b'r', b'e', b'd'])].into()).unwrap()),
            },
        ];
        let like = entries().remove(0).event;
        let event = |(seq, body)| Event { seq, body, ..like.clone() };
        (15..).zip(bodies).map(event).map(|event| Entry::merge(event, None)).collect()
    }

    /// A kind that is added has to get an example above: this does not compile before.
    fn number(body: &Body) -> usize {
        match body {
            Body::RoomCreated { .. } => 0,
            Body::RoomChanged { .. } => 1,
            Body::MemberAdded { .. } => 2,
            Body::MemberRemoved { .. } => 3,
            Body::MemberBanned { .. } => 4,
            Body::MemberUnbanned { .. } => 5,
            Body::MemberMuted { .. } => 6,
            Body::MemberUnmuted { .. } => 7,
            Body::MemberInvited { .. } => 8,
            Body::InvitationEnded { .. } => 9,
            Body::LinkCreated { .. } => 10,
            Body::LinkRevoked { .. } => 11,
            Body::JoinRequested { .. } => 12,
            Body::JoinRequestEnded { .. } => 13,
            Body::RoleChanged { .. } => 14,
            Body::Message(_) => 15,
            Body::MessageEdited { .. } => 16,
            Body::MessageDeleted { .. } => 17,
            Body::ReactionAdded { .. } => 18,
            Body::ReactionRemoved { .. } => 19,
            Body::RoomDeleted => 20,
            Body::Other => 21,
            Body::MemberUpdated { .. } => 22,
        }
    }

    #[test]
    fn each_kind_has_an_example() {
        let all: BTreeSet<usize> =
            entries().iter().chain(&later_entries()).map(|entry| number(&entry.event.body)).collect();
        assert_eq!(all, (0..=22).collect());
    }

    /// Consumers parse these for years: these lines were written once and must stay the same.
    #[test]
    fn events_leave_as_they_always_did() {
        let room = RoomId::parse("room-1").unwrap();
        let title = Title::parse("Team").unwrap();
        let head = RoomHead { epoch: 1, head: 14, floor: 1, kind: RoomKind::Group, title };
        let (mut json, mut hex) = (String::new(), String::new());
        for (entries, content) in [
            (entries(), Content::Full),
            (entries(), Content::Ids),
            (later_entries(), Content::Full),
            (later_entries(), Content::Ids),
        ] {
            for entry in entries {
                let event = room_event(&room, &head, &entry, content);
                json.push_str(std::str::from_utf8(&room_event_to_json(&event).unwrap()).unwrap());
                json.push('\n');
                event.encode_to_vec().iter().for_each(|byte| write!(hex, "{byte:02x}").unwrap());
                hex.push('\n');
            }
        }
        assert!(!json.contains("to be deleted"));
        for (name, written) in [("events.jsonl", json), ("events.hex", hex)] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
            let golden = std::fs::read_to_string(&path).unwrap_or_default();
            if golden != written {
                let new = std::env::temp_dir().join(name);
                std::fs::write(&new, &written).unwrap();
                panic!("{} is not what is written now: {}", path.display(), new.display());
            }
        }
    }

    #[test]
    fn the_title_of_a_deleted_room_does_not_leave() {
        let room = RoomId::parse("room-1").unwrap();
        let title = Title::parse("Team").unwrap();
        let head = RoomHead { epoch: 1, head: 14, floor: 14, kind: RoomKind::Group, title };
        let mut entry = entries().remove(0);
        let title = |entry: &Entry| room_event(&room, &head, entry, Content::Full).room.unwrap().title;
        assert_eq!(title(&entry), "Team");
        entry.event.body = Body::RoomDeleted;
        assert_eq!(title(&entry), "");
    }

    /// An event of a later version passes through byte by byte.
    #[test]
    fn an_event_of_a_later_version_is_passed_on() {
        let room = RoomId::parse("room-1").unwrap();
        let head = RoomHead { epoch: 1, head: 14, floor: 1, kind: RoomKind::Group, title: Title::default() };
        let last = entries().pop().unwrap();
        let event = room_event(&room, &head, &last, Content::Full);
        assert_eq!(event.r#type, "parlance.unknown.v1");
        let bytes = event.encode_to_vec();
        assert!(bytes.windows(18).any(|part| part == b"of a later version"));
        assert_eq!(RoomEvent::decode(bytes.as_slice()).unwrap(), event);
        let ids = room_event(&room, &head, &last, Content::Ids).encode_to_vec();
        assert!(!ids.windows(18).any(|part| part == b"of a later version"));
    }
}
