//! Unread counts are arithmetic on two numbers that only grow.

/// A position in a room together with the messages counted up to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mark {
    /// The position.
    pub seq: u64,
    /// Messages in the room up to it.
    pub message_count: u64,
}

/// How far one user has a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cursors {
    /// Received up to this seq, by whichever device is furthest.
    pub delivered: u64,
    /// Read up to here.
    pub read: Mark,
}

impl Cursors {
    /// Moves forward to what `other` has reached; never back.
    pub fn advance(&mut self, other: Self) {
        self.delivered = self.delivered.max(other.delivered);
        if other.read.seq > self.read.seq {
            self.read = other.read;
        }
    }
}

/// Messages after `read` in a room whose head counts `message_count`.
pub fn unread(message_count: u64, read: Mark) -> u64 {
    message_count.saturating_sub(read.message_count)
}
