//! The change feed of the embedded engine across restarts, trimming, and restored backups.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/fixture.rs"]
#[allow(dead_code, reason = "shared with the contract")]
mod fixture;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fixture::{AnyStore, Node, group, unique, user};
use parlance_core::RoomId;
use parlance_store::feed::{ChangeFeed, FeedPage, Position};
use parlance_store::{Embedded, Options};
use tempfile::TempDir;

fn open(dir: &Path, options: Options) -> (Arc<Embedded>, AnyStore) {
    let store = Arc::new(Embedded::open(dir, options).unwrap());
    (store.clone(), store)
}

/// The last seqs of `room` in the feed after `after`; `None` if it was trimmed.
async fn heads(feed: &Embedded, after: &Position, room: &RoomId) -> Option<Vec<u64>> {
    let (mut heads, mut at) = (Vec::new(), after.clone());
    loop {
        let FeedPage::Records { records, next, .. } = feed.records_after(&at, 100).await.unwrap() else {
            return None;
        };
        if records.is_empty() {
            return Some(heads);
        }
        let moved = records.iter().flat_map(|record| &record.changes.heads);
        heads.extend(moved.filter(|head| head.room == *room).map(|head| head.last));
        at = next;
    }
}

#[tokio::test]
async fn position_is_valid_after_a_restart() {
    let dir = TempDir::new().unwrap();
    let alice = user(unique(), "alice");
    let (feed, store) = open(dir.path(), Options::default());
    let start = feed.tip().await.unwrap();
    let mut node = Node::create(&store, group(&alice, &[])).await;
    let id = node.id().clone();
    let mut expected = vec![node.head()];
    expected.push(node.say(&alice, "before").await);
    let Node { store: held, room } = node;
    drop((feed, store, held));

    let (feed, store) = open(dir.path(), Options::default());
    let mut node = Node { store, room };
    expected.push(node.say(&alice, "after").await);
    assert_eq!(heads(&feed, &start, &id).await, Some(expected));
}

/// Rooms are written at once, some of them in one commit, and some of them twice in it.
#[tokio::test]
async fn a_record_of_many_rooms_names_each_once() {
    const ROOMS: usize = 100;
    let dir = TempDir::new().unwrap();
    let (feed, store) = open(dir.path(), Options::default());
    let start = feed.tip().await.unwrap();
    let writing = (0..ROOMS).map(|number| {
        let store = store.clone();
        async move {
            let alice = user(unique(), &format!("alice-{number}"));
            let mut node = Node::create(&store, group(&alice, &[])).await;
            for _ in 0..3 {
                node.say(&alice, "hello").await;
            }
            (node.id().clone(), node.head())
        }
    });
    let written = futures::future::join_all(writing).await;
    let (mut at, mut last) = (start, BTreeMap::new());
    while last.len() < ROOMS || written.iter().any(|(room, head)| last.get(room) != Some(head)) {
        let FeedPage::Records { records, next, .. } = feed.records_after(&at, 100).await.unwrap() else {
            panic!("trimmed");
        };
        assert!(!records.is_empty(), "a head is missing");
        for record in records {
            let rooms: BTreeSet<&RoomId> = record.changes.heads.iter().map(|head| &head.room).collect();
            assert_eq!(rooms.len(), record.changes.heads.len());
            for head in record.changes.heads {
                // In order, and without a hole.
                assert_eq!(last.insert(head.room, head.last).unwrap_or(0) + 1, head.first);
            }
        }
        at = next;
    }
}

#[tokio::test]
async fn a_position_before_what_was_trimmed_is_refused_and_disk_space_is_bounded() {
    const FEED_BYTES: u64 = 64 << 10;
    let dir = TempDir::new().unwrap();
    let alice = user(unique(), "alice");
    let options = Options { write_buffer_bytes: 16 << 10, feed_bytes: FEED_BYTES, ..Options::default() };
    let (feed, store) = open(dir.path(), options);
    let start = feed.tip().await.unwrap();
    let mut node = Node::create(&store, group(&alice, &[])).await;
    let mut rounds = 0;
    while heads(&feed, &start, node.id()).await.is_some() {
        let before = feed.tip().await.unwrap();
        let said = node.say(&alice, "hello").await;
        assert_eq!(heads(&feed, &before, node.id()).await, Some(vec![said]), "the newest is always there");
        rounds += 1;
        assert!(rounds < 20_000, "nothing is trimmed");
    }
    // The beginning is gone for good, also after a restart, and positions continue.
    let tip = feed.tip().await.unwrap();
    let Node { store: held, room } = node;
    let id = room.info().id.clone();
    drop((feed, store, held));
    let (feed, store) = open(dir.path(), options);
    assert_eq!(feed.tip().await.unwrap(), tip);
    assert_eq!(heads(&feed, &start, &id).await, None);
    assert_eq!(heads(&feed, &tip, &id).await, Some(vec![]));
    let mut node = Node { store, room };
    let said = node.say(&alice, "still there").await;
    assert_eq!(heads(&feed, &tip, &id).await, Some(vec![said]));
}

/// As after a week without writes: all of the feed may be gone.
#[tokio::test]
async fn empty_trimmed_feed_continues() {
    let dir = TempDir::new().unwrap();
    let alice = user(unique(), "alice");
    let options =
        Options { write_buffer_bytes: 8 << 10, feed_age: Duration::from_secs(1), ..Options::default() };
    let (feed, store) = open(dir.path(), options);
    let start = feed.tip().await.unwrap();
    let mut node = Node::create(&store, group(&alice, &[])).await;
    let mut rounds = 0;
    while heads(&feed, &start, node.id()).await.is_some() {
        node.say(&alice, "hello").await;
        rounds += 1;
        assert!(rounds < 50_000, "nothing is trimmed");
    }
    let tip = feed.tip().await.unwrap();
    let Node { store: held, room } = node;
    let id = room.info().id.clone();
    drop((feed, store, held));
    let (feed, store) = open(dir.path(), options);
    let mut node = Node { store, room };
    let said = node.say(&alice, "and on").await;
    assert_eq!(heads(&feed, &tip, &id).await, Some(vec![said]));
}

#[tokio::test]
async fn position_from_before_a_restore_is_refused() {
    let dir = TempDir::new().unwrap();
    let alice = user(unique(), "alice");
    let (feed, store) = open(dir.path(), Options::default());
    let node = Node::create(&store, group(&alice, &[])).await;
    let position = feed.tip().await.unwrap();
    feed.restored().unwrap();
    drop((feed, store, node));
    let (feed, _store) = open(dir.path(), Options::default());
    assert_ne!(feed.tip().await.unwrap(), position);
    assert_eq!(feed.records_after(&position, 10).await.unwrap(), FeedPage::Trimmed);
}

#[tokio::test]
async fn store_from_before_the_feed_gets_one() {
    let dir = TempDir::new().unwrap();
    let alice = user(unique(), "alice");
    let (feed, store) = open(dir.path(), Options::default());
    let node = Node::create(&store, group(&alice, &[])).await;
    let Node { store: held, room } = node;
    let start = Position::numbered(&store.identity().await.unwrap(), 0);
    drop((feed, store, held));
    {
        // Written by an older version: a commit without a record.
        let engine = fjall::Database::builder(dir.path().join("engine")).open().unwrap();
        let users = engine.keyspace("users", fjall::KeyspaceCreateOptions::default).unwrap();
        let log = engine.keyspace("log", fjall::KeyspaceCreateOptions::default).unwrap();
        let last = log.get([0]).unwrap().unwrap();
        let next = u64::from_be_bytes(last.as_ref().try_into().unwrap()) + 1;
        users.insert([0], next.to_be_bytes()).unwrap();
    }
    let (feed, store) = open(dir.path(), Options::default());
    let tip = feed.tip().await.unwrap();
    let mut node = Node { store, room };
    let said = node.say(&alice, "hello").await;
    let id = node.id();
    assert_eq!(heads(&feed, &tip, id).await, Some(vec![said]));
    // Not reported as if there were nothing in between.
    assert_eq!(heads(&feed, &start, id).await, None);
}
