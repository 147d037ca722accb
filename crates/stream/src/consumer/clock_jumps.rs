//! Detects jumps of a clock by comparing it with a monotonic one.

use parlance_core::Timestamp;
use tokio::time::Instant;

use crate::limits::CLOCK_DRIFT;

/// A clock, as of the last check.
pub(super) struct ClockJumps {
    seen: Timestamp,
    at: Instant,
}

impl ClockJumps {
    pub(super) fn new(now: Timestamp) -> Self {
        Self { seen: now, at: Instant::now() }
    }

    /// How many milliseconds the clock has jumped since the last check.
    pub(super) fn jumped(&mut self, now: Timestamp) -> i64 {
        let passed = u64::try_from(self.at.elapsed().as_millis()).unwrap_or(u64::MAX);
        let expected = self.seen.0.saturating_add(passed);
        *self = Self::new(now);
        let is_jump = u128::from(now.0.abs_diff(expected)) > CLOCK_DRIFT.as_millis();
        if is_jump { now.0.cast_signed().wrapping_sub(expected.cast_signed()) } else { 0 }
    }
}
