//! The DynamoDB store keeps the contract under all failures of the service. Runs on an
//! emulator behind a fault-injecting proxy; the contract also runs on any endpoint named
//! by `PARLANCE_TEST_DYNAMODB_ENDPOINT`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../contract/mod.rs"]
mod contract;
#[path = "../contract/feed_contract.rs"]
#[allow(dead_code, unused_macros, unused_imports, reason = "what does not hold for hints is left out")]
mod feed_contract;
#[path = "../contract/revocations.rs"]
mod revocation_contract;

mod clock;
mod damage;
mod endpoint;
mod faults;
mod fleet;
mod identity;
mod idle;
mod later;
mod marks;
mod pages;
mod races;
mod revocations;
mod shards;
mod streams;
mod tables;
mod units;

use contract::fixture::AnyStore;
use parlance_faults::dynamodb::{ANY, Dynamodb, Fault};

async fn open() -> (AnyStore, Option<Dynamodb>) {
    endpoint::any().await
}

async fn open_with_the_past() -> (AnyStore, Option<Dynamodb>) {
    let (store, dynamodb) = endpoint::faulty().await;
    dynamodb.plan().answer_from_the_past(std::time::Duration::from_secs(3_600));
    (store, Some(dynamodb))
}

/// Every call fails now and then, carried out or not: the store hides that.
async fn open_rough() -> (AnyStore, Option<Dynamodb>) {
    let (store, dynamodb) = endpoint::faulty().await;
    let plan = dynamodb.plan();
    plan.seed(contract::fixture::unique());
    // One in fifty: the probability that all four attempts of a call fail is one in six
    // million.
    for fault in [Fault::Throttle, Fault::ServerError, Fault::Unavailable, Fault::LoseAnswer, Fault::Cut] {
        plan.often(ANY, 0.004, fault);
    }
    for transaction in ["TransactWriteItems", "TransactGetItems"] {
        plan.often(transaction, 0.05, Fault::Conflict);
    }
    plan.often(ANY, 0.2, Fault::PartialBatch);
    (store, Some(dynamodb))
}

mod contract_of {
    mod the_endpoint {
        crate::contract::contract!(crate::open);
    }

    /// Reads that do not ask for consistency find nothing.
    mod reads_from_the_past {
        crate::contract::contract!(crate::open_with_the_past);
    }

    mod a_rough_service {
        crate::contract::contract!(crate::open_rough);
    }
}

/// On the endpoint alone: it writes a thousand times.
#[tokio::test]
async fn the_number_of_blocks_is_bounded() {
    let (store, _dynamodb) = open().await;
    contract::blocks::the_number_of_blocks_is_bounded(store).await;
}
