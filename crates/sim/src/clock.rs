use parlance_api::Clock;
use parlance_core::Timestamp;
use tokio::time::Instant;

/// Some moment in 2027; any will do.
const BEGIN_MS: u64 = 1_800_000_000_000;

/// A node's clock: simulated time, and wrong by as much as its node's.
pub struct SimulatedClock {
    start: Instant,
    skew_ms: i64,
}

impl SimulatedClock {
    /// A clock that is `skew_ms` ahead of time.
    pub fn new(start: Instant, skew_ms: i64) -> Self {
        Self { start, skew_ms }
    }
}

impl Clock for SimulatedClock {
    fn now(&self) -> Timestamp {
        let elapsed = self.start.elapsed().as_millis() as u64;
        Timestamp((BEGIN_MS + elapsed).saturating_add_signed(self.skew_ms))
    }
}
