use parlance_core::{Clock, Timestamp};
use tokio::time::Instant;

/// When the simulation begins: some moment in 2027, any will do.
pub const BEGIN: Timestamp = Timestamp(1_800_000_000_000);

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
        Timestamp((BEGIN.0 + elapsed).saturating_add_signed(self.skew_ms))
    }
}
