//! The known state of a room.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parlance_proto::v1;
use prost_types::Struct;

use super::last::LastMessage;
use super::marks::{Head, Marks};
use super::message::Message;
use super::people::{Members, Receipt, Receipts};
use super::versioned::{Counter, Version, Versioned};
use super::window::Window;

/// A room as a client knows it: an immutable snapshot.
#[derive(Debug, Clone, PartialEq)]
pub struct Room {
    pub(super) id: String,
    pub(super) info: Info,
    pub(super) receipts: Receipts,
    pub(super) members: Members,
    /// Users who are typing, and until when.
    pub(super) typing: BTreeMap<String, Duration>,
    /// Messages, while the room is open.
    pub(super) window: Option<Window>,
}

/// The small parts of a room.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Info {
    /// The epoch of the whole state; 0 while unknown.
    pub(super) epoch: u64,
    /// The epoch of the stream's events; 0 while unknown.
    pub(super) stream_epoch: u64,
    /// The last event that was received.
    pub(super) received_seq: u64,
    pub(super) head: Head,
    pub(super) kind: v1::RoomKind,
    pub(super) peer_id: String,
    pub(super) settings: Versioned<Settings>,
    pub(super) membership: Versioned<Membership>,
    pub(super) member_count: Counter,
    pub(super) marks: Marks,
    pub(super) hidden: Hidden,
    pub(super) last: LastMessage,
    /// Head of the latest inbox entry.
    pub(super) listed_at: Option<u64>,
    /// Whether its last event was received, that of its deletion.
    pub(super) is_deleted: bool,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Settings {
    pub(super) title: String,
    pub(super) topic: String,
    pub(super) image_url: String,
    pub(super) data: Option<Struct>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Membership {
    pub(super) is_member: bool,
    pub(super) role: v1::Role,
}

/// The flag applies until the room has more messages than `message_count`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Hidden {
    pub(super) is_hidden: bool,
    pub(super) message_count: u64,
    pub(super) order: u64,
}

impl Room {
    pub(super) fn new(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            info: Info::default(),
            receipts: Receipts::default(),
            members: Members::default(),
            typing: BTreeMap::new(),
            window: None,
        }
    }

    /// Its id.
    pub fn room_id(&self) -> &str {
        &self.id
    }

    /// Direct, group or channel; unspecified while unknown.
    pub fn kind(&self) -> v1::RoomKind {
        self.info.kind
    }

    /// The other user of a direct room, once the inbox has named them.
    pub fn peer_id(&self) -> Option<&str> {
        Some(self.info.peer_id.as_str()).filter(|peer| !peer.is_empty())
    }

    /// Its title; empty for direct rooms.
    pub fn title(&self) -> &str {
        &self.info.settings.value.title
    }

    /// Its topic.
    pub fn topic(&self) -> &str {
        &self.info.settings.value.topic
    }

    /// The URL of its picture; empty for none.
    pub fn image_url(&self) -> &str {
        &self.info.settings.value.image_url
    }

    /// Data of the app.
    pub fn data(&self) -> Option<&Struct> {
        self.info.settings.value.data.as_ref()
    }

    /// Whether the user is a member now.
    pub fn is_member(&self) -> bool {
        self.info.membership.value.is_member
    }

    /// The user's role; unspecified while unknown.
    pub fn role(&self) -> v1::Role {
        self.info.membership.value.role
    }

    /// Number of members, as far as known.
    pub fn member_count(&self) -> u64 {
        self.info.member_count.count()
    }

    /// The seq of the last known event.
    pub fn head_seq(&self) -> u64 {
        self.info.head.seq
    }

    /// The seq of the last received event: may be acknowledged as delivered.
    pub fn received_seq(&self) -> u64 {
        self.info.received_seq
    }

    /// The epoch of its seqs; 0 while unknown.
    pub fn epoch(&self) -> u64 {
        self.info.epoch
    }

    /// The user's read position, over all devices.
    pub fn read_seq(&self) -> u64 {
        self.info.marks.read_seq
    }

    /// Unread messages that are not deleted.
    pub fn unread_count(&self) -> u64 {
        self.info.marks.unread(self.info.head).0
    }

    /// Whether the user has hidden it, without a message since.
    pub fn is_hidden(&self) -> bool {
        let Info { hidden, head, .. } = &self.info;
        hidden.is_hidden && head.message_count <= hidden.message_count
    }

    /// Whether part of this is an estimate until the inbox is read again.
    pub fn is_stale(&self) -> bool {
        let Info { marks, head, member_count, listed_at, .. } = &self.info;
        let is_from_start = marks.covered_from <= 1;
        self.is_member()
            && ((listed_at.is_none() && !is_from_start) || !member_count.is_exact() || !marks.unread(*head).1)
    }

    /// Its last message, if known.
    pub fn last_message(&self) -> Option<&Message> {
        self.info.last.message().map(Arc::as_ref)
    }

    /// Whether its messages are kept.
    pub fn is_open(&self) -> bool {
        self.window.is_some()
    }

    /// Messages without a hole up to the last known one, in ascending order; none unless the
    /// room is open.
    pub fn messages(&self) -> impl Iterator<Item = &Message> {
        self.window.iter().flat_map(Window::messages).map(Arc::as_ref)
    }

    /// The message at a seq, if it is kept.
    pub fn message(&self, seq: u64) -> Option<&Message> {
        let last = self.info.last.message().filter(|last| last.seq == seq);
        self.window.as_ref().and_then(|window| window.get(seq)).or(last).map(Arc::as_ref)
    }

    /// Where to continue reading earlier messages: `before_seq` of the next page. `None` at the
    /// beginning of the room, and while it is not open or nothing was read.
    pub fn older_before(&self) -> Option<u64> {
        let (from, _) = self.window.as_ref()?.last_run()?;
        Some(from).filter(|from| *from > 1)
    }

    /// Members with their roles, by user id; empty until they were requested.
    pub fn members(&self) -> impl Iterator<Item = (&str, v1::Role)> {
        self.members.iter()
    }

    /// Whether [`Room::members`] is complete. Otherwise they have to be requested again.
    pub fn is_members_complete(&self) -> bool {
        self.members.is_complete()
    }

    /// Positions of others, by user id.
    pub fn receipts(&self) -> impl Iterator<Item = (&str, Receipt)> {
        self.receipts.by_user.iter().map(|(user, receipt)| (user.as_str(), *receipt))
    }

    /// The furthest received and read positions of any other member.
    pub fn furthest_receipt(&self) -> Receipt {
        self.receipts.furthest
    }

    /// Users who are typing now, except for this user.
    pub fn typing(&self) -> impl Iterator<Item = &str> {
        self.typing.keys().map(String::as_str)
    }

    /// Whether the user is or was a member, according to an event or the inbox; otherwise the
    /// room was only mentioned.
    pub fn is_known(&self) -> bool {
        self.info.membership.version > Version::UNKNOWN
    }
}
