/// Bounds of a consumer, each with its reason.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Rooms with unfinished events that are held in memory, at some 300 bytes each; those beyond are saved as
    /// pending.
    pub max_rooms: usize,
    /// Rooms that are worked on at the same time.
    pub max_in_flight: usize,
    /// How long a room may hold the checkpoint before it is saved as pending, milliseconds.
    pub hold_ms: u64,
    /// The first wait after a sink was unavailable; it doubles each time, milliseconds.
    pub backoff_ms: u64,
    /// The longest wait of one room, milliseconds.
    pub max_backoff_ms: u64,
    /// Attempts at one event, while others are taken, before its room is parked.
    pub park_after: u32,
    /// Failures in a row after which a sink is taken to be away, and one room at a time asks for it.
    pub away_after: u32,
    /// The longest wait while it is away, milliseconds.
    pub max_away_ms: u64,
}

impl Limits {
    /// What holds unless something is tested.
    pub const PRODUCTION: Self = Self {
        max_rooms: 20_000,
        max_in_flight: 64,
        hold_ms: 10_000,
        backoff_ms: 500,
        max_backoff_ms: 15 * 60 * 1_000,
        park_after: 30,
        away_after: 5,
        max_away_ms: 60_000,
    };
}
