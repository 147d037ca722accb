//! Unread counts, computed from counters that only grow.

use crate::limits::MAX_UNREAD_EXACT;
use crate::{Body, Event, Head, SeqRange};

/// A position in a room together with the messages counted up to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mark {
    /// The position.
    pub seq: u64,
    /// Messages in the room up to this position.
    pub message_count: u64,
    /// Messages deleted by events up to this position. May be too low, never too high.
    pub deleted_count: u64,
}

impl Mark {
    /// The mark at an event.
    pub fn at(event: &Event) -> Self {
        Self { seq: event.seq, message_count: event.message_count, deleted_count: event.deleted_count }
    }

    /// The mark at `seq` when the event at `seq` is no longer kept: counts everything before `first`, the first kept
    /// event after it.
    pub fn before(seq: u64, first: &Event) -> Self {
        let is_message = u64::from(matches!(first.body, Body::Message(_)));
        let is_deletion = u64::from(matches!(first.body, Body::MessageDeleted { .. }));
        Self {
            seq,
            message_count: first.message_count.saturating_sub(is_message),
            deleted_count: first.deleted_count.saturating_sub(is_deletion),
        }
    }
}

impl From<Head> for Mark {
    fn from(head: Head) -> Self {
        Self { seq: head.seq(), message_count: head.message_count(), deleted_count: head.deleted_count() }
    }
}

/// How far one user has received and read a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cursors {
    /// Received up to this seq, by the furthest device.
    pub delivered: u64,
    /// Read up to here.
    pub read: Mark,
}

impl Cursors {
    /// Advances to `other`, never moves back.
    pub fn advance(&mut self, other: Self) {
        self.delivered = self.delivered.max(other.delivered);
        if other.read.seq > self.read.seq {
            self.read = other.read;
        }
    }
}

/// The unread messages of a room, before subtracting deleted ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unread {
    /// Messages after the mark, including deleted ones.
    messages: u64,
    /// The range in which deleted messages must be counted.
    deleted_in: Option<SeqRange>,
}

impl Unread {
    /// The unread messages at `head` after the mark `read`.
    ///
    /// A message after the mark can only have been deleted after the mark, so without deletions since then there is
    /// nothing to subtract.
    pub fn new(head: Head, read: Mark) -> Self {
        let messages = head.message_count().saturating_sub(read.message_count);
        let may_hold =
            head.deleted_count() > read.deleted_count && (1..=MAX_UNREAD_EXACT).contains(&messages);
        let range = SeqRange { from: read.seq + 1, to: head.seq() };
        Self { messages, deleted_in: (may_hold && range.from <= range.to).then_some(range) }
    }

    /// The range in which messages deleted up to the head must be counted for [`Self::less_deleted`]; `None` if there
    /// are none.
    pub fn deleted_in(self) -> Option<SeqRange> {
        self.deleted_in
    }

    /// The unread count, with `deleted` messages counted in [`Self::deleted_in`].
    pub fn less_deleted(self, deleted: u64) -> u64 {
        self.messages.saturating_sub(deleted)
    }
}
