//! Limits of the embedded engine, each with its reason.

/// Operations queued for the committer; when it is full, callers wait.
pub(crate) const COMMIT_QUEUE: usize = 4_096;

/// Operations per group. At 500 bytes each a batch is some 250 KB: it is written in the time that the sync takes
/// anyway.
pub(crate) const COMMIT_GROUP: usize = 512;

/// Rooms of a group of operations from which on they are found by a map: comparing with each other room would take longer
/// than the rest of an append.
pub(crate) const SEARCHED_ROOMS: usize = 16;

/// Cached heads of rooms, and users' positions in rooms: at some 120 bytes each, 4 MB for either.
pub(crate) const REMEMBERED_KEYS: usize = 32_768;

/// Concurrent reads, each on its own thread. More would only queue for the disk.
pub(crate) const READERS: usize = 16;

/// Total size of journals beyond which the engine flushes the oldest one to tables: a restart replays no more than
/// this, in two or three seconds.
pub(crate) const MAX_JOURNAL_BYTES: u64 = 256 << 20;

/// Threads that flush and compact tables: one each.
pub(crate) const ENGINE_WORKERS: usize = 2;

/// Rows of a consumer scanned for one page of those that are pending or parked: a millisecond or two.
pub(crate) const CONSUMER_SCAN: usize = 4_096;

/// Bytes after which a page of the feed ends: a record of a busy store is some 20 KB.
pub(crate) const FEED_PAGE_BYTES: usize = 1 << 20;
