//! Parlance for mobile apps: one client in Rust, and bindings for Kotlin, Swift and Python that UniFFI generates from
//! `parlance.udl`, which is also the reference of the interface.
//!
//! The scaffolding passes pointers across the language boundary, so this file cannot forbid unsafe code. It holds nothing but
//! that scaffolding; the modules, which are written by hand, each forbid it.

mod client;
mod command;
mod error;
mod event;
mod json;
mod listener;
mod options;
mod sessions;
mod storage;
mod work;

pub use client::Client;
pub use command::{CommandKind, CommandState, CommandUpdate, Discarded, PendingCommand};
pub use error::{ClientError, ListenerError, TokenError};
pub use event::{ConnectionState, Event, EventBody, EventPage, Gap, GapReason, Reaction, Signal};
pub use listener::{Listener, TokenProvider};
pub use options::{Options, OutgoingMessage, SentMessage, Transport};

uniffi::include_scaffolding!("parlance");
