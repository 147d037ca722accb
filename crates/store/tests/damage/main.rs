//! Stores with modified files: damage to acknowledged data is reported and nothing is
//! changed; a write that was never acknowledged is truncated.
//!
//! - `journal`, `tables`: damage to either; `torn`: the end of a journal after a crash;
//!   `mark`: the mark of the last commit
//! - `sample`: a store with data of every kind
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../support/files.rs"]
mod files;
#[path = "../support/fixture.rs"]
#[allow(dead_code, reason = "shared with the contract")]
mod fixture;
#[path = "../support/notes.rs"]
mod notes;

mod journal;
mod mark;
mod sample;
mod tables;
mod torn;
