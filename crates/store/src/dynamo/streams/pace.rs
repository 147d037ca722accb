//! How often a shard is read.
//!
//! The service throttles a shard that all of its readers together read too often. They do not know of each other: each
//! halves its rate when it is throttled, and raises it slowly otherwise, so they share what the service allows. Pure.

use std::time::Duration;

use parlance_core::Backoff;
use tokio::time::Instant;

use crate::dynamo::limits::SLOWEST_POLL;

/// The pace of one reader of one shard.
#[derive(Debug, Clone)]
pub(super) struct Pace {
    /// The interval of a reader that is never throttled.
    usual: Duration,
    every: Duration,
    /// When the next read is due, if the interval is longer than usual.
    due: Option<Instant>,
}

impl Pace {
    pub(super) fn new(usual: Duration) -> Self {
        Self { usual, every: usual, due: None }
    }

    /// Whether the shard may be read now.
    pub(super) fn allows(&self, now: Instant) -> bool {
        self.due.is_none_or(|due| due <= now)
    }

    /// The service has answered a read.
    pub(super) fn answered(&mut self, now: Instant) {
        self.every = (self.every - self.every / 16).max(self.usual);
        self.due = (self.every > self.usual).then(|| now + self.every);
    }

    /// The service was too busy for a read.
    pub(super) fn throttled(&mut self, now: Instant, random: u64) {
        self.every = (self.every * 2).min(SLOWEST_POLL.max(self.usual));
        let wait = Backoff { first: self.every, longest: self.every }.jittered(1, random);
        self.due = Some(now + wait);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: Duration = Duration::from_millis(500);
    /// What the service allows for a shard, by all readers together.
    const CALLS_A_SECOND: u32 = 5;
    const STEP: Duration = Duration::from_millis(10);

    struct Reader {
        pace: Pace,
        asked: Instant,
        answered: Instant,
        calls: u32,
        refused: u32,
        longest_gap: Duration,
    }

    /// Readers of one shard for some minutes of simulated time.
    fn run(readers: usize) -> Vec<Reader> {
        let begun = Instant::now();
        let mut random = 7u64;
        let new = |_| Reader {
            pace: Pace::new(USUAL),
            asked: begun,
            answered: begun,
            calls: 0,
            refused: 0,
            longest_gap: Duration::ZERO,
        };
        let mut all: Vec<Reader> = (0..readers).map(new).collect();
        let mut tokens = f64::from(CALLS_A_SECOND);
        for step in 1..60_000 {
            let now = begun + STEP * step;
            tokens = (tokens + f64::from(CALLS_A_SECOND) * STEP.as_secs_f64()).min(f64::from(CALLS_A_SECOND));
            for reader in &mut all {
                random =
                    random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                if now - reader.asked < USUAL || !reader.pace.allows(now) {
                    continue;
                }
                (reader.asked, reader.calls) = (now, reader.calls + 1);
                if tokens >= 1.0 {
                    tokens -= 1.0;
                    reader.longest_gap = reader.longest_gap.max(now - reader.answered);
                    reader.answered = now;
                    reader.pace.answered(now);
                } else {
                    reader.refused += 1;
                    reader.pace.throttled(now, random);
                }
            }
        }
        all
    }

    #[test]
    fn two_readers_are_never_throttled() {
        for reader in run(2) {
            assert_eq!((reader.refused, reader.longest_gap), (0, USUAL));
        }
    }

    #[test]
    fn more_readers_share_what_the_service_allows() {
        for readers in [3, 5, 10] {
            let all = run(readers);
            let calls: u32 = all.iter().map(|reader| reader.calls).sum();
            let refused: u32 = all.iter().map(|reader| reader.refused).sum();
            println!("{readers} readers: {refused} of {calls} calls refused");
            assert!(refused * 4 < calls, "{readers} readers: {refused} of {calls} calls refused");
            for reader in all {
                assert!(reader.longest_gap < SLOWEST_POLL * 8, "{readers} readers: {:?}", reader.longest_gap);
            }
        }
    }
}
