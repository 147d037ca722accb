//! The embedded engine keeps the contract.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod contract;

use std::sync::Arc;

use contract::fixture::AnyStore;
use parlance_store::{Embedded, Options};
use tempfile::TempDir;

async fn open() -> (AnyStore, TempDir) {
    let dir = TempDir::new().unwrap();
    let store = Embedded::open(dir.path(), Options::default()).unwrap();
    (Arc::new(store), dir)
}

contract::contract!(crate::open);
