//! The simulated store fulfils the contract of the real ones.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../../store/tests/contract/mod.rs"]
mod contract;
#[path = "../../store/tests/contract/feed_contract.rs"]
mod feed_contract;

use std::sync::Arc;

use contract::fixture::AnyStore;
use feed_contract::consumers::AnyConsumers;
use feed_contract::feed::AnyFeed;
use parlance_sim::store::MemoryStore;

async fn open() -> (AnyStore, ()) {
    (Arc::new(MemoryStore::default()), ())
}

contract::contract!(crate::open);

#[tokio::test]
async fn the_number_of_blocks_is_bounded() {
    contract::blocks::the_number_of_blocks_is_bounded(open().await.0).await;
}

mod feeds {
    use super::*;

    pub(crate) async fn open() -> (AnyStore, AnyFeed, AnyConsumers, ()) {
        let store = Arc::new(MemoryStore::default());
        (store.clone(), store.clone(), store, ())
    }

    feed_contract::feed_contract!(crate::feeds::open);
}
