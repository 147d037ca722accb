//! The cost of operations as reported in answers. The README's prices are based
//! on these.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Label, Metadata, Recorder, SharedString, Unit};
use parlance_core::limits::{MAX_JOIN_NOTE_BYTES, MAX_JOIN_REQUESTS};
use parlance_core::{Action, Cursors, Joining, LinkHash, Mark, Reason, SettingsChange};
use parlance_faults::dynamodb::{ANY, Dynamodb, Fault};

use crate::contract::fixture::{AnyStore, Node, add, edit, group, react, send, unique, user};
use crate::endpoint::faulty;

/// Units consumed by `operation` during `work`.
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
async fn writes_cost_as_published() {
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

    let to = Cursors { delivered: 0, read: Mark { seq: node.head(), message_count: 11, deleted_count: 0 } };
    let moved = async { store.advance(&bob, node.id(), to).await.unwrap() };
    check("a read mark", units(&dynamodb, "UpdateItem", moved).await, 1.0);
}

/// Strangers ask, and write notes: members and their links do not pay for that.
#[tokio::test]
async fn a_link_costs_the_same_however_many_ask_to_join() {
    let (store, dynamodb) = faulty().await;
    let (mut node, alice) = room(&store).await;
    let hash = LinkHash::new([7; LinkHash::BYTES]);
    let make = Action::CreateLink { hash, lasts: Duration::from_secs(60), max_uses: 0 };
    let by_request = SettingsChange { joining: Some(Joining::ByRequest), ..SettingsChange::default() };
    node.write(&[(&alice, make), (&alice, Action::Update(by_request))]).await;
    let note = Reason::parse_new(&"x".repeat(MAX_JOIN_NOTE_BYTES)).unwrap();
    let mut costs = Vec::new();
    for asking in [0, MAX_JOIN_REQUESTS] {
        for number in 0..asking {
            let carol = user(unique(), &format!("carol{number}"));
            node.write(&[(&carol, Action::Request { note: note.clone() })]).await;
        }
        let bob = user(unique(), "bob");
        let join = [(&bob, Action::JoinByLink { hash })];
        let joined = units(&dynamodb, "TransactWriteItems", node.write(&join)).await;
        let id = node.id().clone();
        let looked = async { drop(store.issued(&id).await.unwrap()) };
        costs.push((joined, units(&dynamodb, "TransactGetItems", looked).await));
    }
    assert_eq!(costs[0], costs[1]);
    // The requests alone: no note is rewritten with the others.
    let dora = user(unique(), "dora");
    let carol = node.store.invitations(node.id()).await.unwrap();
    let carol = carol.requests().next().map(|(carol, _)| carol.clone()).unwrap();
    let approve = [(&alice, Action::Approve { user: carol })];
    let approved = units(&dynamodb, "TransactWriteItems", node.write(&approve)).await;
    assert!(approved <= 30.0, "{approved} units");
    let asks = [(&dora, Action::Request { note })];
    let asked = units(&dynamodb, "TransactWriteItems", node.write(&asks)).await;
    assert!(asked <= 30.0, "{asked} units");
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
    let member = async { drop(store.member(&id, &alice).await.unwrap()) };
    check("a member's row", units(&dynamodb, "TransactGetItems", member).await, 2.0);
    let range = parlance_core::SeqRange { from: 1, to: node.head() };
    let page = async { store.read(&id, range, 50, true).await.unwrap() };
    // 20 chunks of about 300 bytes, and no overlays: one unit per 4 KB.
    let units = units(&dynamodb, "Query", page).await;
    assert!(units <= 4.0, "{units} units");
}

#[tokio::test]
async fn reading_a_page_of_a_busy_room_costs_little() {
    let (store, dynamodb) = faulty().await;
    let (mut node, alice) = room(&store).await;
    let text = "x".repeat(200);
    for _ in 0..20 {
        node.write(&vec![(&alice, send(&text)); 64]).await;
    }
    let id = node.id().clone();
    for to in [node.head(), node.head() - 500] {
        let range = parlance_core::SeqRange { from: 1, to };
        let page = async { assert_eq!(store.read(&id, range, 50, true).await.unwrap().len(), 50) };
        // Two chunks of about 18 KB each; all twenty would cost 90.
        let units = units(&dynamodb, "Query", page).await;
        assert!(units <= 12.0, "{units} units");
    }
}

/// Counters by name and operation.
#[derive(Debug, Default)]
struct Counters(Mutex<BTreeMap<(String, String), Arc<AtomicU64>>>);

impl Counters {
    fn of(&self, name: &str, operation: &str) -> u64 {
        let counters = self.0.lock().unwrap();
        let counter = counters.get(&(name.to_owned(), operation.to_owned()));
        counter.map_or(0, |counter| counter.load(Ordering::Relaxed))
    }
}

impl Recorder for Counters {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let operation = key.labels().find(|label| label.key() == "operation").map(Label::value);
        let at = (key.name().to_owned(), operation.unwrap_or_default().to_owned());
        Counter::from_arc(self.0.lock().unwrap().entry(at).or_default().clone())
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[tokio::test]
async fn units_and_failures_are_counted_by_operation() {
    let counters = Counters::default();
    let _here = metrics::set_default_local_recorder(&counters);
    let (store, dynamodb) = faulty().await;
    let (mut node, alice) = room(&store).await;
    let written = || counters.of("parlance_dynamodb_write_units_total", "append");
    let behind = node.clone();
    node.say(&alice, "hello").await;
    assert_eq!(written(), 1);
    // A failed condition is charged, too.
    let (late, _) = behind.decide(&[(&alice, send("too late"))]);
    store.append(node.id(), late).await.unwrap_err();
    assert_eq!(written(), 2);
    assert_eq!(counters.of("parlance_dynamodb_write_units_total", "create_room"), 8);
    store.room(node.id()).await.unwrap();
    assert_eq!(counters.of("parlance_dynamodb_read_units_total", "room"), 2);

    dynamodb.plan().often(ANY, 1.0, Fault::Throttle);
    store.room(node.id()).await.unwrap_err();
    assert_eq!(counters.of("parlance_dynamodb_failures_total", "room"), 1);
}
