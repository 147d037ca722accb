//! What operations cost, as the answers say. The README's prices rest on these.

use parlance_core::{Cursors, Mark};
use parlance_faults::dynamodb::Dynamodb;

use crate::contract::fixture::{AnyStore, Node, add, edit, group, react, send, unique, user};
use crate::endpoint::faulty;

/// Units of the requests that `work` makes by `operation`.
async fn units(dynamodb: &Dynamodb, operation: &str, work: impl Future) -> f64 {
    let so_far = || dynamodb.tally().units.get(operation).copied().unwrap_or(0.0);
    let before = so_far();
    work.await;
    so_far() - before
}

fn check(what: &str, units: f64, expected: f64) {
    assert!((units - expected).abs() < 0.01, "{what}: {units} units, not {expected}");
}

async fn room(store: &AnyStore) -> (Node, parlance_core::UserId) {
    let alice = user(unique(), "alice");
    (Node::create(store, group(&alice, &[])).await, alice)
}

#[tokio::test]
async fn writes_cost_what_is_published() {
    let (store, dynamodb) = faulty().await;
    let (mut node, alice) = room(&store).await;
    let text = "x".repeat(200);

    let alone = units(&dynamodb, "PutItem", node.say(&alice, &text)).await;
    check("a message of 200 bytes", alone, 1.0);
    assert_eq!(dynamodb.tally().requests_of("UpdateItem"), 0, "sending moved a mark");

    let message = node.head();
    let ten = vec![(&alice, send(&text)); 10];
    let group = units(&dynamodb, "PutItem", node.write(&ten)).await;
    check("ten of them decided together", group, 3.0);

    let transaction = "TransactWriteItems";
    let change = [(&alice, edit(message, "shorter"))];
    let edited = units(&dynamodb, transaction, node.write(&change)).await;
    check("an edit", edited, 4.0);
    let change = [(&alice, react(message, "👍"))];
    let reacted = units(&dynamodb, transaction, node.write(&change)).await;
    check("a reaction", reacted, 4.0);
    let bob = user(unique(), "bob");
    let change = [(&alice, add(&[&bob]))];
    let joined = units(&dynamodb, transaction, node.write(&change)).await;
    check("a member added", joined, 6.0);

    let to = Cursors { delivered: 0, read: Mark { seq: node.head(), message_count: 11 } };
    let moved = async { store.advance(&bob, node.id(), to).await.unwrap() };
    check("a read mark", units(&dynamodb, "UpdateItem", moved).await, 1.0);
}

#[tokio::test]
async fn reading_small_rooms_costs_little() {
    let (store, dynamodb) = faulty().await;
    let (mut node, alice) = room(&store).await;
    for _ in 0..20 {
        node.say(&alice, &"x".repeat(200)).await;
    }
    let id = node.id().clone();
    let loaded = async { store.room(&id).await.unwrap() };
    check("the tail", units(&dynamodb, "Query", loaded).await, 1.0);
    let range = parlance_core::SeqRange { from: 1, to: node.head() };
    let page = async { store.read(&id, range, 50, true).await.unwrap() };
    // 20 chunks of about 300 bytes, and no overlays: one unit each 4 KB.
    let units = units(&dynamodb, "Query", page).await;
    assert!(units <= 4.0, "{units} units");
}
