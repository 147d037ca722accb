//! Frames on their way to clients: encoded once for all recipients, and written directly to idle connections.
//!
//! Depends on the contract's frames and on gRPC bodies. Does not depend on rooms, sessions, stores or sockets:
//! connections implement [`Push`], and whatever has frames for them implements [`Source`].
#![warn(missing_docs)]

mod deliveries;
mod frame;
pub mod grpc;
mod limits;
mod outlet;

pub use deliveries::{Deliveries, Frames};
pub use frame::{Delivery, Form, SharedFrame, SharedRun};
pub use outlet::{Outlet, Push, Source};
