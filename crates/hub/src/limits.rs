//! Limits of the hub, each with its reason.

use std::time::Duration;

/// Sizes of rings, pages and batches: parameters, so that tests and the simulation reach every boundary with a
/// handful of rows.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// Frames that a session takes from one room before it turns to the next.
    pub room_batch: usize,
    /// Encoded events that a room keeps for sessions that are slightly behind. Those further behind read the store.
    pub ring_events: usize,
    /// The same in bytes.
    pub ring_bytes: usize,
    /// Events read from the store at once for sessions that are further behind.
    pub store_page: usize,
    /// Bytes of such pages that a room keeps: some 3,000 events of usual size, so that a thousand sessions that are
    /// behind share them, whatever their positions. At least one page.
    pub pages_bytes: usize,
    /// Events that a refresh reads of one room: a few chunks; beyond that it skips to the head.
    pub refresh_events: usize,
}

impl Sizes {
    /// The sizes of a production server.
    pub const PRODUCTION: Self = Self {
        room_batch: 64,
        ring_events: 1_024,
        ring_bytes: 256 * 1024,
        store_page: 200,
        pages_bytes: 1024 * 1024,
        refresh_events: 64,
    };

    /// Three of everything.
    pub const SMALL: Self = Self {
        room_batch: 3,
        ring_events: 3,
        ring_bytes: 1_024,
        store_page: 3,
        pages_bytes: 1_024,
        refresh_events: 3,
    };
}

/// Signals queued for one session; the oldest is dropped for the newest. At 100 bytes each, 6 KiB for a session that
/// does not read.
pub(crate) const MAX_SIGNALS: usize = 64;

/// Memory of one frame beside its encodings: the frame, its reference counts, and the places of other encodings. 44,000
/// frames of 19 bytes of text took about 600 bytes each with their encodings.
pub(crate) const FRAME_BYTES: usize = 300;

/// Memory of the encodings of a frame, relative to its protobuf: that itself, and JSON of about twice its size once a
/// WebSocket has asked for it.
pub(crate) const ENCODINGS: usize = 3;

/// Connections per room that one task pushes to: at 5 us each, 1.3 ms. Larger rooms are spread over the processors.
pub(crate) const PUSHES: usize = 256;

/// How many of them before other tasks get a turn.
pub(crate) const PUSHES_PER_TURN: usize = 32;

/// How long an idle room keeps its ring: 500,000 rooms with 50 KB each would take 25 GB.
pub(crate) const RING_IDLE: Duration = Duration::from_secs(15);

/// Delay before a room is refreshed again after the store has failed.
pub(crate) const REFRESH_AGAIN: Duration = Duration::from_millis(500);

/// Number of such attempts: a store that is away for longer is away for everything.
pub(crate) const REFRESH_TRIES: usize = 60;

/// A session's queue that has grown beyond this releases its memory once it is empty: catching up, or many joins at
/// once, may have filled it with hundreds of entries, which rarely happens again.
pub(crate) const QUEUE_KEPT: usize = 4;

/// What a subscription takes of a session and of its room, with its plan.
pub(crate) const SUBSCRIPTION_BYTES: usize = 700;

/// Subscriptions that a node has whatever its memory for rooms: 7 MB.
pub(crate) const LEAST_SUBSCRIPTIONS: usize = 10_000;
