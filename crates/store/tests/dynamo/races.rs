//! Nodes that write to one room concurrently.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parlance_core::{Chunk, UserId};
use parlance_faults::dynamodb::{Dynamodb, Fault};
use parlance_store::{AppendError, Dynamo, DynamoOptions, StoreError};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::contract::fixture::{AnyStore, Node, group, send, unique, user};
use crate::endpoint::faulty_dynamo;

/// Sends `count` messages in competition with others, catching up after each lost
/// race; returns the positions of its own.
async fn write(mut node: Node, sender: UserId, count: usize, start: Arc<Barrier>) -> BTreeMap<u64, String> {
    start.wait().await;
    let mut written = BTreeMap::new();
    while written.len() < count {
        let text = format!("{} of {sender}", written.len());
        let (append, room) = node.decide(&[(&sender, send(&text))]);
        match node.store.append(node.id(), append.clone()).await {
            Ok(()) => {
                written.insert(append.chunk.first_seq(), text);
                node.room = room;
            }
            Err(AppendError::HeadMoved) => {
                let head = node.head();
                for chunk in node.store.chunks_after(node.id(), head, 1_000).await.unwrap() {
                    node.room.apply(&chunk).unwrap();
                }
                assert!(node.head() > head, "lost against nobody");
            }
            Err(error) => panic!("{error}"),
        }
    }
    written
}

/// Another node on the same tables.
async fn another(dynamodb: &Dynamodb) -> AnyStore {
    Arc::new(Dynamo::connect(&DynamoOptions::emulator(dynamodb.endpoint())).await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_writers_exactly_one_gets_each_seq() {
    let (store, dynamodb) = faulty_dynamo().await;
    let store: AnyStore = Arc::new(store);
    let tag = unique();
    let (alice, bob) = (user(tag, "alice"), user(tag, "bob"));
    let first = Node::create(&store, group(&alice, &[&bob])).await;
    let second = Node { store: another(&dynamodb).await, room: first.room.clone() };
    let (begin, start) = (first.head(), Arc::new(Barrier::new(2)));

    let mut writers = JoinSet::new();
    writers.spawn(write(first.clone(), alice, 200, start.clone()));
    writers.spawn(write(second, bob, 200, start));
    let written = writers.join_all().await;

    let all: BTreeMap<u64, String> = written.iter().flatten().map(|(at, text)| (*at, text.clone())).collect();
    let seqs: Vec<u64> = all.keys().copied().collect();
    assert_eq!(seqs, (begin + 1..=begin + 400).collect::<Vec<_>>());
    let stored = store.chunks_after(first.id(), begin, usize::MAX).await.unwrap();
    let stored: BTreeMap<u64, String> =
        stored.into_iter().flat_map(Chunk::into_events).map(|event| (event.seq, text(&event.body))).collect();
    assert_eq!(stored, all);
    assert_eq!(first.stored().await.head().message_count(), 400);
}

/// Nothing in between serialises concurrent requests.
#[tokio::test]
async fn more_than_a_hundred_requests_run_concurrently() {
    let (store, dynamodb) = faulty_dynamo().await;
    let store: AnyStore = Arc::new(store);
    let tag = unique();
    let mut nodes = Vec::new();
    for at in 0..130 {
        let sender = user(tag, &format!("sender-{at}"));
        nodes.push((Node::create(&store, group(&sender, &[])).await, sender));
    }
    dynamodb.plan().next("PutItem", 130, Fault::Delay(Duration::from_millis(600)));
    let mut writers = JoinSet::new();
    for (mut node, sender) in nodes {
        writers.spawn(async move { node.say(&sender, "together").await });
    }
    assert_eq!(writers.join_all().await, [3; 130]);
    let most = dynamodb.tally().most_at_once;
    assert!(most > 100, "{most} at once");
}

fn text(body: &parlance_core::Body) -> String {
    match body {
        parlance_core::Body::Message(message) => message.text.as_str().to_owned(),
        other => panic!("not a message: {other:?}"),
    }
}

#[tokio::test]
async fn a_room_without_a_log_is_damaged() {
    let (store, dynamodb) = faulty_dynamo().await;
    let store: AnyStore = Arc::new(store);
    let node = Node::create(&store, group(&user(unique(), "alice"), &[])).await;
    let client = crate::tables::client(&dynamodb).await;
    let key = aws_sdk_dynamodb::types::AttributeValue::S(node.id().to_string());
    let first = aws_sdk_dynamodb::types::AttributeValue::N("1".into());
    let delete = client.delete_item().table_name("parlance_messages").key("r", key).key("q", first);
    delete.send().await.unwrap();
    assert!(matches!(store.room(node.id()).await, Err(StoreError::Damaged(_))));
}
