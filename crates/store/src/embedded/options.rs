use std::time::Duration;

/// How the store is opened.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// When a write counts as done.
    pub durability: Durability,
    /// Memory that each of the 7 tables, and the change feed, fills with writes before it moves them to disk,
    /// bytes. While one is being moved the next fills: with 16 MiB, the default, a busy
    /// log takes about twice that and quiet tables next to nothing. Fixed when the
    /// store is created.
    pub write_buffer_bytes: u64,
    /// Memory for what was read from disk, bytes; 64 MiB by default. What the rooms in
    /// use need is mostly held above the store.
    pub cache_bytes: u64,
    /// How much the change feed may take on disk, bytes; 256 MiB by default, which is some millions of
    /// messages. What is older is dropped by whole files. Fixed when the store is created.
    pub feed_bytes: u64,
    /// How long what is in the change feed is kept; 7 days by default. It is dropped when the store next
    /// tidies up. Fixed when the store is created.
    pub feed_age: Duration,
    /// Files of tables that the engine keeps open, at least 10; 256 by default. The rest of the process
    /// needs its descriptors for connections.
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
    /// Once the device has it (fdatasync). What Parlance promises.
    #[default]
    Synced,
    /// Once the operating system has it: a power cut loses acknowledged messages. For
    /// measuring only.
    Buffered,
}
