use crate::limits::{MAKES_UP, MISSING_AT, MISSING_AT_MOST, MISSING_FOR, THERE_AT};
use std::time::Duration;

/// The state of an intermittent dependency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is available, or has not been away for long enough.
    There,
    /// New clients should go elsewhere.
    Missing,
    /// It is away, and new clients are accepted nevertheless.
    DoneWithout,
}

/// Judges a dependency that a node can do without for a while by how long it was away recently, so that brief
/// recoveries do not hide an outage.
#[derive(Debug, Default)]
pub(super) struct Away {
    /// Time away, less what was compensated.
    debt: Duration,
    missing: bool,
    /// How long it has been missing.
    missing_for: Duration,
}

impl Away {
    /// Whether all time away was compensated.
    pub(super) fn is_settled(&self) -> bool {
        self.debt == Duration::ZERO && !self.missing
    }

    /// Counts `elapsed`, during which it was available or not.
    pub(super) fn pass(&mut self, elapsed: Duration, connected: bool) -> Verdict {
        if self.missing {
            self.missing_for += elapsed;
        }
        self.debt = if connected {
            self.debt.saturating_sub(elapsed / MAKES_UP)
        } else {
            (self.debt + elapsed).min(MISSING_AT_MOST)
        };
        if self.debt >= MISSING_AT {
            self.missing = true;
        } else if self.debt <= THERE_AT {
            (self.missing, self.missing_for) = (false, Duration::ZERO);
        }
        match self.missing {
            false => Verdict::There,
            true if self.missing_for < MISSING_FOR => Verdict::Missing,
            true => Verdict::DoneWithout,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Passes time in steps of half a second: alternating seconds away and available. Returns the verdict after each
    /// step.
    fn play(turns: &[(u64, u64)]) -> Vec<Verdict> {
        let mut away = Away::default();
        let step = Duration::from_millis(500);
        let mut verdicts = Vec::new();
        for (gone, there) in turns {
            for (seconds, connected) in [(gone, false), (there, true)] {
                verdicts.extend((0..seconds * 2).map(|_| away.pass(step, connected)));
            }
        }
        verdicts
    }

    #[test]
    fn reconnect_is_invisible() {
        assert!(play(&[(3, 60), (3, 60)]).iter().all(|verdict| *verdict == Verdict::There));
    }

    #[test]
    fn outage_shows_and_ends_soon_after_the_return() {
        let verdicts = play(&[(10, 7)]);
        assert_eq!(verdicts[8], Verdict::Missing);
        assert_eq!(verdicts.last(), Some(&Verdict::There));
    }

    #[test]
    fn short_returns_do_not_hide_an_outage() {
        let verdicts = play(&[(3, 2), (3, 2), (3, 2), (3, 2)]);
        let first = verdicts.iter().position(|verdict| *verdict == Verdict::Missing).unwrap();
        assert!(first < 20, "{first}");
        assert!(verdicts[first..].iter().all(|verdict| *verdict == Verdict::Missing), "{verdicts:?}");
    }

    #[test]
    fn long_outage_does_not_keep_clients_away() {
        let verdicts = play(&[(60, 10), (10, 0)]);
        assert_eq!(verdicts[60], Verdict::DoneWithout);
        assert_eq!(verdicts[119], Verdict::DoneWithout);
        // The next outage is judged afresh.
        assert_eq!(verdicts[139], Verdict::There);
        assert_eq!(verdicts.last(), Some(&Verdict::Missing));
    }
}
