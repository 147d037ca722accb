//! What is known of a room.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parlance_proto::v1;

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
    /// Who types, and until when.
    pub(super) typing: BTreeMap<String, Duration>,
    /// Messages, while the room is open.
    pub(super) window: Option<Window>,
}

/// All of a room that is small.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Info {
    /// The epoch that everything here belongs to; 0 while unknown.
    pub(super) epoch: u64,
    /// The epoch that events of the stream belong to; 0 while unknown.
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
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Settings {
    pub(super) title: String,
    pub(super) topic: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Membership {
    pub(super) is_member: bool,
    pub(super) role: v1::Role,
}

/// The flag holds until the room has more messages than `message_count`.
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

    /// Direct, group or channel; unspecified while that is not known.
    pub fn kind(&self) -> v1::RoomKind {
        self.info.kind
    }

    /// The other one of a direct room, once the inbox said who that is.
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

    /// Whether one is a member now.
    pub fn is_member(&self) -> bool {
        self.info.membership.value.is_member
    }

    /// One's own role; unspecified while it is not known.
    pub fn role(&self) -> v1::Role {
        self.info.membership.value.role
    }

    /// Members, as far as they are known.
    pub fn member_count(&self) -> u64 {
        self.info.member_count.count()
    }

    /// The seq of the last event that is known to exist.
    pub fn head_seq(&self) -> u64 {
        self.info.head.seq
    }

    /// The seq of the last event that was received: what may be acknowledged as delivered.
    pub fn received_seq(&self) -> u64 {
        self.info.received_seq
    }

    /// The epoch that its seqs belong to; 0 while it is not known.
    pub fn epoch(&self) -> u64 {
        self.info.epoch
    }

    /// How far one has read, on any device.
    pub fn read_seq(&self) -> u64 {
        self.info.marks.read_seq
    }

    /// Unread messages that are not deleted.
    pub fn unread_count(&self) -> u64 {
        self.info.marks.unread(self.info.head).0
    }

    /// Whether one has hidden it, and there was no message since.
    pub fn is_hidden(&self) -> bool {
        let Info { hidden, head, .. } = &self.info;
        hidden.is_hidden && head.message_count <= hidden.message_count
    }

    /// Whether some of this is an estimate until the inbox is read again.
    pub fn is_stale(&self) -> bool {
        let Info { marks, head, member_count, listed_at, .. } = &self.info;
        let is_from_start = marks.covered_from <= 1;
        self.is_member()
            && ((listed_at.is_none() && !is_from_start) || !member_count.is_exact() || !marks.unread(*head).1)
    }

    /// Its last message, as far as it is known.
    pub fn last_message(&self) -> Option<&Message> {
        self.info.last.message().map(Arc::as_ref)
    }

    /// Whether its messages are kept.
    pub fn is_open(&self) -> bool {
        self.window.is_some()
    }

    /// Messages without a hole up to the last that is known, by rising seq; none unless the
    /// room is open.
    pub fn messages(&self) -> impl Iterator<Item = &Message> {
        self.window.iter().flat_map(Window::messages).map(Arc::as_ref)
    }

    /// The message at a seq, if it is kept.
    pub fn message(&self, seq: u64) -> Option<&Message> {
        let last = self.info.last.message().filter(|last| last.seq == seq);
        self.window.as_ref().and_then(|window| window.get(seq)).or(last).map(Arc::as_ref)
    }

    /// The seq before which messages are to be read to go further back: `before_seq` of the next
    /// page. `None` at the beginning of the room, and while it is not open or nothing was read.
    pub fn older_before(&self) -> Option<u64> {
        let (from, _) = self.window.as_ref()?.last_run()?;
        Some(from).filter(|from| *from > 1)
    }

    /// Members with their roles, by user id; empty until they were asked for.
    pub fn members(&self) -> impl Iterator<Item = (&str, v1::Role)> {
        self.members.iter()
    }

    /// Whether [`Room::members`] are all of them. Otherwise they are to be asked for again.
    pub fn is_members_complete(&self) -> bool {
        self.members.is_complete()
    }

    /// How far the others are, by user id.
    pub fn receipts(&self) -> impl Iterator<Item = (&str, Receipt)> {
        self.receipts.by_user.iter().map(|(user, receipt)| (user.as_str(), *receipt))
    }

    /// The furthest that any other has received and read.
    pub fn furthest_receipt(&self) -> Receipt {
        self.receipts.furthest
    }

    /// Who types now, oneself left out.
    pub fn typing(&self) -> impl Iterator<Item = &str> {
        self.typing.keys().map(String::as_str)
    }

    /// Whether one is or was a member, as an event or the inbox said; otherwise it was only
    /// mentioned.
    pub fn is_known(&self) -> bool {
        self.info.membership.version > Version::UNKNOWN
    }
}
