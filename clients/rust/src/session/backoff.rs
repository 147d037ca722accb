use std::time::Duration;

use crate::random::jittered;

/// First delay: a server that restarts is back within moments.
const FIRST: Duration = Duration::from_millis(100);

/// Longest delay: what a person would wait for, and no burden on a server that is down.
const LONGEST: Duration = Duration::from_secs(10);

/// The delay before try number `attempt` (from 0) after a failure: doubling, with jitter.
pub(super) fn delay(attempt: u32) -> Duration {
    jittered(FIRST.saturating_mul(1 << attempt.min(16)).min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_a_bound() {
        assert!(delay(0) <= FIRST && delay(0) >= FIRST / 2);
        assert!(delay(3) <= FIRST * 8 && delay(3) >= FIRST * 4);
        assert!(delay(u32::MAX) <= LONGEST && delay(u32::MAX) >= LONGEST / 2);
    }
}
