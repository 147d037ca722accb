//! Connections of HTTP/2, with what is new for a client written past the tasks.
//!
//! hyper drives a connection in a task and each response in another, and both are woken for
//! whatever a response has to send. A stream of gRPC that waits for the next message of its
//! room is most of what there is to do here, so that whoever delivers the message sends it, and
//! writes to the socket, where the tasks have nothing to do: see [`parlance_delivery::Push`].
//!
//! Knows HTTP and a router to call. Knows nothing of what is served: no rooms, sessions or stores.
#![warn(missing_docs)]

mod answer;
mod bell;
mod connection;
mod first_bytes;
mod frame_meter;
mod incoming;
mod limits;
mod link;
mod metered;
mod response;
mod stall;
#[cfg(test)]
mod tests;

pub use connection::{Connection, KeepAlive, Trust};
pub use first_bytes::{Heard, Opened, Version};
