//! Sessions of `Chat` and `Subscribe`: hello, catch-up, live delivery, acknowledgements.
//!
//! A [`Session`] is a stream that does its work when polled, so a client that does not read delays only itself, and
//! no queue is needed.
//!
//! Depends on the store, the hub and the cluster. Operations are carried out by an implementation of [`Operations`].
//! Knows when its token expires, and lets [`Operations`] check a new one. Does not depend on tokens, room actors or
//! transports.
#![warn(missing_docs)]

mod acks;
mod catch_up;
mod cursor;
mod error;
mod expiry;
mod frames;
mod heartbeat;
mod hello;
mod limits;
mod log_reads;
mod marks;
mod needs;
mod news;
mod online;
mod open;
mod opening;
mod operations;
mod plan;
mod room_stream;
mod session;
mod sessions;
mod subscribe;
mod tasks;
#[cfg(test)]
mod testing;
mod unreadable;

pub use error::Error;
pub use limits::{Sizes, contract_limits};
pub use marks::Marks;
pub use operations::{Executed, NotAcknowledged, Operations};
pub use session::{Inbound, Session, StreamParts};
pub use sessions::{Parts, Sessions};
