//! Process services: randomness, maps with a seeded hasher, rates, tasks that outlive their callers, a budget of
//! memory for caches, a bounded clock, lookups of host names, and TLS with the authorities of the system.
//!
//! A simulation seeds all of it. Does not depend on rooms, stores or other nodes.
#![warn(missing_docs)]

mod clock;
mod limits;
pub mod map;
pub mod memory;
pub mod names;
pub mod own_task;
pub mod random;
pub mod rate;
pub mod tls;

pub use clock::BoundedClock;
