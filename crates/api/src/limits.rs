//! Numbers that bound sessions, the hub and the rooms, each with its reason. Those of
//! the domain are in `parlance_core::limits`.

use std::time::Duration;

use parlance_core::limits::MAX_CATCH_UP;

/// Sizes of pages, caches and concurrent work: parameters, so that tests and the simulation meet
/// every boundary with a handful of rows.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// Those of the rooms.
    pub rooms: parlance_rooms::Sizes,
    /// Those of the cluster.
    pub cluster: parlance_cluster::Sizes,
    /// Those of the hub.
    pub hub: parlance_hub::Sizes,
    /// Sessions that are opened at the same time; the others wait in line. When a node dies,
    /// thousands come to the next one at once: all together they would ask more of the store
    /// than it has connections for, and each would wait for the last. At 5 ms for the few
    /// reads that each takes, 20,000 a second.
    pub opening: usize,
    /// Events that a page reads from the store at once: at most 1 MiB of the largest.
    pub page_read: usize,
    /// Events that one page of messages looks through: edits and reactions in between do
    /// not count as messages, and a page must end.
    pub max_scan: usize,
    /// Rooms that a page of rooms or of the inbox looks up at the same time.
    pub inbox_concurrency: usize,
    /// Rooms that an opening session subscribes to at the same time: 1,000 rooms at 5 ms each are
    /// 0.3 s.
    pub subscribe_concurrency: usize,
    /// Rooms of a user that are read at once.
    pub rooms_page: usize,
    /// Events that are pushed for one room on hello; before them a gap says what to page.
    pub max_catch_up: u64,
    /// Users that are known to exist, kept in memory: 100 bytes each. The others are looked up.
    pub known_users: usize,
}

impl Sizes {
    /// What a server runs with.
    pub const PRODUCTION: Self = Self {
        rooms: parlance_rooms::Sizes::PRODUCTION,
        cluster: parlance_cluster::Sizes::PRODUCTION,
        hub: parlance_hub::Sizes::PRODUCTION,
        opening: 128,
        page_read: 64,
        max_scan: 2_000,
        inbox_concurrency: 8,
        subscribe_concurrency: 16,
        rooms_page: 200,
        max_catch_up: MAX_CATCH_UP,
        known_users: 100_000,
    };

    /// Three of everything.
    pub const SMALL: Self = Self {
        rooms: parlance_rooms::Sizes::SMALL,
        cluster: parlance_cluster::Sizes::SMALL,
        hub: parlance_hub::Sizes::SMALL,
        opening: 3,
        page_read: 3,
        max_scan: 9,
        inbox_concurrency: 3,
        subscribe_concurrency: 3,
        rooms_page: 3,
        max_catch_up: 3,
        known_users: 3,
    };
}

/// Operations of one session that are under way; further frames wait in the socket.
/// Deep enough to fill a commit group from one connection.
pub(crate) const MAX_IN_FLIGHT: usize = 64;

/// How long a connection may stay silent before `hello`.
pub(crate) const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// A queue of a session that has grown past this gives all of its memory back once it is empty:
/// catching up, or many who come at once, may have filled hundreds, and rarely do so again.
pub(crate) const QUEUE_KEPT: usize = 4;

/// Operations before an answer that are carried out in a session that repeats
/// malformed or refused frames: a burst of this many, refilled once a second.
pub(crate) const BAD_FRAMES: u32 = 50;

/// Bytes after which a page ends, however many entries were asked for. 200 messages of
/// everyday length fit. A session may have [`MAX_IN_FLIGHT`] pages that wait for a client
/// that does not read: 8 MiB.
pub(crate) const MAX_PAGE_BYTES: usize = 128 * 1024;

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

/// How long typing is shown unless it is repeated.
pub(crate) const TYPING: Duration = Duration::from_secs(6);

/// Longest a unary call or an operation may take.
pub(crate) const OPERATION_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a token from `CreateUser` holds, in local mode.
pub(crate) const LOCAL_TOKEN: Duration = Duration::from_secs(30 * 24 * 3600);

/// How often one user's changed profile is announced: in a room of 100,000 who are online, half a
/// second of work.
pub(crate) const PROFILE_EVERY: Duration = Duration::from_secs(2);

/// Rooms of one user whose members are told of a changed profile: 25 reads, and a hint of 150 kB
/// to each node.
pub(crate) const MAX_PROFILE_ROOMS: usize = 5_000;

/// Refused tokens that are logged in a second: enough to find a mistake, while anyone may send
/// as many as they like.
pub(crate) const REFUSED_TOKENS_LOGGED: u64 = 20;

/// How long a session waits before it first retries rooms that could not be read; doubled each
/// time.
pub(crate) const UNREADABLE_RETRY: Duration = Duration::from_secs(1);

/// And at most: damage stays until an operator repairs it, and each retry costs a few reads.
pub(crate) const UNREADABLE_RETRY_MAX: Duration = Duration::from_secs(60);
