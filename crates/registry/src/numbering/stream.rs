use std::collections::BTreeSet;

use super::GENERATION_SHIFT;
use crate::limits::MAX_AHEAD;

/// The numbers of one sender in one channel that have arrived.
#[derive(Debug)]
pub(super) struct Stream {
    /// The lowest number that has not arrived.
    next: u64,
    /// Higher numbers that have.
    ahead: BTreeSet<u64>,
    /// The highest number known to be sent.
    pub(super) sent: u64,
    /// The value of `sent` at the last tick: all of these are overdue now.
    due: u64,
}

/// Whether nodes assign this number: each generation starts at 1, and generations do not
/// get that high.
pub(super) fn is_possible(number: u64) -> bool {
    let (generation, within) = (number >> GENERATION_SHIFT, number & ((1 << GENERATION_SHIFT) - 1));
    within != 0 && generation < 1 << 31
}

impl Stream {
    fn starting_at(next: u64) -> Self {
        Self { next, ahead: BTreeSet::new(), sent: next - 1, due: next - 1 }
    }

    /// The stream that an envelope or a beat with `number` belongs to.
    pub(super) fn of(number: u64, strict: bool, is_envelope: bool) -> Self {
        Self::starting_at(match (strict, is_envelope) {
            (true, _) => (number >> GENERATION_SHIFT << GENERATION_SHIFT) + 1,
            (false, true) => number,
            (false, false) => number + 1,
        })
    }

    pub(super) fn is_older_than(&self, number: u64) -> bool {
        (self.next >> GENERATION_SHIFT) < (number >> GENERATION_SHIFT)
    }

    pub(super) fn arrive(&mut self, number: u64) {
        self.sent = self.sent.max(number);
        if number == self.next {
            self.next += 1;
            self.skip_arrived();
        } else if number > self.next && self.ahead.len() < MAX_AHEAD {
            self.ahead.insert(number);
        }
    }

    fn skip_arrived(&mut self) {
        while self.ahead.remove(&self.next) {
            self.next += 1;
        }
    }

    /// Whether a number is overdue, which is then no longer waited for.
    pub(super) fn is_overdue(&mut self) -> bool {
        let overdue = self.next <= self.due;
        if overdue {
            self.next = self.due + 1;
            self.ahead = self.ahead.split_off(&self.next);
            self.skip_arrived();
        }
        self.due = self.sent;
        overdue
    }
}
