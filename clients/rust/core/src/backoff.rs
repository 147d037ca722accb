use std::time::Duration;

use crate::random::Random;

/// Initial delay: a restarting server is back within moments.
const FIRST: Duration = Duration::from_millis(100);

/// Longest delay: acceptable to a waiting user, and no burden on a server that is down.
const LONGEST: Duration = Duration::from_secs(10);

/// The delay before attempt number `attempt` (from 0) after a failure: doubling, with
/// jitter.
pub(crate) fn delay(attempt: u32, random: &mut Random) -> Duration {
    random.jittered(FIRST.saturating_mul(1 << attempt.min(16)).min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_a_bound() {
        let mut random = Random::new(1);
        let mut delay = |attempt| delay(attempt, &mut random);
        assert!((FIRST / 2..=FIRST).contains(&delay(0)));
        assert!((FIRST * 4..=FIRST * 8).contains(&delay(3)));
        assert!((LONGEST / 2..=LONGEST).contains(&delay(u32::MAX)));
    }
}
