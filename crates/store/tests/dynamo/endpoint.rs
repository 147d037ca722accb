//! Endpoints for the tests.

use std::sync::Arc;

use parlance_faults::dynamodb::Dynamodb;
use parlance_store::{Dynamo, DynamoOptions, TableOptions};

use crate::contract::fixture::AnyStore;

/// An external endpoint for the contract: an emulator if it is plain HTTP and `AWS_REGION` is unset,
/// otherwise a region, with the usual AWS settings. The tables are left behind.
const ENDPOINT: &str = "PARLANCE_TEST_DYNAMODB_ENDPOINT";

/// A store on the configured endpoint, or on an emulator.
pub(crate) async fn any() -> (AnyStore, Option<Dynamodb>) {
    match std::env::var(ENDPOINT) {
        Ok(endpoint) => {
            // The cases share only the tables.
            let table_prefix = "parlance_test_".to_owned();
            // Others on loopback, such as moto, know the existing regions.
            let emulator = endpoint.starts_with("http://") && std::env::var_os("AWS_REGION").is_none();
            let options = DynamoOptions {
                table_prefix,
                endpoint: Some(endpoint),
                emulator,
                ..DynamoOptions::default()
            };
            (Arc::new(with_tables(&options).await), None)
        }
        Err(_) => {
            let (store, dynamodb) = faulty().await;
            (store, Some(dynamodb))
        }
    }
}

/// A store on an emulator that can be made to fail.
pub(crate) async fn faulty() -> (AnyStore, Dynamodb) {
    let (store, dynamodb) = faulty_dynamo().await;
    (Arc::new(store), dynamodb)
}

pub(crate) async fn faulty_dynamo() -> (Dynamo, Dynamodb) {
    let dynamodb = Dynamodb::start().unwrap();
    let store = with_tables(&DynamoOptions::emulator(dynamodb.endpoint())).await;
    (store, dynamodb)
}

async fn with_tables(options: &DynamoOptions) -> Dynamo {
    let store = Box::pin(Dynamo::connect(options)).await.unwrap();
    Box::pin(store.create_tables(&TableOptions::default())).await.unwrap();
    store
}
