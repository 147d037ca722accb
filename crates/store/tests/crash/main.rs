//! Processes that die while they write: killed, cut off from power, or with a device
//! that fails.
//!
//! - `kill`: SIGKILL, which keeps the page cache
//! - `powercut`: what was never synced is thrown away as well
//! - `faults`: syncs and writes that fail
//! - `child`: the process (`examples/crash_writer.rs`); `promises`: what it was told, and
//!   whether that holds; `shim`: in between it and the file system; `cut`: what a device
//!   has after a power cut
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod child;
mod cut;
mod faults;
mod kill;
mod powercut;
mod promises;
mod random;
mod shim;
