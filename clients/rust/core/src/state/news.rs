//! Inputs of the state.

use std::ops::RangeInclusive;
use std::time::Duration;

use parlance_proto::v1;

use super::marks::ReadMark;
use super::people::Receipt;

/// A new fact with the version at which it is valid: the seq and the epoch of its room, or, if
/// the contract has neither, an `order`: a number that increases with every signal and every
/// request of this client. An answer is as old as its request.
///
/// `epoch`: the room's epoch at the time of the request; 0 if unknown.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "fields are named for what they hold")]
pub enum News<'a> {
    /// A connection was opened.
    Welcome(&'a v1::Welcome),
    /// An event of the stream.
    Event(&'a v1::Event),
    /// A gap of the stream.
    Gap(&'a v1::Gap),
    /// An entry of the inbox: valid at the room's head in it, or for parts without a seq, as
    /// of the request.
    Inbox { entry: &'a v1::InboxEntry, order: u64 },
    /// A room and the user's role in it, valid at the head in it.
    Room { room: &'a v1::Room, role: v1::Role },
    /// The whole inbox was read and did not contain the room; its head was `head_seq` when the
    /// reading started.
    Unlisted { room_id: &'a str, head_seq: u64 },
    /// The user's own read mark: from another device's receipt, or the answer to a call.
    Read { room_id: &'a str, mark: ReadMark, epoch: u64 },
    /// Another user's position.
    Receipt { room_id: &'a str, user_id: &'a str, receipt: Receipt, epoch: u64 },
    /// The user's hidden flag of a room.
    Hidden { room_id: &'a str, is_hidden: bool, order: u64 },
    /// All members, as of `seq`.
    Members { room_id: &'a str, members: &'a [(String, v1::Role)], seq: u64, epoch: u64 },
    /// The contents of a part of a room's log, with all changes up to `as_of`.
    Page { room_id: &'a str, events: &'a [v1::Event], covers: RangeInclusive<u64>, as_of: u64, epoch: u64 },
    /// Whether messages of the room are kept from now on.
    Open { room_id: &'a str, is_open: bool },
    /// A user is typing, until this time of the caller's clock.
    Typing { room_id: &'a str, user_id: &'a str, until: Duration },
    /// The caller's clock. Typing signals that ended before it are removed.
    Time(Duration),
    /// Whether a user is online.
    Presence { user_id: &'a str, is_online: bool, order: u64 },
}

/// The parts of the state that have a new value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A room.
    Room {
        /// The room.
        room_id: String,
        /// The changed parts.
        parts: Parts,
    },
    /// The presence of a user.
    Presence {
        /// The user.
        user_id: String,
    },
}

/// Parts of a room that changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each stands for itself")]
pub struct Parts {
    /// Title, counts, marks, membership, last message.
    pub info: bool,
    /// The messages of an open room.
    pub messages: bool,
    /// Members and their roles.
    pub members: bool,
    /// Positions of others.
    pub receipts: bool,
    /// Users who are typing.
    pub typing: bool,
}

impl Parts {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
