//! Sessions of `Chat` and `Subscribe`: hello, catching up, live delivery, acknowledgements.
//!
//! A [`Session`] is a stream: it does its work when it is polled, so that a client that does not read
//! holds up nobody but itself, and needs no queue of its own.
//!
//! Knows the store, the hub and the cluster. Operations are carried out by whoever implements
//! [`Operations`]. Knows nothing of tokens, of rooms' actors or of the doors that clients come through.
#![warn(missing_docs)]

mod acks;
mod catch_up;
mod cursor;
mod error;
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
pub use operations::{NotAcknowledged, Operations};
pub use session::{Inbound, Session};
pub use sessions::{Parts, Sessions};
