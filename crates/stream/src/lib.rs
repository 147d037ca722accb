//! What leaves Parlance: consumers of the change feed, and the sinks that they hand events to.
//!
//! A record of the feed is a hint that a room has moved. A consumer keeps for each room how far it is
//! (`done`, an epoch and a seq), and reads everything after that from the log, which is gap-free: so
//! nothing is missing and first occurrences come in order, whatever the order of the feed.
//!
//! - [`consumer`]: a named consumer that goes on where it was; [`sink`]: what it hands events to
//! - [`webhook`]: a sink that posts
//! - [`tail`]: a stream whose reader keeps the cursor, for `StreamEvents`
//! - `tracker`: which rooms are to be worked on, and how far the checkpoint may go. Pure
//! - [`event`]: events as they leave
#![warn(missing_docs)]

mod cold;
pub mod consumer;
pub mod event;
pub mod leased;
pub mod log;
pub mod sink;

pub mod tail;
mod tracker;
pub mod webhook;

pub use consumer::{Consumer, Options, Parts, Start};
