//! The current time, and how far this process's clock can be trusted.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::Timestamp;
use crate::limits::{MAX_CLOCK_OFFSET_MS, MAX_CLOCK_TOLERANCE_MS};

/// Source of the current time.
pub trait Clock: Send + Sync + 'static {
    /// The current time.
    fn now(&self) -> Timestamp;
}

/// The system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the system's clock")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

/// How far this process's clock is ahead of a server's, measured by one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockOffset {
    /// Milliseconds ahead; negative: behind.
    pub ahead_ms: i64,
    /// Measurement error in milliseconds, either way.
    pub tolerance_ms: u64,
}

impl ClockOffset {
    /// The offset from a request that was sent and answered at these times of this process's clock, while the
    /// server's clock read `server`, with a resolution of `resolution_ms`.
    pub fn measure(sent: Timestamp, answered: Timestamp, server: Timestamp, resolution_ms: u64) -> Self {
        let least = signed(sent.0).saturating_sub(signed(server.0)).saturating_sub(signed(resolution_ms));
        let most = signed(answered.0).saturating_sub(signed(server.0));
        // The clock was set back in between: the order of the bounds is unknown.
        let (least, most) = (least.min(most), least.max(most));
        let half = most.saturating_sub(least) / 2;
        Self { ahead_ms: least.saturating_add(half), tolerance_ms: half.unsigned_abs() + 1 }
    }

    /// The part of the offset that the measurement error does not explain, in milliseconds.
    pub fn certain_ms(&self) -> i64 {
        let certain = self.ahead_ms.unsigned_abs().saturating_sub(self.tolerance_ms);
        signed(certain) * self.ahead_ms.signum()
    }
}

fn signed(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

/// A server whose clock this process's clock is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeSource {
    /// The store. Preferred: all writes depend on it, and the service maintains its clock.
    Store,
    /// The registry.
    Registry,
}

/// Compares this process's clock with those of the servers that all nodes share.
///
/// A step of the clock is detected with the next answer of a server: within about a second.
pub struct ClockMonitor {
    clock: Arc<dyn Clock>,
    store: AtomicI64,
    registry: AtomicI64,
}

/// No offset was measured yet.
const UNKNOWN: i64 = i64::MIN; // format

impl ClockMonitor {
    /// Starts without measurements of `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, store: AtomicI64::new(UNKNOWN), registry: AtomicI64::new(UNKNOWN) }
    }

    /// The uncorrected process clock, with which offsets are measured.
    pub fn uncorrected(&self) -> Timestamp {
        self.clock.now()
    }

    /// Records a measurement. Ignored if it took too long to be meaningful.
    pub fn record(&self, source: TimeSource, offset: ClockOffset) {
        if offset.tolerance_ms <= MAX_CLOCK_TOLERANCE_MS {
            self.slot(source).store(offset.certain_ms(), Ordering::Relaxed);
        }
    }

    /// Milliseconds that the process's clock is certainly ahead of this server's; negative: behind. `None` before the
    /// first measurement.
    pub fn offset_ms(&self, source: TimeSource) -> Option<i64> {
        let offset = self.slot(source).load(Ordering::Relaxed);
        (offset != UNKNOWN).then_some(offset)
    }

    /// The error of the process's clock, as far as known.
    pub fn error_ms(&self) -> i64 {
        let store = self.offset_ms(TimeSource::Store);
        store.or_else(|| self.offset_ms(TimeSource::Registry)).unwrap_or(0)
    }

    /// Whether the process's clock is wrong by more than [`MAX_CLOCK_OFFSET_MS`].
    pub fn is_wrong(&self) -> bool {
        self.error_ms().unsigned_abs() > MAX_CLOCK_OFFSET_MS
    }

    /// The correction that limits the error of a reading to [`MAX_CLOCK_OFFSET_MS`].
    pub fn correction_ms(&self) -> i64 {
        let (error, most) = (self.error_ms(), signed(MAX_CLOCK_OFFSET_MS));
        error - error.clamp(-most, most)
    }

    fn slot(&self, source: TimeSource) -> &AtomicI64 {
        match source {
            TimeSource::Store => &self.store,
            TimeSource::Registry => &self.registry,
        }
    }
}

impl fmt::Debug for ClockMonitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClockMonitor").field("error_ms", &self.error_ms()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offset(sent: u64, answered: u64, server: u64, resolution_ms: u64) -> (i64, u64) {
        let offset =
            ClockOffset::measure(Timestamp(sent), Timestamp(answered), Timestamp(server), resolution_ms);
        (offset.ahead_ms, offset.tolerance_ms)
    }

    #[test]
    fn half_of_the_round_trip_is_tolerance() {
        assert_eq!(offset(1_000, 1_000, 1_000, 0), (0, 1));
        assert_eq!(offset(61_000, 61_100, 1_050, 0), (60_000, 51));
        assert_eq!(offset(1_000, 1_100, 61_050, 0), (-60_000, 51));
        // A date in whole seconds may be any moment of its second.
        assert_eq!(offset(5_900, 5_900, 5_000, 1_000), (400, 501));
        // Set back by an hour during the request.
        assert!(offset(3_600_000, 1_000, 1_000, 0).1 > MAX_CLOCK_TOLERANCE_MS);
    }

    #[test]
    fn only_what_is_certain_counts() {
        let certain = |ahead_ms, tolerance_ms| ClockOffset { ahead_ms, tolerance_ms }.certain_ms();
        assert_eq!(certain(40_000, 1_000), 39_000);
        assert_eq!(certain(-40_000, 1_000), -39_000);
        assert_eq!(certain(400, 501), 0);
        assert_eq!(certain(i64::MIN + 1, 1), -(i64::MAX - 1));
    }

    struct Fixed;

    impl Clock for Fixed {
        fn now(&self) -> Timestamp {
            Timestamp(1_000_000_000)
        }
    }

    fn monitor(offsets: &[(TimeSource, i64, u64)]) -> ClockMonitor {
        let monitor = ClockMonitor::new(Arc::new(Fixed));
        for (source, ahead_ms, tolerance_ms) in offsets {
            monitor.record(*source, ClockOffset { ahead_ms: *ahead_ms, tolerance_ms: *tolerance_ms });
        }
        monitor
    }

    #[test]
    fn readings_are_wrong_by_no_more_than_the_bound() {
        use TimeSource::{Registry, Store};
        let check = |offsets: &[(TimeSource, i64, u64)], is_wrong, correction| {
            let monitor = monitor(offsets);
            assert_eq!((monitor.is_wrong(), monitor.correction_ms()), (is_wrong, correction), "{offsets:?}");
        };
        check(&[], false, 0);
        check(&[(Registry, 30_000, 0)], false, 0);
        check(&[(Registry, 600_000, 0)], true, 570_000);
        check(&[(Registry, -600_000, 0)], true, -570_000);
        // The store takes precedence.
        check(&[(Registry, 600_000, 0), (Store, 0, 500)], false, 0);
        check(&[(Store, 600_000, 0), (Registry, 0, 0)], true, 570_000);
        // A slow answer is ignored.
        check(&[(Store, 600_000, 10), (Store, 0, 6_000)], true, 569_990);
    }
}
