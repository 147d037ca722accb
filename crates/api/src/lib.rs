//! The services of Parlance: who may call, how often, and the operations, a file for each resource.
//!
//! The way of one message: [`services`] or a session's frame -> an operation ->
//! the room's actor (decide, append) -> the hub -> the sessions -> the answer.
//!
//! Puts the crates below together into a node: the hub, the cluster, the rooms and the sessions.
//! Knows nothing of how it is listened to: gRPC's server, WebSockets and REST are the server's and
//! the bridge's.
#![warn(missing_docs)]

mod api;
mod error;
mod events;
mod gate;
mod limits;
mod operations;
mod profiles;
pub mod services;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod turns;

pub use api::{Api, Parts, Usage};
pub use error::Error;
pub use limits::Sizes;
pub use parlance_cluster::limits::{ISOLATION, PRESENCE_GRACE, RECOVERY_READS};
pub use parlance_identity as identity;
