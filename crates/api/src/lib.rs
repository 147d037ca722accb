//! The services of Parlance: admission of calls, rate limits, and the operations, one file per
//! resource.
//!
//! The path of one message: [`services`] or a session's frame -> an operation -> the room's actor
//! (decide, append) -> the hub -> the sessions -> the answer.
//!
//! Assembles the crates below into a node: the hub, the cluster, the rooms and the sessions.
//! Listeners (gRPC, WebSocket, REST) live in the server and bridge crates.
#![warn(missing_docs)]

mod accounts;
mod api;
mod claimed;
mod error;
mod event_streams;
mod events;
mod gate;
mod limits;
mod ongoing;
mod operations;
mod profiles;
mod receiving;
mod room_quota;
mod rules;
mod screen;
pub mod services;
mod streams;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod turns;
mod weighed;

pub use accounts::EndSessions;
pub use api::{Additions, Api, Parts, Usage};
pub use error::Error;
pub use limits::{PeopleLimits, ROOM_MEMORY, SCREEN_TIMEOUT, Sizes};
pub use parlance_cluster::limits::{ISOLATION, PRESENCE_GRACE, RECOVERY_READS};
pub use parlance_identity as identity;
pub use rules::{ProfileRules, ShownTo};
pub use screen::{Proposal, Screen, ScreenError, Screening};
pub use weighed::Received;
