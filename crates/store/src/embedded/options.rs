use std::time::Duration;

/// Options for opening the store.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// When a write counts as done.
    pub durability: Durability,
    /// Memory in bytes that each of the 7 tables, and the change feed, fills with writes before flushing. The next
    /// buffer fills during a flush: with the default of 16 MiB, a busy log takes about twice that and quiet tables
    /// next to nothing. Fixed when the store is created.
    pub write_buffer_bytes: u64,
    /// Cache for data read from disk, in bytes; 64 MiB by default. Most data of the rooms in use is held above the
    /// store.
    pub cache_bytes: u64,
    /// Maximum size of the change feed on disk, in bytes; 256 MiB by default, which is some millions of messages.
    /// Older records are dropped in whole files. Fixed when the store is created.
    pub feed_bytes: u64,
    /// How long records of the change feed are kept; 7 days by default. They are dropped at the next compaction.
    /// Fixed when the store is created.
    pub feed_age: Duration,
    /// Table files that the engine keeps open, at least 10; 256 by default. The rest of the process needs its
    /// descriptors for connections.
    pub open_files: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            durability: Durability::Synced,
            write_buffer_bytes: 16 << 20,
            cache_bytes: 64 << 20,
            feed_bytes: 256 << 20,
            feed_age: Duration::from_secs(7 * 24 * 3600),
            open_files: 256,
        }
    }
}

/// When a write counts as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// Once the device has it (fdatasync). Required by Parlance's guarantees.
    #[default]
    Synced,
    /// Once the operating system has it: a power cut loses acknowledged messages. For measuring only.
    Buffered,
}
