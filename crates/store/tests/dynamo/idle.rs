//! What several consumers of a process cost while nothing happens.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parlance_core::{Clock, SystemClock, Timestamp};
use parlance_faults::dynamodb::Habits;
use parlance_store::feed::{ChangeFeed, FeedPage, Position};
use parlance_store::{Dynamo, DynamoFeed};

use crate::contract::fixture::{AnyStore, Node, group, unique, user};
use crate::endpoint;

const ORDERLY: Habits = Habits { shards: 2, late: 0.0, arrive: 0.0, twice: 0.0, empty: 0.0, expired: 0.0 };

/// Longer than the test may take.
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// Pages that are read until consumers share a position.
const PATIENCE: usize = 20;

/// No two moments are the same.
#[derive(Default)]
struct TickingClock(AtomicU64);

impl Clock for TickingClock {
    fn now(&self) -> Timestamp {
        Timestamp(SystemClock.now().0 + self.0.fetch_add(1, Ordering::Relaxed))
    }
}

async fn feed(store: &Dynamo, poll: Duration) -> DynamoFeed {
    store.feed(Arc::<TickingClock>::default()).await.unwrap().with_poll(poll)
}

/// The ends of the feed that three consumers note one after the other.
async fn ends(feed: &DynamoFeed) -> Vec<Position> {
    let mut ends = Vec::new();
    for _ in 0..3 {
        ends.push(feed.tip().await.unwrap());
    }
    ends.dedup();
    assert_eq!(ends.len(), 3, "the clock ticks");
    ends
}

/// Each consumer reads once.
async fn read(feed: &DynamoFeed, consumers: &mut [Position]) {
    for at in consumers {
        let page = feed.records_after(at, 100).await.unwrap();
        let FeedPage::Records { next, .. } = page else { panic!("trimmed after {at}") };
        *at = next;
    }
}

async fn share_a_position(feed: &DynamoFeed, consumers: &mut [Position]) {
    for _ in 0..PATIENCE {
        read(feed, consumers).await;
        if consumers.iter().all(|at| *at == consumers[0]) {
            return;
        }
    }
    panic!("each reads for itself: {consumers:#?}");
}

#[tokio::test]
async fn consumers_share_the_reads_of_idle_shards_wherever_they_began() {
    let (store, dynamodb) = endpoint::faulty_dynamo().await;
    dynamodb.shards().begin(ORDERLY, unique());
    let running = feed(&store, DAY).await;
    let noted = ends(&running).await;
    let mut consumers = noted.clone();
    share_a_position(&running, &mut consumers).await;
    let calls = dynamodb.tally().requests_of("GetRecords");
    for _ in 0..PATIENCE {
        read(&running, &mut consumers).await;
    }
    assert_eq!(dynamodb.tally().requests_of("GetRecords"), calls, "what one has read, all have read");

    // Another process goes on from what they had noted.
    let restarted = feed(&store, DAY).await;
    let mut consumers = noted;
    share_a_position(&restarted, &mut consumers).await;

    // A new shard, which each of them meets at another moment.
    let following = feed(&store, Duration::ZERO).await;
    share_a_position(&following, &mut consumers).await;
    dynamodb.shards().split(2);
    share_a_position(&following, &mut consumers).await;
}

#[tokio::test]
async fn consumers_that_share_a_position_miss_nothing() {
    let (store, dynamodb) = endpoint::faulty_dynamo().await;
    dynamodb.shards().begin(ORDERLY, unique());
    let (any, alice): (AnyStore, _) = (Arc::new(store.clone()), user(unique(), "alice"));
    let mut node = Node::create(&any, group(&alice, &[])).await;
    let feed = feed(&store, Duration::ZERO).await;
    let mut consumers = ends(&feed).await;
    // A new consumer, beside others that have read a record.
    for round in 0..4 {
        share_a_position(&feed, &mut consumers).await;
        consumers.push(feed.tip().await.unwrap());
        if round == 2 {
            dynamodb.shards().split(2);
        }
        let said = node.say(&alice, &format!("message {round}")).await;
        for at in &mut consumers {
            let mut named = 0;
            for _ in 0..PATIENCE {
                let page = feed.records_after(at, 100).await.unwrap();
                let FeedPage::Records { records, next, .. } = page else { panic!("trimmed after {at}") };
                let heads = records.iter().flat_map(|record| &record.changes.heads);
                named =
                    heads.filter(|head| head.room == *node.id()).map(|head| head.last).fold(named, u64::max);
                *at = next;
                if named == said {
                    break;
                }
            }
            assert_eq!(named, said, "in round {round}");
        }
    }
}
