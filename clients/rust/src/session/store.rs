//! Storage of commands across restarts.

mod file;
mod memory;

use async_trait::async_trait;
use parlance_client_core::{StoreChange, StoredCommand};

pub use file::FileCommandStore;
pub use memory::MemoryCommandStore;

/// Stores pending commands across restarts of the process. One session uses a store at a time.
///
/// One request is made at a time, and it may take any time: after 1.5 s the session continues without it,
/// and reports that as [`Update::Storage`](crate::Update::Storage). Failed requests are retried.
#[async_trait]
pub trait CommandStore: Send + Sync + 'static {
    /// Everything stored.
    async fn load(&self) -> Result<Vec<StoredCommand>, String>;

    /// Applies changes atomically; durable on return.
    async fn write(&self, changes: Vec<StoreChange>) -> Result<(), String>;
}
