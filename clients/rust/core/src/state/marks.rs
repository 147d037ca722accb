//! The parts of the unread count.

/// Deletions after the mark that are remembered. Beyond that, the count is an estimate until the
/// inbox is read again.
const MAX_DELETIONS: usize = 256;

/// The head of a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Head {
    pub(super) seq: u64,
    /// Messages up to there.
    pub(super) message_count: u64,
}

impl Head {
    pub(super) fn advance(&mut self, other: Self) {
        self.seq = self.seq.max(other.seq);
        self.message_count = self.message_count.max(other.message_count);
    }
}

/// The user's read position in a room, with the counts at that seq if known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReadMark {
    /// Up to this seq.
    pub seq: u64,
    /// Messages of the room up to it.
    pub message_count: Option<u64>,
    /// Deletions in the room up to it.
    pub deleted_count: Option<u64>,
}

/// Unread messages: those at the head, minus those up to the read mark, minus those after the
/// mark that were deleted. Each part is valid at a seq, and only moves forward.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Marks {
    /// The user's read position, over all devices.
    pub(super) read_seq: u64,
    /// Messages up to the mark; a lower bound unless `is_exact`.
    read_count: u64,
    is_exact: bool,
    /// Deletions in the room up to the mark, if known.
    read_deleted: Option<u64>,
    base: Base,
    /// Received deletions after the mark of messages after the mark: seq and target.
    deletions: Vec<(u64, u64)>,
    /// All events from here to the last received one were received.
    pub(super) covered_from: u64,
    /// The last event that was received, or skipped by a gap.
    pub(super) covered_to: u64,
    /// Deletions in the room at `covered_to`, if an event contained it.
    deleted_count: Option<u64>,
}

/// The inbox's count of deleted messages after a mark, at a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Base {
    read_seq: u64,
    head_seq: u64,
    deleted: u64,
}

impl Default for Marks {
    fn default() -> Self {
        Self {
            read_seq: 0,
            read_count: 0,
            is_exact: true,
            read_deleted: None,
            base: Base::default(),
            deletions: Vec::new(),
            covered_from: u64::MAX,
            covered_to: 0,
            deleted_count: None,
        }
    }
}

impl Marks {
    pub(super) fn advance(&mut self, mark: ReadMark, head: Head) {
        let ReadMark { seq, message_count, deleted_count } = mark;
        if seq < self.read_seq {
            return;
        }
        if seq == self.read_seq {
            if let Some(count) = message_count.filter(|_| !self.is_exact) {
                (self.read_count, self.is_exact) = (count, true);
            }
            self.read_deleted = self.read_deleted.or(deleted_count);
            return;
        }
        let known = if seq >= head.seq { head.message_count } else { self.read_count };
        self.read_seq = seq;
        self.read_count = self.read_count.max(message_count.unwrap_or(known));
        self.is_exact = message_count.is_some() || seq == head.seq;
        self.read_deleted = deleted_count;
        self.deletions.retain(|(_, target)| *target > seq);
    }

    /// Applies a received event; `deletes` is the message that it deletes.
    pub(super) fn event(&mut self, mark: ReadMark, deletes: Option<u64>) {
        let ReadMark { seq, message_count, deleted_count } = mark;
        if seq > self.covered_to {
            if seq != self.covered_to + 1 || self.covered_from > seq {
                self.covered_from = seq;
            }
            (self.covered_to, self.deleted_count) = (seq, deleted_count);
        }
        self.count_at(seq, message_count.unwrap_or_default());
        let Some(target) = deletes else { return };
        if target <= self.read_seq || self.deletions.iter().any(|(known, _)| *known == seq) {
            return;
        }
        let place = self.deletions.partition_point(|(known, _)| *known < seq);
        self.deletions.insert(place, (seq, target));
        if self.deletions.len() > MAX_DELETIONS {
            let (dropped, _) = self.deletions.remove(0);
            self.covered_from = self.covered_from.max(dropped + 1);
        }
    }

    /// Events up to `seq` will not be received.
    pub(super) fn hole(&mut self, seq: u64) {
        if seq > self.covered_to {
            (self.covered_from, self.covered_to, self.deleted_count) = (seq.saturating_add(1), seq, None);
        }
    }

    /// Applies an inbox entry as of a head.
    pub(super) fn snapshot(&mut self, head: Head, mark: ReadMark, unread_count: u64) {
        self.advance(mark, head);
        self.count_at(head.seq, head.message_count);
        if (head.seq, mark.seq) < (self.base.head_seq, self.base.read_seq) {
            return;
        }
        let read = mark.message_count.unwrap_or_default();
        let deleted = head.message_count.saturating_sub(read).saturating_sub(unread_count);
        self.base = Base { read_seq: mark.seq, head_seq: head.seq, deleted };
    }

    /// A message count at a seq up to the mark: at least this many messages were read.
    fn count_at(&mut self, seq: u64, message_count: u64) {
        if !self.is_exact && seq <= self.read_seq {
            self.read_count = self.read_count.max(message_count);
            self.is_exact = seq == self.read_seq;
        }
    }

    /// Unread messages, and whether that is exact or has to be read again.
    pub(super) fn unread(&self, head: Head) -> (u64, bool) {
        if self.read_seq >= head.seq {
            return (0, true);
        }
        let (deleted, is_exact) = self.deleted_after_mark();
        let unread = head.message_count.saturating_sub(self.read_count).saturating_sub(deleted);
        (unread, is_exact && self.is_exact)
    }

    fn deleted_after_mark(&self) -> (u64, bool) {
        let Base { read_seq, head_seq, deleted } = self.base;
        // Everything after the mark was received.
        if self.covered_to >= head_seq && self.covered_from <= self.read_seq + 1 {
            return (self.deletions.len() as u64, true);
        }
        let later = self.deletions.iter().filter(|(seq, _)| *seq > head_seq).count() as u64;
        let has_later = self.covered_to <= head_seq || self.covered_from <= head_seq + 1;
        if read_seq == self.read_seq {
            return (deleted + later, has_later);
        }
        // None of the messages deleted by then is after the mark.
        if read_seq < self.read_seq && (deleted == 0 || head_seq <= self.read_seq) {
            return (later, has_later);
        }
        if self.read_deleted.is_some()
            && self.read_deleted == self.deleted_count
            && self.covered_to >= head_seq
        {
            return (0, true);
        }
        (self.deletions.len() as u64, false)
    }
}
