//! Sessions on tokio, against a misbehaving server.
#![allow(clippy::unwrap_used, reason = "tests may give up")]

mod fake;
mod providers;
mod queue;
mod session;
