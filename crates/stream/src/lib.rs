//! Delivery of events to other services: consumers of the change feed, and their sinks.
//!
//! A record of the feed is a hint that a room has advanced. A consumer stores its progress per room
//! (`done`, an epoch and a seq), and reads everything after that from the log, which is gap-free: so
//! nothing is missing, and first occurrences are in order, whatever the order of the feed.
//!
//! - [`consumer`]: a named consumer that resumes at its stored position; [`sink`]: where it delivers
//!   events
//! - [`webhook`]: a sink that posts to an HTTP endpoint
//! - [`tail`]: a stream whose reader keeps the cursor, for `StreamEvents`
//! - `tracker`: decides which rooms to work on, and how far the checkpoint may advance. Pure
//! - [`event`]: the delivered form of events
#![warn(missing_docs)]

mod cold;
pub mod consumer;
pub mod event;
pub mod leased;
mod limits;
pub mod log;
pub mod sink;

pub mod tail;
mod tracker;
pub mod webhook;

pub use consumer::{Consumer, Options, Parts, Start};
