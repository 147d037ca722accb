//! Delays between attempts.

use std::time::Duration;

/// Delays that double with each failure up to a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The delay after the first failure.
    pub first: Duration,
    /// The longest delay.
    pub longest: Duration,
}

impl Backoff {
    /// The delay after this many failures, at least one.
    pub fn delay(self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        self.first.saturating_mul(1 << doublings).min(self.longest)
    }

    /// Like [`Self::delay`], with jitter from 64 random bits: between half of the delay and all of it, for many
    /// clients that lose the same server at once.
    pub fn jittered(self, failures: u32, random: u64) -> Duration {
        let half = self.delay(failures) / 2;
        half + half.mul_f64(fraction(random))
    }

    /// A random fraction of the delay, from 64 random bits: for operations that collided and must not collide
    /// again.
    pub fn spread(self, failures: u32, random: u64) -> Duration {
        self.delay(failures).mul_f64(fraction(random))
    }
}

/// Converts random bits to a number in [0, 1).
fn fraction(random: u64) -> f64 {
    f64::from((random >> 32) as u32) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(16) };

    #[test]
    fn delays_double_up_to_the_longest() {
        let delays: Vec<u64> = [0, 1, 2, 3, 5, 6, 40, u32::MAX].map(|n| BACKOFF.delay(n).as_secs()).into();
        assert_eq!(delays, [1, 1, 2, 4, 16, 16, 16, 16]);
        let huge = Backoff { first: Duration::MAX / 2, longest: Duration::MAX };
        assert_eq!(huge.delay(u32::MAX), Duration::MAX, "without an overflow");
    }

    #[test]
    fn jitter_stays_within_its_bounds() {
        for random in [0, 1 << 40, u64::MAX / 2, u64::MAX] {
            let jittered = BACKOFF.jittered(3, random);
            assert!((Duration::from_secs(2)..=Duration::from_secs(4)).contains(&jittered), "{jittered:?}");
            assert!(BACKOFF.spread(3, random) < Duration::from_secs(4));
        }
        assert_eq!(BACKOFF.spread(3, 0), Duration::ZERO);
    }
}
