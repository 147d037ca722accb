//! What a node takes from the process that it runs in: random values, maps with a hasher of its
//! own, tasks that outlive whoever waits for them, and a clock that is kept in bounds.
//!
//! A simulation seeds all of it. Knows nothing of rooms, stores or other nodes.
#![warn(missing_docs)]

mod clock;
pub mod map;
pub mod own_task;
pub mod random;

pub use clock::BoundedClock;
