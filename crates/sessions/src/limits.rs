//! Bounds of sessions, each with its reason.
use std::time::Duration;

use parlance_core::Backoff;

use parlance_core::limits::{MAX_CATCH_UP, MAX_FRAME_BYTES, MAX_TEXT_BYTES};
use parlance_proto::v1;

/// Sizes of pages and of concurrent work: parameters, so that tests and the simulation meet every
/// boundary with a handful of rows.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// Sessions that are opened at the same time; the others wait in line. When a node dies,
    /// thousands come to the next one at once: all together they would ask more of the store
    /// than it has connections for, and each would wait for the last. At 5 ms for the few
    /// reads that each takes, 20,000 a second.
    pub opening: usize,
    /// Rooms of a user that are read at once.
    pub rooms_page: usize,
    /// Rooms that an opening session subscribes to at the same time: 1,000 rooms at 5 ms each are
    /// 0.3 s.
    pub subscribe_concurrency: usize,
    /// Events that are pushed for one room on hello; before them a gap says what to page.
    pub max_catch_up: u64,
}

impl Sizes {
    /// What a server runs with.
    pub const PRODUCTION: Self =
        Self { opening: 128, rooms_page: 200, subscribe_concurrency: 16, max_catch_up: MAX_CATCH_UP };

    /// Three of everything.
    pub const SMALL: Self = Self { opening: 3, rooms_page: 3, subscribe_concurrency: 3, max_catch_up: 3 };
}

/// Operations of one session that are under way; further frames wait in the socket.
/// Deep enough to fill a commit group from one connection.
pub(crate) const MAX_IN_FLIGHT: usize = 64;

/// Longest time for which a session over its rate is not read: less than what makes a client think that
/// it is not heard.
pub(crate) const MAX_PAUSE: Duration = Duration::from_secs(1);

/// How long a node that ends waits for those who have just left it to open a session on another one,
/// before it says that they are offline: ten times what that mostly takes.
pub(crate) const MOVING: Duration = Duration::from_secs(2);

/// How long a connection may stay silent before `hello`.
pub(crate) const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// After this much silence a `Subscribe` stream carries a frame with nothing in it: below the 25 s
/// after which clients ask something, which would cost a call, and the 30 s after which some proxies
/// cut what is idle.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(20);

/// A queue of a session that has grown past this gives all of its memory back once it is empty:
/// catching up, or many who come at once, may have filled hundreds, and rarely do so again.
pub(crate) const QUEUE_KEPT: usize = 4;

/// Operations before an answer that are carried out in a session that repeats
/// malformed or refused frames: a burst of this many, refilled once a second.
pub(crate) const BAD_FRAMES: u32 = 50;

/// How long acknowledgements of a session in one room share a write. A device that goes on
/// elsewhere after a crash gets what came in this time once more.
pub(crate) const ACK_WINDOW: Duration = Duration::from_secs(5);

/// Acknowledgements of one session that are stored at the same time, at the end of a window.
pub(crate) const ACK_WRITES: usize = 8;

/// How often acknowledgements that an ended session leaves behind are tried: with a doubled
/// [`ACK_RETRY`] in between, over 15 seconds.
pub(crate) const ACK_TRIES: usize = 6;

/// How long they wait after the first try that fails.
pub(crate) const ACK_RETRY: Duration = Duration::from_millis(500);

/// Reads of rooms' logs of one session that are under way: a room that the store does not answer for
/// holds up no other, and what is read waits in memory for a client that does not read.
pub(crate) const LOG_READS: usize = 4;

/// How long a session that opens waits for one of its rooms before it goes on without it: many times
/// what a read takes.
pub(crate) const ROOM_PATIENCE: Duration = Duration::from_millis(500);

/// And for all of them; those that are left then are opened while the session is served.
pub(crate) const ROOMS_PATIENCE: Duration = Duration::from_secs(5);

/// How long a session waits before it retries a room that could not be read, by the failures of this room:
/// damage stays until an operator repairs it, and each retry costs a few reads.
pub(crate) const UNREADABLE_BACKOFF: Backoff =
    Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(60) };

/// Longest correlation id of a frame, bytes.
pub(crate) const MAX_FRAME_ID: usize = 64;

/// The limits that a client is told.
pub fn contract_limits() -> v1::Limits {
    v1::Limits {
        max_text_bytes: MAX_TEXT_BYTES as u32,
        max_frame_bytes: MAX_FRAME_BYTES as u32,
        max_in_flight: MAX_IN_FLIGHT as u32,
    }
}
