//! Limits of sessions, each with its reason.
use std::time::Duration;

use parlance_core::Backoff;

use parlance_core::limits::{MAX_CATCH_UP, MAX_FRAME_BYTES, MAX_TEXT_BYTES};
use parlance_proto::v1;
use parlance_runtime::rate::Rate;

/// Sizes of pages and of concurrent work: parameters, so that tests and the simulation reach every boundary with a
/// handful of rows.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// Sessions opened at the same time; others queue. When a node dies, thousands of clients reach the next one at
    /// once: opened together they would need more connections to the store than there are, and each would wait for
    /// the last. At 5 ms for the few reads of each, this is 20,000 per second.
    pub opening: usize,
    /// Rooms of a user read at once.
    pub rooms_page: usize,
    /// Rooms that an opening session subscribes to concurrently: 1,000 rooms at 5 ms each take 0.3 s.
    pub subscribe_concurrency: usize,
    /// Events pushed per room on hello; earlier ones are reported as a gap to page.
    pub max_catch_up: u64,
}

impl Sizes {
    /// The sizes of a production server.
    pub const PRODUCTION: Self =
        Self { opening: 128, rooms_page: 200, subscribe_concurrency: 16, max_catch_up: MAX_CATCH_UP };

    /// Three of everything.
    pub const SMALL: Self = Self { opening: 3, rooms_page: 3, subscribe_concurrency: 3, max_catch_up: 3 };
}

/// Operations of one session in flight; further frames wait in the socket. Enough to fill a commit group from one
/// connection.
pub(crate) const MAX_IN_FLIGHT: usize = 64;

/// The same for operations whose frames are charged to their connection, each of which may take 512 KiB.
pub(crate) const MAX_LARGE_IN_FLIGHT: usize = 4;

/// Bytes of answers in the making on a session whose connection is not known here, such as behind a bridge: as many as
/// on a connection, eight pages.
pub(crate) const MAX_ANSWERS: usize = 1024 * 1024;

/// Longest time for which a session over its rate is not read: shorter than the timeout after which clients consider
/// the server gone.
pub(crate) const MAX_PAUSE: Duration = Duration::from_secs(1);

/// How long a node that shuts down waits for clients that have left it to open a session elsewhere, before it reports
/// them offline: ten times what that usually takes.
pub(crate) const MOVING: Duration = Duration::from_secs(2);

/// How long a connection may stay silent before `hello`.
pub(crate) const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// How long before its token expires a client is told: enough to ask its user's server, twice.
pub(crate) const EXPIRY_NOTICE: Duration = Duration::from_secs(60);

/// Least time for a new token. Below it the client is not told: each token of a second would be followed by another.
pub(crate) const LEAST_NOTICE: Duration = Duration::from_secs(1);

/// Silence on a `Subscribe` stream after which an empty frame is sent: less than the 25 s after which clients probe,
/// which would cost a call, and the 30 s after which some proxies cut idle connections.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(20);

/// A session's queue that has grown beyond this releases its memory once it is empty: catching up, or many joins at
/// once, may have filled it with hundreds of entries, which rarely happens again.
pub(crate) const QUEUE_KEPT: usize = 4;

/// Failing frames that a session may send before it is ended. A client under development fails often; one that goes
/// on failing is broken.
pub(crate) const BAD_FRAMES: Rate = Rate::per_second(1, 50);

/// How long acknowledgements of a session in one room share a write. After a crash, a device that resumes elsewhere
/// receives the events of this time once more.
pub(crate) const ACK_WINDOW: Duration = Duration::from_secs(5);

/// Acknowledgements of one session stored concurrently at the end of a window.
pub(crate) const ACK_WRITES: usize = 8;

/// Attempts to store the acknowledgements that an ended session leaves behind: with a doubled [`ACK_RETRY`] in
/// between, over 15 seconds.
pub(crate) const ACK_TRIES: usize = 6;

/// Delay after the first failed attempt.
pub(crate) const ACK_RETRY: Duration = Duration::from_millis(500);

/// Concurrent reads of room logs per session: an unanswered read of one room must not delay others, and results wait
/// in memory for a client that does not read.
pub(crate) const LOG_READS: usize = 4;

/// How long an opening session waits for one of its rooms before it continues without it: many times what a read
/// takes.
pub(crate) const ROOM_PATIENCE: Duration = Duration::from_millis(500);

/// The same for all rooms together; the remaining ones are opened while the session is served.
pub(crate) const ROOMS_PATIENCE: Duration = Duration::from_secs(5);

/// The retry delay for a damaged room, by its failures: damage stays until an operator repairs it, and each retry costs
/// a few reads.
pub(crate) const DAMAGED_BACKOFF: Backoff =
    Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(60) };

/// The same for a room that the store did not answer for. The store may answer again at any time: after an outage, members
/// wait for their messages no longer than the longest delay.
pub(crate) const UNANSWERED_BACKOFF: Backoff =
    Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(10) };

/// Longest correlation id of a frame, in bytes.
pub(crate) const MAX_FRAME_ID: usize = 64;

/// The limits as announced to clients.
pub fn contract_limits() -> v1::Limits {
    v1::Limits {
        max_text_bytes: MAX_TEXT_BYTES as u32,
        max_frame_bytes: MAX_FRAME_BYTES as u32,
        max_in_flight: MAX_IN_FLIGHT as u32,
    }
}
