//! Two fleets on the same tables.

use std::time::Duration;

use parlance_core::Timestamp;
use parlance_store::{OtherFleet, Store};

use crate::endpoint::faulty_dynamo;

const LEASE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn tables_are_one_fleets_until_it_ends() {
    let (store, _dynamodb) = faulty_dynamo().await;
    let claim = async |prefix: &str, second: u64| {
        store.claim_tables(prefix, Timestamp(1_000_000 + second * 1_000), LEASE).await.unwrap()
    };
    let until = |second: u64| Timestamp(1_000_000 + second * 1_000);
    let first = |second| Some(OtherFleet { prefix: "first:".to_owned(), until: until(second) });
    assert_eq!(claim("first:", 0).await, None);
    assert_eq!(claim("second:", 1).await, first(60));
    // Early renewals write nothing, later ones do.
    assert_eq!(claim("first:", 10).await, None);
    assert_eq!(claim("second:", 10).await, first(60));
    assert_eq!(claim("first:", 20).await, None);
    assert_eq!(claim("second:", 79).await, first(80));
    // The first fleet crashed.
    assert_eq!(claim("second:", 80).await, None);
    let second = OtherFleet { prefix: "second:".to_owned(), until: until(140) };
    assert_eq!(claim("first:", 81).await, Some(second.clone()));
    // Only the owner can end a claim.
    store.release_tables("first:").await.unwrap();
    assert_eq!(claim("first:", 82).await, Some(second));
    store.release_tables("second:").await.unwrap();
    assert_eq!(claim("first:", 83).await, None);
}

/// Tables whose only items are the store's own have no rooms.
#[tokio::test]
async fn a_claim_is_not_a_room() {
    let (store, _dynamodb) = faulty_dynamo().await;
    store.claim_tables("first:", Timestamp(1), LEASE).await.unwrap();
    store.identity().await.unwrap();
    assert!(!store.room_ids().await.unwrap().some_unkeyed);
}
