//! Process services: randomness, maps with a seeded hasher, tasks that outlive their callers, a budget of memory for
//! caches, and a bounded clock.
//!
//! A simulation seeds all of it. Does not depend on rooms, stores or other nodes.
#![warn(missing_docs)]

mod clock;
pub mod map;
pub mod memory;
pub mod own_task;
pub mod random;

pub use clock::BoundedClock;
