//! Sessions on tokio, against a server that misbehaves.
#![allow(clippy::unwrap_used, reason = "tests may give up")]

mod fake;
mod providers;
mod queue;
mod session;
