/// Limits of a consumer, each with its reason.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Rooms in memory with undelivered events, at some 300 bytes each; further ones are saved as pending.
    pub max_rooms: usize,
    /// Rooms worked on concurrently.
    pub max_in_flight: usize,
    /// How long a room may hold the checkpoint before it is saved as pending, milliseconds.
    pub hold_ms: u64,
    /// Initial backoff after a sink was unavailable; doubles each time, milliseconds.
    pub backoff_ms: u64,
    /// Longest backoff of one room, milliseconds.
    pub max_backoff_ms: u64,
    /// Attempts at one event, while others are accepted, before its room is parked.
    pub park_after: u32,
    /// Consecutive failures after which a sink counts as unavailable, and is tried with one room at a time.
    pub away_after: u32,
    /// How long all work fails, in at least as many rooms, until it counts as unavailable, even if these rooms failed at
    /// once: a restart of the sink is shorter, milliseconds.
    pub away_after_ms: u64,
    /// Longest backoff while it is unavailable, milliseconds.
    pub max_away_ms: u64,
}

impl Limits {
    /// Values for production.
    pub const PRODUCTION: Self = Self {
        max_rooms: 20_000,
        max_in_flight: 64,
        hold_ms: 10_000,
        backoff_ms: 500,
        max_backoff_ms: 15 * 60 * 1_000,
        park_after: 30,
        away_after: 5,
        away_after_ms: 2_000,
        max_away_ms: 60_000,
    };
}

/// Records that are read beyond the checkpoint: while it cannot be written, each costs the memory of a position.
pub(super) const MAX_UNWRITTEN: usize = 16_384;

/// How long all work fails in fewer rooms until the sink counts as unavailable, milliseconds: an attempt that gets no
/// answer takes 20 s.
pub(super) const SILENT_MS: u64 = 15_000;
