//! Bounds of operations, each with its reason. Those of the domain are in `parlance_core::limits`,
//! those of what operations rest on in the crates below.

use std::time::Duration;

/// Sizes of pages, caches and concurrent work: parameters, so that tests and the simulation meet
/// every boundary with a handful of rows.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// Those of the sessions.
    pub sessions: parlance_sessions::Sizes,
    /// Those of the rooms.
    pub rooms: parlance_rooms::Sizes,
    /// Those of the cluster.
    pub cluster: parlance_cluster::Sizes,
    /// Those of the hub.
    pub hub: parlance_hub::Sizes,
    /// Events that a page reads from the store at once: at most 1 MiB of the largest.
    pub page_read: usize,
    /// Events that one page of messages looks through: edits and reactions in between do
    /// not count as messages, and a page must end.
    pub max_scan: usize,
    /// Rooms that a page of rooms or of the inbox looks up at the same time.
    pub inbox_concurrency: usize,
    /// Rooms of a user that are read at once.
    pub rooms_page: usize,
    /// Users that are known to exist, kept in memory: 100 bytes each. The others are looked up.
    pub known_users: usize,
}

impl Sizes {
    /// What a server runs with.
    pub const PRODUCTION: Self = Self {
        sessions: parlance_sessions::Sizes::PRODUCTION,
        rooms: parlance_rooms::Sizes::PRODUCTION,
        cluster: parlance_cluster::Sizes::PRODUCTION,
        hub: parlance_hub::Sizes::PRODUCTION,
        page_read: 64,
        max_scan: 2_000,
        inbox_concurrency: 8,
        rooms_page: 200,
        known_users: 100_000,
    };

    /// Three of everything.
    pub const SMALL: Self = Self {
        sessions: parlance_sessions::Sizes::SMALL,
        rooms: parlance_rooms::Sizes::SMALL,
        cluster: parlance_cluster::Sizes::SMALL,
        hub: parlance_hub::Sizes::SMALL,
        page_read: 3,
        max_scan: 9,
        inbox_concurrency: 3,
        rooms_page: 3,
        known_users: 3,
    };
}

/// Bytes after which a page ends, however many entries were asked for. 200 messages of
/// everyday length fit. A session may have 64 pages that wait for a client
/// that does not read: 8 MiB.
pub(crate) const MAX_PAGE_BYTES: usize = 128 * 1024;

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

/// When to try again while no key of the tokens' issuer is known.
pub(crate) const KEYS_AGAIN: Duration = Duration::from_secs(5);

/// How often idle state is dropped.
pub(crate) const TRIM_EVERY: Duration = Duration::from_secs(10);
