//! The iterators of one shard, and which of their places mean the same. Pure.
//!
//! Consumers note the end of a shard, or meet a new one, at different times: their places differ by milliseconds though
//! no record lies between them, and each would be read for itself. A consumer that finds nothing moves to the place of
//! another one that has found nothing, if reading on from there yields all that its own place would.

use std::collections::VecDeque;

use tokio::time::Instant;

use super::frontier::Place;
use crate::dynamo::limits::{ITERATOR_AGE, ITERATORS_KEPT};

/// Where the reading that led to an iterator began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// At the first record that the shard still has.
    Horizon,
    /// At the end that the shard had when the place was noted here.
    End,
    /// After a record.
    Record,
}

impl Origin {
    /// That of a new iterator for `place`.
    pub(super) fn of(place: &Place) -> Self {
        match place {
            Place::After(_) => Self::Record,
            // Iterators cannot start at a time.
            _ => Self::Horizon,
        }
    }
}

#[derive(Debug)]
struct Kept {
    place: Place,
    iterator: String,
    at: Instant,
    origin: Origin,
    /// Of places by their first iterator: rises.
    number: u64,
}

#[derive(Debug, Default)]
pub(super) struct Iterators {
    kept: VecDeque<Kept>,
    numbers: u64,
}

impl Iterators {
    /// The iterator for a place, and where it began.
    pub(super) fn of(&self, place: &Place) -> Option<(String, Origin)> {
        let kept = self.find(place)?;
        (kept.at.elapsed() < ITERATOR_AGE).then(|| (kept.iterator.clone(), kept.origin))
    }

    /// Keeps an iterator in place of an earlier one.
    pub(super) fn keep(&mut self, place: Place, iterator: String, origin: Origin) {
        let before = self.find(&place).filter(|kept| kept.origin == origin).map(|kept| kept.number);
        let number = before.unwrap_or_else(|| {
            self.numbers += 1;
            self.numbers
        });
        self.forget(&place);
        self.kept.push_back(Kept { place, iterator, at: Instant::now(), origin, number });
        self.kept.drain(..self.kept.len().saturating_sub(ITERATORS_KEPT));
    }

    pub(super) fn forget(&mut self, place: &Place) {
        self.kept.retain(|kept| kept.place != *place);
    }

    /// Whether a reader of `other`, which has found nothing, may go on from `place` instead: all records that follow
    /// `other` follow `place` as well. Never so for a place after a record, which would be read again and again.
    pub(super) fn covers(&self, place: &Place, other: &Place) -> bool {
        let (Some(own), Some(of_other)) = (self.find(place), self.find(other)) else { return false };
        let is_noted_later = of_other.origin == Origin::End && own.number < of_other.number;
        match (place, other) {
            (_, Place::After(_) | Place::End) | (Place::End, _) => false,
            (Place::Start(_), _) => true,
            // Other processes may have noted either: only what is read from the first record on is comparable by time.
            (Place::Since(at), Place::Since(later)) if own.origin == Origin::Horizon => at <= later,
            (Place::Since(_) | Place::After(_), Place::Since(_)) => is_noted_later,
            (Place::Since(_) | Place::After(_), Place::Start(_)) => false,
        }
    }

    fn find(&self, place: &Place) -> Option<&Kept> {
        self.kept.iter().find(|kept| kept.place == *place)
    }
}

#[cfg(test)]
mod tests {
    use parlance_core::Timestamp;

    use super::*;

    const FIRST: Place = Place::Since(Timestamp(1_000));
    const SECOND: Place = Place::Since(Timestamp(1_001));
    const BEGUN: Place = Place::Start(Timestamp(1_002));

    fn record() -> Place {
        Place::After("7".to_owned())
    }

    /// Iterators for these places, one after the other.
    fn iterators(places: &[(Place, Origin)]) -> Iterators {
        let mut iterators = Iterators::default();
        for (place, origin) in places {
            iterators.keep(place.clone(), "iterator".to_owned(), *origin);
        }
        iterators
    }

    fn check(places: &[(Place, Origin)], covers: bool) {
        let found = iterators(places).covers(&places[0].0, &places[1].0);
        assert_eq!(found, covers, "{places:?}");
    }

    #[test]
    fn a_place_stands_for_later_ones_of_the_same_kind() {
        check(&[(FIRST, Origin::End), (SECOND, Origin::End)], true);
        check(&[(FIRST, Origin::Horizon), (SECOND, Origin::Horizon)], true);
        check(&[(FIRST, Origin::Horizon), (SECOND, Origin::End)], true);
        check(&[(SECOND, Origin::Horizon), (FIRST, Origin::Horizon)], false);
        check(&[(BEGUN, Origin::Horizon), (Place::Start(Timestamp(5)), Origin::Horizon)], true);
        check(&[(BEGUN, Origin::Horizon), (FIRST, Origin::End)], true);
        check(&[(FIRST, Origin::Horizon), (BEGUN, Origin::Horizon)], false);
    }

    /// Times are those of several clocks.
    #[test]
    fn an_end_that_was_noted_here_stands_for_nothing_that_was_noted_elsewhere() {
        check(&[(FIRST, Origin::End), (SECOND, Origin::Horizon)], false);
        check(&[(record(), Origin::Record), (SECOND, Origin::Horizon)], false);
        check(&[(record(), Origin::Record), (SECOND, Origin::End)], true);
        let later = iterators(&[(SECOND, Origin::End), (record(), Origin::Record), (FIRST, Origin::End)]);
        assert!(!later.covers(&record(), &SECOND) && !later.covers(&FIRST, &SECOND));
        assert!(later.covers(&SECOND, &FIRST), "noted earlier, though the clock was set back since");
    }

    #[test]
    fn a_place_after_a_record_is_never_left_for_another() {
        for place in [BEGUN, FIRST, Place::After("6".to_owned())] {
            let origin = Origin::of(&place);
            check(&[(place, origin), (record(), Origin::Record)], false);
        }
    }

    /// It begins elsewhere.
    #[test]
    fn a_place_with_a_new_iterator_is_as_new_as_that() {
        let mut iterators = iterators(&[(FIRST, Origin::End), (SECOND, Origin::End)]);
        iterators.keep(FIRST, "read on".to_owned(), Origin::End);
        assert!(iterators.covers(&FIRST, &SECOND));
        iterators.keep(SECOND, "new".to_owned(), Origin::Horizon);
        assert!(!iterators.covers(&FIRST, &SECOND));
        iterators.forget(&SECOND);
        assert!(!iterators.covers(&FIRST, &SECOND));
    }
}
