//! Copied or restored tables are another store.

use aws_sdk_dynamodb::types::AttributeValue;
use parlance_faults::dynamodb::Dynamodb;
use parlance_store::{Dynamo, DynamoOptions, LogStore, Store, TableOptions};
use tokio::task::JoinSet;

use crate::contract::fixture::{Node, group, unique, user};
use crate::endpoint::faulty_dynamo;
use crate::tables::client;

fn options(dynamodb: &Dynamodb, table_prefix: &str) -> DynamoOptions {
    DynamoOptions { table_prefix: table_prefix.to_owned(), ..DynamoOptions::emulator(dynamodb.endpoint()) }
}

/// Copies every item of the tables with one prefix into new tables with
/// another.
async fn copy_tables(dynamodb: &Dynamodb, from: &str, to: &str) {
    let store = Dynamo::connect(&options(dynamodb, to)).await.unwrap();
    store.create_tables(&TableOptions::default()).await.unwrap();
    let client = client(dynamodb).await;
    for table in ["users", "rooms", "messages", "user_rooms"] {
        let items = client.scan().table_name(format!("{from}{table}")).send().await.unwrap().items.unwrap();
        for item in items {
            client.put_item().table_name(format!("{to}{table}")).set_item(Some(item)).send().await.unwrap();
        }
    }
}

#[tokio::test]
async fn copied_tables_get_an_identity_and_an_epoch_of_their_own() {
    let (store, dynamodb) = faulty_dynamo().await;
    let identity = store.identity().await.unwrap();
    let store = std::sync::Arc::new(store);
    let shared: crate::AnyStore = store.clone();
    let room = Node::create(&shared, group(&user(unique(), "alice"), &[])).await;
    assert_eq!(room.stored().await.info.epoch, 1);
    Box::pin(copy_tables(&dynamodb, "parlance_", "copy_")).await;

    // Of several nodes starting at once, one raises the epoch.
    let mut nodes = JoinSet::new();
    for _ in 0..8 {
        let (options, id) = (options(&dynamodb, "copy_"), room.id().clone());
        nodes.spawn(async move {
            let store = Dynamo::connect(&options).await.unwrap();
            (store.identity().await.unwrap(), store.room(&id).await.unwrap().unwrap().info.epoch)
        });
    }
    let mut found = nodes.join_all().await;
    found.dedup();
    let [(copy, epoch)] = &found[..] else { panic!("they do not agree: {found:?}") };
    assert!(*copy != identity && *epoch > 1, "{copy} {epoch}");

    // The original is unchanged, and so are the copy's rooms.
    let again = Dynamo::connect(&options(&dynamodb, "parlance_")).await.unwrap();
    assert_eq!(again.identity().await.unwrap(), identity);
    assert_eq!(again.room(room.id()).await.unwrap().unwrap().info.epoch, 1);
    let copied: crate::AnyStore =
        std::sync::Arc::new(Dynamo::connect(&options(&dynamodb, "copy_")).await.unwrap());
    copied.identity().await.unwrap();
    let new = Node::create(&copied, group(&user(unique(), "bob"), &[])).await;
    assert_eq!(new.stored().await.info.epoch, *epoch);
}

#[tokio::test]
async fn a_restore_that_cannot_be_noticed_is_declared() {
    let (store, dynamodb) = faulty_dynamo().await;
    let identity = store.identity().await.unwrap();
    let epoch = store.restored().await.unwrap();
    let after = Dynamo::connect(&options(&dynamodb, "parlance_")).await.unwrap();
    assert_ne!(after.identity().await.unwrap(), identity);
    assert!(epoch > 1 && after.restored().await.unwrap() > epoch);
}

/// A worker reads rooms, and the feed, and has no other use for the identity.
#[tokio::test]
async fn who_only_reads_rooms_sees_the_epoch_of_a_restore_too() {
    let (store, dynamodb) = faulty_dynamo().await;
    let shared: crate::AnyStore = std::sync::Arc::new(store.clone());
    let room = Node::create(&shared, group(&user(unique(), "alice"), &[])).await;
    let epoch = store.restored().await.unwrap();
    let worker = Dynamo::connect(&options(&dynamodb, "parlance_")).await.unwrap();
    worker.feed(std::sync::Arc::new(parlance_core::SystemClock)).await.unwrap();
    assert_eq!(worker.room(room.id()).await.unwrap().unwrap().info.epoch, epoch);
    // What it creates is not of an earlier epoch either.
    let other = Dynamo::connect(&options(&dynamodb, "parlance_")).await.unwrap();
    let shared: crate::AnyStore = std::sync::Arc::new(other);
    let new = Node::create(&shared, group(&user(unique(), "bob"), &[])).await;
    assert_eq!(new.stored().await.info.epoch, epoch);
}

/// Tables from before identities existed: clients do not have to start over.
#[tokio::test]
async fn tables_without_an_identity_get_one_quietly() {
    let (store, dynamodb) = faulty_dynamo().await;
    let shared: crate::AnyStore = std::sync::Arc::new(store);
    let room = Node::create(&shared, group(&user(unique(), "alice"), &[])).await;
    let key = |name| AttributeValue::S(String::from(name));
    let client = client(&dynamodb).await;
    let deleted = client.delete_item().table_name("parlance_rooms");
    deleted.key("room_id", key("#store")).key("item", key("#")).send().await.unwrap();

    let store = Dynamo::connect(&options(&dynamodb, "parlance_")).await.unwrap();
    let notes = store.check_tables().await.unwrap().notes;
    assert!(notes.iter().any(|note| note.contains("no identity yet")), "{notes:?}");
    let identity = store.identity().await.unwrap();
    let other = Dynamo::connect(&options(&dynamodb, "parlance_")).await.unwrap();
    assert_eq!(other.identity().await.unwrap(), identity);
    assert_eq!(store.room(room.id()).await.unwrap().unwrap().info.epoch, 1);
}

#[tokio::test]
async fn nodes_that_start_at_once_share_one_key_of_room_ids() {
    let (store, dynamodb) = faulty_dynamo().await;
    let mut nodes = JoinSet::new();
    for _ in 0..8 {
        let options = options(&dynamodb, "parlance_");
        nodes.spawn(async move { Dynamo::connect(&options).await.unwrap().room_ids().await.unwrap() });
    }
    let mut found = nodes.join_all().await;
    found.dedup();
    let [ids] = &found[..] else { panic!("they do not agree: {found:?}") };
    assert!(!ids.some_unkeyed);
    // It stays when the identity changes.
    store.restored().await.unwrap();
    assert_eq!(store.room_ids().await.unwrap(), *ids);
}

/// Tables from before keys existed: rooms have ids derived without one.
#[tokio::test]
async fn tables_with_rooms_and_without_a_key_are_remembered_as_such() {
    let (store, dynamodb) = faulty_dynamo().await;
    store.identity().await.unwrap();
    let shared: crate::AnyStore = std::sync::Arc::new(store);
    Node::create(&shared, group(&user(unique(), "alice"), &[])).await;
    for _ in 0..2 {
        let store = Dynamo::connect(&options(&dynamodb, "parlance_")).await.unwrap();
        assert!(store.room_ids().await.unwrap().some_unkeyed);
    }
}
