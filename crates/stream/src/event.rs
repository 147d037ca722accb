//! Events as they leave (`proto/events/events.proto`).

use parlance_core::{Body, Entry, RoomId};
use parlance_proto::events::v1::{RoomContext, RoomEvent};
use parlance_proto::{convert, v1};
use parlance_store::consumers::EventKey;

use crate::log::RoomHead;

/// How much of an event leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Content {
    /// All of it.
    #[default]
    Full,
    /// Ids and kinds alone, for consumers that may not copy text.
    Ids,
}

/// The id of an event: the same each time that it is sent, and of no other event.
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
        Body::RoleChanged { .. } => "parlance.member.role_changed.v1",
        Body::Message(_) => "parlance.message.sent.v1",
        Body::MessageEdited { .. } => "parlance.message.edited.v1",
        Body::MessageDeleted { .. } => "parlance.message.deleted.v1",
        Body::ReactionAdded { .. } => "parlance.reaction.added.v1",
        Body::ReactionRemoved { .. } => "parlance.reaction.removed.v1",
        Body::Other => "parlance.unknown.v1",
    }
}

/// The event of `entry` as it leaves now.
pub fn room_event(room: &RoomId, head: &RoomHead, entry: &Entry, content: Content) -> RoomEvent {
    let key = EventKey { epoch: head.epoch, seq: entry.event.seq };
    let mut event = convert::entry(room.as_str(), entry);
    if content == Content::Ids {
        event = v1::Event { body: None, raw: Vec::new(), ..event };
    }
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
            title: if content == Content::Ids { String::new() } else { head.title.as_str().to_owned() },
            head_seq: head.head,
        }),
    }
}
