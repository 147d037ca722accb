//! Bounds of the hub, each with its reason.

use std::time::Duration;

/// Sizes of rings, pages and batches: parameters, so that tests and the simulation meet every
/// boundary with a handful of rows.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// Frames that a session takes from one room before it looks at the next.
    pub room_batch: usize,
    /// Events that a room keeps encoded for sessions that are a little behind. Those
    /// further behind read the store.
    pub ring_events: usize,
    /// And bytes of them.
    pub ring_bytes: usize,
    /// Events that are read from the store at once for sessions that are further behind.
    pub store_page: usize,
    /// Bytes of such pages that a room keeps: some 3,000 events of usual size, so that a
    /// thousand sessions that are behind share what is read, wherever each of them is. At
    /// least one page.
    pub pages_bytes: usize,
    /// Events that a look at the store reads of one room, behind what is known here: a few
    /// chunks, or it goes to the head.
    pub refresh_events: usize,
}

impl Sizes {
    /// What a server runs with.
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

/// Signals that wait for one session; the oldest is dropped for the newest. At 100
/// bytes each, 6 KiB for a session that does not read.
pub(crate) const MAX_SIGNALS: usize = 64;

/// Connections that one task pushes a room's news to: at 5 us each, 1.3 ms. A larger room is
/// spread over the processors.
pub(crate) const PUSHES: usize = 256;

/// And how many of them before others get a turn.
pub(crate) const PUSHES_PER_TURN: usize = 32;

/// How long an idle room keeps its ring: 500,000 rooms with 50 KB each would be 25 GB.
pub(crate) const RING_IDLE: Duration = Duration::from_secs(15);

/// How long a node waits after the store has failed before it looks at a room again.
pub(crate) const REFRESH_AGAIN: Duration = Duration::from_millis(500);

/// And how often: a store that is away for longer is away for everything.
pub(crate) const REFRESH_TRIES: usize = 60;

/// A queue of a session that has grown past this gives all of its memory back once it is empty:
/// catching up, or many who come at once, may have filled hundreds, and rarely do so again.
pub(crate) const QUEUE_KEPT: usize = 4;
