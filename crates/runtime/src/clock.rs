use std::sync::Arc;

use parlance_core::{Clock, ClockMonitor, Timestamp};

/// The clock for stamping events and checking tokens: the process's own, corrected if it differs too much from that
/// of the servers shared by all nodes.
#[derive(Debug)]
pub struct BoundedClock(Arc<ClockMonitor>);

impl BoundedClock {
    /// Creates the clock that `monitor` checks.
    pub fn new(monitor: Arc<ClockMonitor>) -> Self {
        metrics::describe_counter!(
            "parlance_clock_corrections_total",
            "clock readings corrected because the clock is wrong"
        );
        Self(monitor)
    }
}

impl Clock for BoundedClock {
    fn now(&self) -> Timestamp {
        let (now, correction) = (self.0.uncorrected(), self.0.correction_ms());
        if correction == 0 {
            return now;
        }
        metrics::counter!("parlance_clock_corrections_total").increment(1);
        Timestamp(now.0.saturating_add_signed(correction.saturating_neg()))
    }
}

#[cfg(test)]
mod tests {
    use parlance_core::{ClockOffset, SystemClock, TimeSource};

    use super::*;

    #[test]
    fn wrong_clock_is_corrected_to_within_half_a_minute() {
        let monitor = Arc::new(ClockMonitor::new(Arc::new(SystemClock)));
        let clock = BoundedClock::new(monitor.clone());
        for (ahead_ms, read) in [(3_600_000, -3_570_000), (-3_600_000, 3_570_000), (29_000, 0)] {
            monitor.record(TimeSource::Store, ClockOffset { ahead_ms, tolerance_ms: 0 });
            let (before, now) = (SystemClock.now().0, clock.now().0);
            let least = before.saturating_add_signed(read);
            assert!((least..least + 10_000).contains(&now), "{ahead_ms}: {now} and not {least}");
        }
    }
}
