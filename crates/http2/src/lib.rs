//! HTTP/2 connections in which new frames for a client are written past the tasks.
//!
//! hyper drives a connection in one task and each response in another, and wakes both for everything a response
//! sends. Most of the work here is gRPC streams that wait for the next message of a room. The delivering task
//! therefore sends the message and writes to the socket itself while the connection's tasks are idle: see
//! [`parlance_delivery::Push`].
//!
//! Depends on HTTP and a router. Does not depend on what is served: no rooms, sessions or stores.
#![warn(missing_docs)]

mod answer;
mod connection;
mod field_meter;
mod first_bytes;
mod frame_meter;
mod headers;
mod incoming;
mod limits;
mod link;
mod metered;
mod response;
mod stall;
mod suppressible_waker;
#[cfg(test)]
mod tests;
mod trust;

pub use connection::{Connection, KeepAlive};
pub use first_bytes::{Heard, Opened, Version};
pub use headers::{has_too_many_fields, header_bytes};
pub use trust::Trust;
