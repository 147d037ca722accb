//! One task per room in use: it alone decides and appends, so commands that arrive during an append form the next
//! chunk.
//!
//! Committed chunks are delivered to the hub and published by the cluster before callers are answered. Under
//! contention a room's home decides for other nodes: see `forward`.
//!
//! Depends on core's decisions, the store, the hub and the cluster. Does not depend on sessions, authorisation or the
//! contract.
#![warn(missing_docs)]

mod actor;
mod error;
mod forward;
mod forwards;
mod home;
mod inbound;
mod limits;
mod messages;
mod rooms;
mod shared;

pub use error::Error;
pub use limits::Sizes;
pub use rooms::Rooms;
pub use shared::Parts;
