//! This node in the cluster: publishing its commits, receiving those of others, and detecting what was missed.
//!
//! Durability never depends on this crate: hints only save other nodes from polling. Whenever a hint may have been
//! lost, they read the store ([`Cluster::recover`]).
//!
//! Depends on the store, the registry and the hub. Commands from other nodes go to an implementation of
//! [`RoomCommands`]. Does not depend on room actors or sessions.
#![warn(missing_docs)]

mod announce;
mod answers;
mod audience;
mod blocks;
mod cluster;
mod commands;
mod departure;
pub mod envelope;
mod find_out;
mod follow_ups;
mod inbound;
mod isolation;
mod known_blocks;
pub mod limits;
mod missed;
mod places;
mod presence;
mod publish;
mod recovery;
mod signal_room;
mod strangers;
mod uncompared;
mod unsettled;
mod written;

pub use cluster::{Cluster, Pace};
pub use commands::RoomCommands;
pub use departure::Departure;
pub use limits::Sizes;
pub use recovery::Recovery;
pub use signal_room::SignalRoom;
