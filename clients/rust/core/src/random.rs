use std::time::Duration;

/// Jitter and ids: a generator that is seeded from outside, so that a session can be
/// replayed. Its output is not secret.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// SplitMix64.
    fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Between half of `delay` and all of it, so that clients of a lost server do not
    /// reconnect simultaneously.
    pub(crate) fn jittered(&mut self, delay: Duration) -> Duration {
        let half = delay / 2;
        half + half.mul_f64((self.number() % 1024) as f64 / 1024.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_in_range_and_repeats_for_a_seed() {
        let delay = Duration::from_millis(800);
        let (mut random, mut same) = (Random::new(7), Random::new(7));
        let delays: Vec<_> = (0..100).map(|_| random.jittered(delay)).collect();
        assert!(delays.iter().all(|jittered| (delay / 2..=delay).contains(jittered)));
        assert!(delays.iter().any(|jittered| *jittered != delays[0]));
        assert!(delays.iter().all(|jittered| same.jittered(delay) == *jittered));
    }
}
