//! Where commands are kept over restarts.

mod file;
mod memory;

use async_trait::async_trait;
use parlance_client_core::{StoreChange, StoredCommand};

pub use file::FileCommandStore;
pub use memory::MemoryCommandStore;

/// Keeps what is on its way to the server over restarts of the process. One session uses a store at a time.
///
/// One thing is asked of it at a time, and it may take as long as it takes: after 1.5 s the session goes on
/// without it, and says so as [`Update::Storage`](crate::Update::Storage). What failed is tried again.
#[async_trait]
pub trait CommandStore: Send + Sync + 'static {
    /// Everything that is kept.
    async fn load(&self) -> Result<Vec<StoredCommand>, String>;

    /// Changes what is kept: all of it or nothing, and durable on return.
    async fn write(&self, changes: Vec<StoreChange>) -> Result<(), String>;
}
