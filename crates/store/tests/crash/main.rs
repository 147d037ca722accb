//! Processes that die while they write: killed, cut off from power, or on a failing
//! device.
//!
//! - `kill`: SIGKILL, which keeps the page cache
//! - `powercut`: unsynced data is discarded as well
//! - `faults`: syncs and writes that fail
//! - `child`: the process (`examples/crash_writer.rs`); `promises`: its acknowledgements,
//!   and whether they hold; `shim`: intercepts its file system calls; `cut`: the contents
//!   of a device after a power cut
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod child;
mod cut;
mod faults;
mod kill;
mod powercut;
mod promises;
mod random;
mod shim;
