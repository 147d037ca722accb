//! What every sink is promised, held against the logs: each event at least once, and first occurrences in order.

use std::collections::BTreeMap;

/// Epoch and seq of an event.
pub(super) type Key = (u64, u64);

/// The events of each room, as they came.
pub(super) type Arrivals = BTreeMap<String, Vec<Key>>;

/// The last event of each room.
pub(super) type Heads = BTreeMap<String, u64>;

/// What a sink has.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::torture) struct Tally {
    /// First occurrences.
    pub(in crate::torture) events: u64,
    pub(in crate::torture) repeats: u64,
    /// First occurrences that did not follow the one before.
    pub(in crate::torture) disordered: u64,
    /// Events of the logs that never came.
    pub(in crate::torture) missing: u64,
    /// Some of these, in words.
    pub(in crate::torture) examples: Vec<String>,
}

/// Examples that are kept.
const EXAMPLES: usize = 5;

/// Whether every event of `heads` is there.
pub(super) fn is_complete(arrivals: &Arrivals, heads: &Heads) -> bool {
    let tally = tally(arrivals, heads);
    tally.missing == 0
}

/// Holds what came against the logs.
pub(super) fn tally(arrivals: &Arrivals, heads: &Heads) -> Tally {
    let mut tally = Tally::default();
    let example = |examples: &mut Vec<String>, text: String| {
        if examples.len() < EXAMPLES {
            examples.push(text);
        }
    };
    for (room, head) in heads {
        let mut last = (0, 0);
        for key in arrivals.get(room).map(Vec::as_slice).unwrap_or_default() {
            if *key <= last {
                tally.repeats += 1;
                continue;
            }
            // Nothing is restored in a run: there is one epoch.
            if key.1 != last.1 + 1 {
                tally.disordered += 1;
                example(&mut tally.examples, format!("{room} goes on with {key:?} after {last:?}"));
            }
            tally.events += 1;
            last = *key;
        }
        // What was skipped counts as missing, also if it came later: then it was too late.
        let missing = head.saturating_sub(last.1);
        tally.missing += missing;
        if missing > 0 {
            example(&mut tally.examples, format!("{room} ends with {last:?}, its log with {head}"));
        }
    }
    tally
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(came: &[u64], expected: (u64, u64, u64, u64)) {
        let arrivals = Arrivals::from([("room".to_owned(), came.iter().map(|seq| (1, *seq)).collect())]);
        let found = tally(&arrivals, &Heads::from([("room".to_owned(), 4)]));
        assert_eq!((found.events, found.repeats, found.disordered, found.missing), expected, "{came:?}");
        assert_eq!(found.examples.is_empty(), found.disordered + found.missing == 0);
    }

    #[test]
    fn repeats_are_allowed_holes_are_not() {
        check(&[1, 2, 3, 4], (4, 0, 0, 0));
        check(&[1, 2, 1, 2, 3, 3, 4], (4, 3, 0, 0));
        check(&[1, 2, 4, 3], (3, 1, 1, 0));
        check(&[1, 2], (2, 0, 0, 2));
        check(&[], (0, 0, 0, 4));
    }
}
