//! The room as a state machine: [`Room`] holds what a node has loaded of a room,
//! [`Draft`] decides commands on top of it.

mod command;
mod create;
mod decide;
mod decision;
mod draft;
mod former;
mod former_requests;
mod layered;
mod posted;
mod refusal;
mod requests;
mod runs;
mod state;

pub use command::{Action, Authority, Command, ImportedMessage, Refusal, SettingsChange};
pub use create::{Creation, NewRoom};
pub use decision::{Decision, Need, Outcome};
pub use draft::{Append, Draft};
pub use posted::Posted;
pub use state::{Hole, Room, RoomInfo};
