//! Randomness for jitter and for ids: enough to tell clients apart, nothing secret.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// The standard library seeds its hash maps from the operating system; a hash of
/// nothing under a fresh seed is a random number, without a dependency for it.
pub(crate) fn number() -> u64 {
    RandomState::new().hash_one(())
}

/// Between half of `delay` and all of it, so that clients which lost the same server
/// do not come back in one wave.
pub(crate) fn jittered(delay: Duration) -> Duration {
    let half = delay / 2;
    half + half.mul_f64((number() % 1024) as f64 / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_differ_and_jitter_stays_in_range() {
        assert_ne!(number(), number());
        let delay = Duration::from_millis(800);
        for _ in 0..100 {
            assert!((delay / 2..=delay).contains(&jittered(delay)));
        }
    }
}
