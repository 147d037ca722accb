//! The change feed of the tables, and the table of consumers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use parlance_core::{Cursors, Mark, Name, RoomId, SystemClock, Timestamp};
use parlance_faults::dynamodb::{Dynamodb, Fault};
use parlance_store::consumers::{
    ConsumerName, ConsumerState, ConsumerTable, ConsumerWrite, EventKey, Fence, Lease, LeaseTable,
    RoomProgress,
};
use parlance_store::feed::{ChangeFeed, Changes, FeedPage, Position};
use parlance_store::{Dynamo, PreferencesChange, StoreError, UserChange};
use tokio::time::{Instant, sleep};

use crate::contract::fixture::{AnyStore, NOW, Node, group, profile, unique, user};
use crate::endpoint;
use crate::feed_contract::{consumers, feed};

/// Deadline for everything that must happen.
const DEADLINE: Duration = Duration::from_secs(20);

async fn open() -> (AnyStore, Arc<dyn ChangeFeed>, Arc<dyn ConsumerTable>, Dynamodb) {
    let (store, dynamodb) = endpoint::faulty_dynamo().await;
    let feed = feed_of(&store).await;
    (Arc::new(store.clone()), feed, Arc::new(store), dynamodb)
}

pub(crate) async fn feed_of(store: &Dynamo) -> Arc<dyn ChangeFeed> {
    let feed = store.feed(Arc::new(SystemClock)).await.unwrap();
    // The emulator has no delay and no limits.
    Arc::new(feed.with_poll(Duration::ZERO))
}

macro_rules! cases {
    ($($module:ident: $($case:ident)*;)*) => {
        mod contract_of {
            $(mod $module {
                $(#[tokio::test]
                async fn $case() {
                    let (store, feed, table, _open) = crate::streams::open().await;
                    let _ = (&store, &feed, &table);
                    crate::streams::$module::$case(crate::streams::$module::of(store, feed, table)).await;
                })*
            })*
        }
    };
}

cases! {
    of_the_feed:
        refused_commands_append_no_events
        waiting_ends_once_something_follows
        a_position_of_another_store_is_not_read_from
    ;
    of_the_table:
        a_consumer_is_read_as_it_was_written
        consumers_are_listed_without_their_rooms
        pending_rooms_are_paged
        a_row_is_replaced_and_others_stay
        a_removed_consumer_leaves_nothing_and_others_stay
    ;
}

/// The part of the contract that also holds for feeds with unordered records.
mod of_the_feed {
    pub(crate) use super::feed::{
        a_position_of_another_store_is_not_read_from, refused_commands_append_no_events,
        waiting_ends_once_something_follows,
    };
    use super::{AnyStore, Arc, ChangeFeed, ConsumerTable};

    pub(crate) fn of(
        store: AnyStore,
        feed: Arc<dyn ChangeFeed>,
        _: Arc<dyn ConsumerTable>,
    ) -> (AnyStore, Arc<dyn ChangeFeed>) {
        (store, feed)
    }
}

mod of_the_table {
    pub(crate) use super::consumers::{
        a_consumer_is_read_as_it_was_written, a_removed_consumer_leaves_nothing_and_others_stay,
        a_row_is_replaced_and_others_stay, consumers_are_listed_without_their_rooms, pending_rooms_are_paged,
    };
    use super::{AnyStore, Arc, ChangeFeed, ConsumerTable};

    pub(crate) fn of(
        _: AnyStore,
        _: Arc<dyn ChangeFeed>,
        table: Arc<dyn ConsumerTable>,
    ) -> Arc<dyn ConsumerTable> {
        table
    }
}

/// The first seqs of the chunks of `room` in the feed after `after`, up to `last`, and where to continue;
/// `None` if it was trimmed.
async fn hints(
    feed: &dyn ChangeFeed,
    after: &Position,
    room: &RoomId,
    last: u64,
) -> Option<(BTreeSet<u64>, Position)> {
    let (mut found, mut at, deadline) = (BTreeSet::new(), after.clone(), Instant::now() + DEADLINE);
    while !found.contains(&last) {
        assert!(Instant::now() < deadline, "found {found:?} of {last}");
        match feed.records_after(&at, 100).await {
            Ok(FeedPage::Trimmed) => return None,
            Ok(FeedPage::Records { records, next, .. }) => {
                let heads = records.iter().flat_map(|record| &record.changes.heads);
                found
                    .extend(heads.filter(|head| head.room == *room).flat_map(|head| [head.first, head.last]));
                at = next;
            }
            // As a consumer does.
            Err(_) => sleep(Duration::from_millis(20)).await,
        }
    }
    Some((found, at))
}

#[tokio::test]
async fn the_feed_names_every_room_that_has_moved() {
    let (store, feed, _, _open) = open().await;
    let alice = user(unique(), "alice");
    let tip = feed.tip().await.unwrap();
    let mut node = Node::create(&store, group(&alice, &[])).await;
    let mut at = tip.clone();
    for number in 0..5 {
        let said = node.say(&alice, &format!("message {number}")).await;
        let (found, next) = hints(feed.as_ref(), &at, node.id(), said).await.unwrap();
        assert_eq!(found.last(), Some(&said));
        at = next;
    }
    let (found, _) = hints(feed.as_ref(), &tip, node.id(), node.head()).await.unwrap();
    assert!(found.contains(&1) && found.contains(&node.head()), "{found:?}");
}

#[tokio::test]
async fn another_process_reads_on_from_a_position() {
    let (store, dynamodb) = endpoint::faulty_dynamo().await;
    let any: AnyStore = Arc::new(store.clone());
    let alice = user(unique(), "alice");
    let (first, tip) = {
        let feed = feed_of(&store).await;
        let mut node = Node::create(&any, group(&alice, &[])).await;
        let tip = feed.tip().await.unwrap();
        node.say(&alice, "one").await;
        let (_, at) = hints(feed.as_ref(), &tip, node.id(), node.head()).await.unwrap();
        node.say(&alice, "two").await;
        ((node, at), tip)
    };
    let (mut node, at) = first;
    // Without the iterators of the previous process.
    let feed = feed_of(&store).await;
    let (found, _) = hints(feed.as_ref(), &at, node.id(), node.head()).await.unwrap();
    assert_eq!(found, BTreeSet::from([node.head()]), "only what follows");
    // The end as noted before anything was read: a time instead of a record.
    let said = node.say(&alice, "three").await;
    let (found, _) = hints(feed.as_ref(), &tip, node.id(), said).await.unwrap();
    assert!(found.first() <= Some(&(said - 2)), "{found:?}");
    drop(dynamodb);
}

#[tokio::test]
async fn consumers_share_what_one_of_them_has_read() {
    let (store, dynamodb) = endpoint::faulty_dynamo().await;
    let feed = store.feed(Arc::new(SystemClock)).await.unwrap().with_poll(Duration::from_millis(50));
    let any: AnyStore = Arc::new(store.clone());
    let alice = user(unique(), "alice");
    let tip = feed.tip().await.unwrap();
    let mut node = Node::create(&any, group(&alice, &[])).await;
    let said = node.say(&alice, "hello").await;
    hints(&feed, &tip, node.id(), said).await.unwrap();
    let before = dynamodb.tally().requests_of("GetRecords");
    let page = feed.records_after(&tip, 100).await.unwrap();
    assert!(matches!(page, FeedPage::Records { records, .. } if !records.is_empty()));
    // The shard of messages is not read again; shards without records may be.
    assert!(dynamodb.tally().requests_of("GetRecords") - before <= 3 * 4);
}

#[tokio::test]
async fn nothing_is_missing_where_the_service_fails_now_and_then() {
    let (store, feed, _, dynamodb) = open().await;
    let alice = user(unique(), "alice");
    let tip = feed.tip().await.unwrap();
    let mut node = Node::create(&store, group(&alice, &[])).await;
    let plan = dynamodb.plan();
    plan.seed(unique());
    for call in ["GetRecords", "GetShardIterator", "DescribeStream"] {
        for fault in [Fault::Throttle, Fault::ServerError, Fault::LoseAnswer, Fault::Cut] {
            plan.often(call, 0.1, fault);
        }
    }
    let mut at = tip;
    for number in 0..30 {
        let said = node.say(&alice, &format!("message {number}")).await;
        // One hint may stand for several changes.
        (_, at) = hints(feed.as_ref(), &at, node.id(), said).await.unwrap();
    }
    plan.clear();
}

#[tokio::test]
async fn feed_contains_marks_memberships_and_profiles() {
    let (store, feed, _, _open) = open().await;
    let tag = unique();
    let (alice, bob) = (user(tag, "alice"), user(tag, "bob"));
    let tip = feed.tip().await.unwrap();
    store.create_user(profile(&alice, "Alice")).await.unwrap();
    let mut node = Node::create(&store, group(&alice, &[&bob])).await;
    let message = node.say(&alice, "hello").await;
    let (created, at) = changes(feed.as_ref(), &tip).await;
    let room = node.id().clone();
    assert!(created.profiles.contains(&alice));
    assert!([&alice, &bob].iter().all(|user| created.members.contains(&(room.clone(), (*user).clone()))));

    let read = Mark { seq: message, message_count: 1, deleted_count: 0 };
    store.advance(&bob, &room, Cursors { delivered: message, read }).await.unwrap();
    let hide = PreferencesChange { hidden: Some(read), ..Default::default() };
    store.set_preferences(&bob, &room, hide).await.unwrap();
    let rename = UserChange::rename(Name::parse("Alice L.").unwrap());
    store.update_user(&alice, rename, Timestamp(NOW.0 + 1)).await.unwrap();
    let (later, _) = changes(feed.as_ref(), &at).await;
    assert_eq!((later.marks, later.profiles), (vec![(room.clone(), bob.clone()); 2], vec![alice]));
    assert_eq!((later.heads, later.members), (vec![], vec![]));
}

/// All changes after `after`.
async fn changes(feed: &dyn ChangeFeed, after: &Position) -> (Changes, Position) {
    let (mut all, mut at) = (Changes::default(), after.clone());
    loop {
        let FeedPage::Records { records, next, .. } = feed.records_after(&at, 100).await.unwrap() else {
            panic!("trimmed after {at}");
        };
        if records.is_empty() {
            return (all, next);
        }
        for record in records {
            all.heads.extend(record.changes.heads);
            all.marks.extend(record.changes.marks);
            all.members.extend(record.changes.members);
            all.profiles.extend(record.changes.profiles);
        }
        at = next;
    }
}

#[tokio::test]
async fn rooms_are_walked_in_any_order_each_once() {
    let (store, feed, _, _open) = open().await;
    let alice = user(unique(), "alice");
    let mut created = BTreeSet::new();
    for _ in 0..5 {
        created.insert(Node::create(&store, group(&alice, &[])).await.id().clone());
    }
    for size in [1, 2, 100] {
        let walked = feed::walk(&feed, size).await;
        let distinct: BTreeSet<_> = walked.iter().cloned().collect();
        assert_eq!((&distinct, distinct.len()), (&created, walked.len()), "in pages of {size}");
    }
}

#[tokio::test]
async fn a_lease_has_one_owner() {
    let (store, dynamodb) = endpoint::faulty_dynamo().await;
    let name = ConsumerName::parse("hook").unwrap();
    let lease = |owner: &str, renewals| Lease { owner: owner.to_owned(), renewals };
    assert_eq!(store.lease(&name).await.unwrap(), None);
    assert!(store.replace_lease(&name, None, &lease("a", 1)).await.unwrap());
    assert!(!store.replace_lease(&name, None, &lease("b", 1)).await.unwrap());
    assert!(store.replace_lease(&name, Some(&lease("a", 1)), &lease("a", 2)).await.unwrap());
    assert!(!store.replace_lease(&name, Some(&lease("a", 1)), &lease("b", 2)).await.unwrap());
    // The answer is lost, and the retry meets the first attempt.
    dynamodb.plan().next("PutItem", 1, Fault::LoseAnswer);
    assert!(store.replace_lease(&name, Some(&lease("a", 2)), &lease("b", 3)).await.unwrap());
    assert_eq!(store.lease(&name).await.unwrap(), Some(lease("b", 3)));
}

#[tokio::test]
async fn a_process_whose_lease_was_taken_changes_nothing_of_its_successor() {
    let (store, dynamodb) = endpoint::faulty_dynamo().await;
    let name = ConsumerName::parse("hook").unwrap();
    let room = RoomId::parse("room").unwrap();
    let state = |number| ConsumerState {
        position: Position::numbered("store", number),
        target: "test".to_owned(),
        paused: false,
        disabled: String::new(),
        walk: None,
        created_at: NOW,
        failing_since: None,
        behind_since: None,
    };
    let done = |seq| EventKey { epoch: 1, seq };
    let row = |seq, pending| RoomProgress { done: done(seq), pending, ..RoomProgress::default() };
    let write = |number, term, write| ConsumerWrite {
        state: Some(state(number)),
        rooms: vec![(room.clone(), row(number, number % 2 == 0))],
        fence: Some(Fence { term, write }),
    };
    let stored = async || {
        let rows = store.progress(&name, std::slice::from_ref(&room)).await.unwrap();
        (store.consumer(&name).await.unwrap(), rows.into_iter().map(|(_, row)| row).next())
    };
    // There is nothing yet to be refused.
    store.fence(&name, Fence { term: 3, write: 0 }).await.unwrap();
    store.write_consumer(&name, write(4, 3, 1)).await.unwrap();
    store.write_consumer(&name, write(5, 3, 2)).await.unwrap();
    // Late, or once more, since its answer was lost.
    store.write_consumer(&name, write(4, 3, 1)).await.unwrap_err();
    dynamodb.plan().next("PutItem", 1, Fault::LoseAnswer);
    store.write_consumer(&name, write(5, 3, 2)).await.unwrap();
    assert_eq!(stored().await, (Some(state(5)), Some(row(5, false))));
    // Another process has the lease, and has written nothing yet.
    store.fence(&name, Fence { term: 9, write: 0 }).await.unwrap();
    let refused = store.write_consumer(&name, ConsumerWrite { rooms: vec![], ..write(7, 3, 3) }).await;
    assert!(matches!(refused, Err(StoreError::Refused(_))), "{refused:?}");
    assert_eq!(store.consumer(&name).await.unwrap(), Some(state(5)));
    store.write_consumer(&name, write(6, 9, 1)).await.unwrap();
    for number in [4, 8] {
        store.write_consumer(&name, write(number, 3, 4)).await.unwrap_err();
    }
    store.fence(&name, Fence { term: 3, write: 5 }).await.unwrap();
    assert_eq!(stored().await, (Some(state(6)), Some(row(6, true))));
}
