//! Frames on their way to clients: encoded once for all who get them, and written directly to
//! connections that have nothing else to send.
//!
//! Knows the contract's frames and gRPC's bodies. Knows nothing of rooms, sessions, stores or
//! sockets: connections implement [`Push`], and whoever has something for them implements [`Source`].
#![warn(missing_docs)]

mod deliveries;
mod frame;
pub mod grpc;
mod limits;
mod outlet;

pub use deliveries::{Deliveries, Frames};
pub use frame::{Delivery, Form, SharedFrame, SharedRun};
pub use outlet::{Outlet, Push, Source};
