use parlance_core::{Clock, Timestamp};
use tokio::time::Instant;

/// Start of the simulation: an arbitrary moment in 2027.
pub const BEGIN: Timestamp = Timestamp(1_800_000_000_000);

/// A node's clock: simulated time plus the node's skew.
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
