//! One store in memory for all nodes, and each node's faulty way to it.

mod feed;
mod handle;
mod memory;
mod tables;

pub use self::handle::NodeStore;
pub use self::memory::MemoryStore;
pub use self::tables::{RoomRow, Tables};
