//! This node among others: what it publishes of what it commits, what reaches it, and
//! how it finds out what has not.
//!
//! Nothing here is needed for a message to be safe: other nodes are told so that they
//! need not look. Whenever telling may have failed, they look ([`Cluster::recover`]).
//!
//! Knows the store, the registry and the hub. What other nodes ask to be decided goes to whoever
//! implements [`RoomCommands`]. Knows nothing of the actors that decide, or of sessions.
#![warn(missing_docs)]

mod announce;
mod audience;
mod budget;
mod cluster;
mod commands;
mod departure;
pub mod envelope;
mod find_out;
mod follow_ups;
mod inbound;
mod isolation;
pub mod limits;
mod missed;
mod places;
mod presence;
mod publish;
mod recovery;
mod signal_room;
mod uncompared;
mod unsettled;
mod written;

pub use cluster::{Cluster, Pace};
pub use commands::RoomCommands;
pub use departure::Departure;
pub use limits::Sizes;
pub use recovery::Recovery;
pub use signal_room::SignalRoom;
