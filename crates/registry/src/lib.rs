//! Who is online where, and delivery between nodes: the [`Registry`] trait, [`Local`]
//! for a single node, and Redis for many (feature `redis`).
//!
//! Everything here is a hint. A registry reports what it loses ([`Notice::Missed`]), and the receiver compares with
//! the store.
#![warn(missing_docs)]

mod fleet;
mod limits;
mod local;
pub mod numbering;
#[cfg(feature = "redis")]
mod redis;
mod registry;

pub use fleet::{FleetKey, FleetTag, Seal};
pub use local::Local;
#[cfg(feature = "redis")]
pub use redis::{ConnectError, Difference, Redis, RedisOptions, TokenKeys};
pub use registry::{Health, NodeId, Notice, Rates, Registry, RegistryError, Taken, To};
