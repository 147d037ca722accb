//! Bounds of the embedded engine, each with its reason.

/// Operations that wait for the committer; whoever comes when it is full waits too.
pub(crate) const COMMIT_QUEUE: usize = 4_096;

/// Operations of one group. At 500 bytes each a batch is some 250 KB: it is written
/// in the time that the sync takes anyway.
pub(crate) const COMMIT_GROUP: usize = 512;

/// Rooms whose heads are remembered, and places of people in rooms: at some 120 bytes each,
/// 4 MB of either.
pub(crate) const REMEMBERED_KEYS: usize = 32_768;

/// Reads that run at the same time, each on a thread of its own. More would only queue
/// for the disk.
pub(crate) const READERS: usize = 16;

/// Journals past this size make the engine move to tables what keeps the oldest of
/// them: a restart replays no more than this, in two or three seconds.
pub(crate) const MAX_JOURNAL_BYTES: u64 = 256 << 20;

/// Threads that move what was written to tables and merge them: one each.
pub(crate) const ENGINE_WORKERS: usize = 2;
