//! Compares received messages with the expected ones.

use std::collections::BTreeSet;
use std::ops::{AddAssign, Range};

/// The result of a comparison. All but `delivered` must be zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Received as expected.
    pub(super) delivered: u64,
    /// Not received.
    pub(super) lost: u64,
    /// Received more than once.
    pub(super) duplicated: u64,
    /// Received after a later one.
    pub(super) out_of_order: u64,
    /// Received by someone who should not have it.
    pub(super) uninvited: u64,
    /// Received with another text or sender, or never sent at all.
    pub(super) altered: u64,
}

impl Tally {
    pub(super) fn is_clean(&self) -> bool {
        *self == Self { delivered: self.delivered, ..Self::default() }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.delivered += other.delivered;
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.out_of_order += other.out_of_order;
        self.uninvited += other.uninvited;
        self.altered += other.altered;
    }
}

/// One reader's messages in a room, identified by their place in the plan.
#[derive(Debug)]
pub(super) struct Verifier {
    /// Expected messages: ascending, disjoint ranges.
    expected: Vec<Range<usize>>,
    /// The next expected one, or the end.
    next: usize,
    /// Skipped so far.
    missing: BTreeSet<usize>,
    tally: Tally,
}

/// The classification of a received message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// Expected, and received for the first time.
    Delivered,
    /// Anything else; counted in the tally.
    Wrong,
}

impl Verifier {
    pub(super) fn new(expected: Vec<Range<usize>>) -> Self {
        let expected: Vec<_> = expected.into_iter().filter(|range| !range.is_empty()).collect();
        let next = expected.first().map_or(usize::MAX, |range| range.start);
        Self { expected, next, missing: BTreeSet::new(), tally: Tally::default() }
    }

    /// Total number of expected messages.
    pub(super) fn total(&self) -> u64 {
        self.expected.iter().map(|range| range.len() as u64).sum()
    }

    /// Classifies a message received on the stream.
    pub(super) fn take(&mut self, place: usize) -> Taken {
        if !self.expected.iter().any(|range| range.contains(&place)) {
            self.tally.uninvited += 1;
            return Taken::Wrong;
        }
        if place < self.next {
            if !self.missing.remove(&place) {
                self.tally.duplicated += 1;
                return Taken::Wrong;
            }
            self.tally.out_of_order += 1;
            return Taken::Wrong;
        }
        while self.next < place {
            self.missing.insert(self.next);
            self.next = self.after(self.next);
        }
        self.next = self.after(place);
        self.tally.delivered += 1;
        Taken::Delivered
    }

    /// Classifies a message read from a page because of a gap in the stream.
    pub(super) fn take_paged(&mut self, place: usize) -> Taken {
        let known = self.expected.iter().any(|range| range.contains(&place));
        if known && place >= self.next {
            return self.take(place);
        }
        if !self.missing.remove(&place) {
            // Pages may overlap with received messages, and include messages from
            // before the user joined.
            return Taken::Wrong;
        }
        self.tally.delivered += 1;
        Taken::Delivered
    }

    /// Counts a message that differs from what was sent.
    pub(super) fn altered(&mut self) {
        self.tally.altered += 1;
    }

    /// Counts an event that was received twice.
    pub(super) fn repeated(&mut self) {
        self.tally.duplicated += 1;
    }

    /// The final counts, once nothing more arrives.
    pub(super) fn tally(&self) -> Tally {
        let outstanding =
            self.expected.iter().map(|range| range.end.saturating_sub(range.start.max(self.next)) as u64);
        Tally { lost: self.missing.len() as u64 + outstanding.sum::<u64>(), ..self.tally }
    }

    /// The next expected place after `place`.
    fn after(&self, place: usize) -> usize {
        let next = place + 1;
        let later = self.expected.iter().find(|range| range.end > next);
        later.map_or(usize::MAX, |range| range.start.max(next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(arriving: &[usize], expected: Tally) {
        let mut verifier = Verifier::new(vec![2..5, 5..5, 8..10]);
        assert_eq!(verifier.total(), 5);
        for place in arriving {
            verifier.take(*place);
        }
        assert_eq!(verifier.tally(), expected);
    }

    #[test]
    fn every_failure_is_distinguished() {
        let clean = Tally { delivered: 5, ..Tally::default() };
        check(&[2, 3, 4, 8, 9], clean);
        assert!(clean.is_clean());
        check(&[2, 3, 8], Tally { delivered: 3, lost: 2, ..Tally::default() });
        check(&[], Tally { lost: 5, ..Tally::default() });
        check(&[2, 3, 3, 4, 8, 9, 2], Tally { duplicated: 2, ..clean });
        check(&[2, 4, 3, 8, 9], Tally { delivered: 4, out_of_order: 1, ..Tally::default() });
        check(&[1, 2, 3, 4, 6, 8, 9, 10], Tally { uninvited: 3, ..clean });
        assert!(!Tally { uninvited: 1, ..clean }.is_clean());
    }

    #[test]
    fn pages_fill_gaps_without_disorder() {
        let mut verifier = Verifier::new(vec![0..6]);
        verifier.take(0);
        verifier.take(4);
        for place in [0, 1, 2, 3, 4] {
            verifier.take_paged(place);
        }
        verifier.take(5);
        assert_eq!(verifier.tally(), Tally { delivered: 6, ..Tally::default() });
    }
}
