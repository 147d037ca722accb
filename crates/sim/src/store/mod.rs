//! One in-memory store for all nodes, and each node's faulty handle to it.

mod feed;
mod handle;
mod invitations;
mod memory;
mod memory_feed;
mod reports;
mod tables;

pub use self::handle::NodeStore;
pub use self::memory::MemoryStore;
pub use self::tables::{RoomRow, Tables};
