//! Contract of every change feed.

use parlance_store::{PreferencesChange, UserChange};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use parlance_core::{Cursors, Mark, Name, RoomId, Timestamp};
use parlance_store::feed::{ChangeFeed, FeedPage, Position, Record};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::contract::fixture::{AnyStore, NOW, Node, add, edit, group, profile, send, unique, user};

pub(crate) type AnyFeed = std::sync::Arc<dyn ChangeFeed>;

/// Deadline for everything that must happen.
const DEADLINE: Duration = Duration::from_secs(20);

/// Everything after `after`, in pages of `limit`.
async fn read_all(feed: &AnyFeed, after: &Position, limit: usize) -> Vec<Record> {
    let (mut all, mut at) = (Vec::new(), after.clone());
    loop {
        let FeedPage::Records { records, next, .. } = feed.records_after(&at, limit).await.unwrap() else {
            panic!("trimmed after {at}");
        };
        assert!(records.len() <= limit);
        if records.is_empty() {
            return all;
        }
        assert_eq!(records.last().map(|record| &record.position), Some(&next));
        all.extend(records);
        at = next;
    }
}

/// The events of `room` in `records`, in feed order.
fn events_of(records: &[Record], room: &RoomId) -> Vec<(u64, u64)> {
    let heads = records.iter().flat_map(|record| &record.changes.heads);
    heads.filter(|head| head.room == *room).map(|head| (head.first, head.last)).collect()
}

pub(crate) async fn every_event_is_in_the_feed_once_and_in_order((store, feed): (AnyStore, AnyFeed)) {
    let (alice, bob) = (user(unique(), "alice"), user(unique(), "bob"));
    let tip = feed.tip().await.unwrap();
    let mut node = Node::create(&store, group(&alice, &[])).await;
    node.say(&alice, "one").await;
    node.write(&[(&alice, send("two")), (&alice, send("three"))]).await;
    let message = node.say(&alice, "four").await;
    node.write(&[(&alice, edit(message, "five"))]).await;
    node.write(&[(&alice, add(&[&bob]))]).await;
    let records = read_all(&feed, &tip, 100).await;
    let mut next = 1;
    for (first, last) in events_of(&records, node.id()) {
        assert!(first == next && last >= first, "{first} to {last} where {next} was next");
        next = last + 1;
    }
    assert_eq!(next, node.head() + 1);
}

pub(crate) async fn a_record_follows_every_tip_that_was_taken_before((store, feed): (AnyStore, AnyFeed)) {
    let alice = user(unique(), "alice");
    let mut node = Node::create(&store, group(&alice, &[])).await;
    for number in 0..5 {
        let tip = feed.tip().await.unwrap();
        let seq = node.say(&alice, &format!("message {number}")).await;
        let events = events_of(&read_all(&feed, &tip, 3).await, node.id());
        assert_eq!(events, [(seq, seq)]);
    }
}

pub(crate) async fn page_starts_where_the_previous_one_ended((store, feed): (AnyStore, AnyFeed)) {
    let alice = user(unique(), "alice");
    let tip = feed.tip().await.unwrap();
    let mut node = Node::create(&store, group(&alice, &[])).await;
    for number in 0..7 {
        node.say(&alice, &format!("message {number}")).await;
    }
    let whole = read_all(&feed, &tip, 100).await;
    for size in [1, 2, 3] {
        let again = read_all(&feed, &tip, size).await;
        // Other tests may write meanwhile.
        assert_eq!(again[..whole.len()], whole, "in pages of {size}");
    }
    for record in &whole {
        let parsed = Position::parse(record.position.as_str());
        assert_eq!(parsed.as_ref(), Some(&record.position));
    }
}

pub(crate) async fn appends_to_many_rooms_are_all_there((store, feed): (AnyStore, AnyFeed)) {
    let alice = user(unique(), "alice");
    let tip = feed.tip().await.unwrap();
    let mut writers = JoinSet::new();
    for _ in 0..16 {
        let (store, alice) = (store.clone(), alice.clone());
        writers.spawn(async move {
            let mut node = Node::create(&store, group(&alice, &[])).await;
            for number in 0..10 {
                node.say(&alice, &format!("message {number}")).await;
            }
            (node.id().clone(), node.head())
        });
    }
    let heads: BTreeMap<RoomId, u64> = writers.join_all().await.into_iter().collect();
    let records = read_all(&feed, &tip, 10).await;
    for (room, head) in heads {
        let events = events_of(&records, &room);
        let seqs: Vec<u64> = events.into_iter().flat_map(|(first, last)| first..=last).collect();
        assert_eq!(seqs, (1..=head).collect::<Vec<_>>());
    }
}

pub(crate) async fn marks_memberships_and_profiles_are_in_the_feed((store, feed): (AnyStore, AnyFeed)) {
    let tag = unique();
    let (alice, bob) = (user(tag, "alice"), user(tag, "bob"));
    let tip = feed.tip().await.unwrap();
    store.create_user(profile(&alice, "Alice")).await.unwrap();
    let mut node = Node::create(&store, group(&alice, &[&bob])).await;
    let message = node.say(&alice, "hello").await;
    let (before, room) = (feed.tip().await.unwrap(), node.id().clone());
    let read = Mark { seq: message, message_count: 1, deleted_count: 0 };
    store.advance(&bob, &room, Cursors { delivered: message, read }).await.unwrap();
    store
        .update_user(&alice, UserChange::rename(Name::parse("Alice L.").unwrap()), Timestamp(NOW.0 + 1))
        .await
        .unwrap();
    let hide = PreferencesChange { hidden: Some(read), ..Default::default() };
    store.set_preferences(&bob, &room, hide).await.unwrap();

    let first = read_all(&feed, &tip, 100).await;
    let created = first.iter().filter(|record| record.changes.profiles.contains(&alice)).count();
    assert_eq!(created, 2, "creation and renaming");
    let members: BTreeSet<_> = first.iter().flat_map(|record| record.changes.members.clone()).collect();
    assert!(
        members.contains(&(room.clone(), alice.clone())) && members.contains(&(room.clone(), bob.clone()))
    );
    let later = read_all(&feed, &before, 100).await;
    let marks = later.iter().flat_map(|record| &record.changes.marks);
    assert_eq!(marks.filter(|mark| **mark == (room.clone(), bob.clone())).count(), 2);
}

pub(crate) async fn refused_commands_append_no_events((store, feed): (AnyStore, AnyFeed)) {
    let alice = user(unique(), "alice");
    let mut node = Node::create(&store, group(&alice, &[])).await;
    let (late, _) = node.decide(&[(&alice, send("too late"))]);
    node.say(&alice, "in time").await;
    let tip = feed.tip().await.unwrap();
    store.append(node.id(), late).await.unwrap_err();
    assert_eq!(events_of(&read_all(&feed, &tip, 10).await, node.id()), []);
}

pub(crate) async fn waiting_ends_once_something_follows((store, feed): (AnyStore, AnyFeed)) {
    let alice = user(unique(), "alice");
    let tip = feed.tip().await.unwrap();
    let waiting = {
        let (feed, tip) = (feed.clone(), tip.clone());
        tokio::spawn(async move { feed.wait(&tip).await })
    };
    Node::create(&store, group(&alice, &[])).await;
    timeout(DEADLINE, waiting).await.unwrap().unwrap();
    timeout(DEADLINE, feed.wait(&tip)).await.unwrap();
    assert!(!read_all(&feed, &tip, 10).await.is_empty());
}

pub(crate) async fn a_position_of_another_store_is_not_read_from((store, feed): (AnyStore, AnyFeed)) {
    Node::create(&store, group(&user(unique(), "alice"), &[])).await;
    let other = Position::numbered(&"0".repeat(32), 1);
    assert_eq!(feed.records_after(&other, 10).await.unwrap(), FeedPage::Trimmed);
    timeout(DEADLINE, feed.wait(&other)).await.unwrap();
}

/// All rooms, in pages of `size`.
pub(crate) async fn walk(feed: &AnyFeed, size: usize) -> Vec<RoomId> {
    let mut walked: Vec<RoomId> = Vec::new();
    loop {
        let page = feed.walk_rooms(walked.last(), size).await.unwrap();
        assert!(page.len() <= size);
        if page.is_empty() {
            return walked;
        }
        walked.extend(page);
    }
}

pub(crate) async fn rooms_are_walked_each_once((store, feed): (AnyStore, AnyFeed)) {
    let alice = user(unique(), "alice");
    let mut created = BTreeSet::new();
    for _ in 0..5 {
        created.insert(Node::create(&store, group(&alice, &[])).await.id().clone());
    }
    for size in [1, 2, 100] {
        let walked = walk(&feed, size).await;
        assert!(walked.is_sorted_by(|a, b| a < b), "in pages of {size}");
        assert_eq!(walked.iter().filter(|room| created.contains(*room)).count(), created.len());
    }
}
