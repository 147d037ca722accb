//! The store that is simulated keeps the contract of the real ones.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../../store/tests/contract/mod.rs"]
mod contract;

use std::sync::Arc;

use contract::fixture::AnyStore;
use parlance_sim::store::MemoryStore;

async fn open() -> (AnyStore, ()) {
    (Arc::new(MemoryStore::default()), ())
}

contract::contract!(crate::open);
