//! What arrives, held against what must arrive.

use std::collections::BTreeSet;
use std::ops::{AddAssign, Range};

/// What came out of a comparison. All but `delivered` must be zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Came as they should.
    pub(super) delivered: u64,
    /// Did not come.
    pub(super) lost: u64,
    /// Came more than once.
    pub(super) duplicated: u64,
    /// Came after a later one.
    pub(super) out_of_order: u64,
    /// Came to someone who should not have it.
    pub(super) uninvited: u64,
    /// Came with another text or sender, or as something that was never sent.
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

/// The messages of one room as one reader gets them. Messages are named by their place
/// in the plan.
#[derive(Debug)]
pub(super) struct Verifier {
    /// What must come: ranges that rise and do not touch each other's inside.
    expected: Vec<Range<usize>>,
    /// The next one that must come, or the end of all.
    next: usize,
    /// Passed over so far.
    missing: BTreeSet<usize>,
    tally: Tally,
}

/// How a message was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// It was expected, and is there for the first time.
    Delivered,
    /// Anything else; it is in the tally.
    Wrong,
}

impl Verifier {
    pub(super) fn new(expected: Vec<Range<usize>>) -> Self {
        let expected: Vec<_> = expected.into_iter().filter(|range| !range.is_empty()).collect();
        let next = expected.first().map_or(usize::MAX, |range| range.start);
        Self { expected, next, missing: BTreeSet::new(), tally: Tally::default() }
    }

    /// How many must come in all.
    pub(super) fn total(&self) -> u64 {
        self.expected.iter().map(|range| range.len() as u64).sum()
    }

    /// A message came on the stream.
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

    /// A message was paged, because the stream named a gap there.
    pub(super) fn take_paged(&mut self, place: usize) -> Taken {
        let known = self.expected.iter().any(|range| range.contains(&place));
        if known && place >= self.next {
            return self.take(place);
        }
        if !self.missing.remove(&place) {
            // Pages may overlap with what came, and show what was before one's time.
            return Taken::Wrong;
        }
        self.tally.delivered += 1;
        Taken::Delivered
    }

    /// A message came that is not as it was sent.
    pub(super) fn altered(&mut self) {
        self.tally.altered += 1;
    }

    /// The same event came twice.
    pub(super) fn repeated(&mut self) {
        self.tally.duplicated += 1;
    }

    /// What it comes to, now that nothing more comes.
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
