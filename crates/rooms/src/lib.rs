//! One task for each room that is in use: it alone decides and appends, so that what
//! arrives while an append is under way becomes the next chunk.
//!
//! What is committed is delivered to the hub and published by the cluster before it is answered.
//! Under contention a room's home decides for others: see `forward`.
//!
//! Knows core's decisions, the store, the hub and the cluster. Knows nothing of sessions, of who may
//! call, or of the contract.
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
