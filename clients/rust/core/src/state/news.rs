//! What changes the state.

use std::ops::RangeInclusive;
use std::time::Duration;

use parlance_proto::v1;

use super::marks::ReadMark;
use super::people::Receipt;

/// Something that was learnt, with the version at which it is valid: the seq and the epoch of
/// its room, or, where the contract gives neither, an `order`: a number that rises with every
/// signal and every question of this client. An answer is as old as its question.
///
/// `epoch`: that of the room when the question was asked; 0 where it is not known.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "fields are named for what they hold")]
pub enum News<'a> {
    /// A connection was opened.
    Welcome(&'a v1::Welcome),
    /// An event of the stream.
    Event(&'a v1::Event),
    /// A gap of the stream.
    Gap(&'a v1::Gap),
    /// An entry of the inbox: valid at the room's head in it, and of what has no seq, since it
    /// was asked for.
    Inbox { entry: &'a v1::InboxEntry, order: u64 },
    /// A room and one's role in it, valid at the head in it.
    Room { room: &'a v1::Room, role: v1::Role },
    /// The whole inbox was read and the room was not in it; its head was `head_seq` when the
    /// reading began.
    Unlisted { room_id: &'a str, head_seq: u64 },
    /// One's own read mark: the receipt of another device, or the answer to a call.
    Read { room_id: &'a str, mark: ReadMark, epoch: u64 },
    /// How far someone else is.
    Receipt { room_id: &'a str, user_id: &'a str, receipt: Receipt, epoch: u64 },
    /// One's own flag of a room.
    Hidden { room_id: &'a str, is_hidden: bool, order: u64 },
    /// All members, when events up to `seq` were there.
    Members { room_id: &'a str, members: &'a [(String, v1::Role)], seq: u64, epoch: u64 },
    /// What a part of a room's log holds, with all changes up to `as_of`.
    Page { room_id: &'a str, events: &'a [v1::Event], covers: RangeInclusive<u64>, as_of: u64, epoch: u64 },
    /// Messages of the room are kept from now on, or no longer.
    Open { room_id: &'a str, is_open: bool },
    /// Someone types, until then by the caller's clock.
    Typing { room_id: &'a str, user_id: &'a str, until: Duration },
    /// The caller's clock. Signals of typing that end before it are over.
    Time(Duration),
    /// Someone is online, or not.
    Presence { user_id: &'a str, is_online: bool, order: u64 },
}

/// What a change of the state was about: of these parts there is a new value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A room.
    Room {
        /// Which.
        room_id: String,
        /// What of it.
        parts: Parts,
    },
    /// Whether someone is online.
    Presence {
        /// Who.
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
    /// How far others are.
    pub receipts: bool,
    /// Who types.
    pub typing: bool,
}

impl Parts {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
