//! The change feed of the tables against what the service does not promise: shards that split, close and are
//! trimmed, records that are late or come twice, iterators that expire, streams that are switched off.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::{StreamExt, stream};
use parlance_core::{Clock, RoomId, SystemClock, Timestamp};
use parlance_faults::dynamodb::{Dynamodb, Fault, Habits};
use parlance_store::feed::{ChangeFeed, FeedPage, Position};
use parlance_store::{Dynamo, LogStore, StoreError};

use crate::contract::fixture::{AnyStore, Node, group, unique, user};
use crate::endpoint;
use crate::feed_contract::feed;
use crate::streams::feed_of;

/// Shards, and nothing else that is unusual.
const ORDERLY: Habits = Habits { shards: 3, late: 0.0, arrive: 0.0, twice: 0.0, empty: 0.0, expired: 0.0 };

/// Everything that may happen.
const ROUGH: Habits = Habits { shards: 2, late: 0.3, arrive: 0.2, twice: 0.1, empty: 0.3, expired: 0.05 };

/// Runs of everything at once.
const SEEDS: u64 = 4;

/// Reads that find nothing missing after which something is missing.
const PATIENCE: usize = 30;

async fn open(habits: Habits) -> (Dynamo, Dynamodb) {
    let (store, dynamodb) = endpoint::faulty_dynamo().await;
    dynamodb.shards().begin(habits, unique());
    (store, dynamodb)
}

mod contract_of_a_feed_with_shards {
    use super::{Arc, Habits, ORDERLY, feed, feed_of, open};

    macro_rules! cases {
        ($($case:ident)*) => {
            $(#[tokio::test]
            async fn $case() {
                let habits = Habits { twice: 0.2, ..ORDERLY };
                let (store, _open) = open(habits).await;
                let of_it = feed_of(&store).await;
                feed::$case((Arc::new(store), of_it)).await;
            })*
        };
    }

    cases! {
        refused_commands_append_no_events
        waiting_ends_once_something_follows
        a_position_of_another_store_is_not_read_from
    }
}

/// What a consumer knows: how far each room is, by hints and by walks.
struct Consumer {
    feed: Arc<dyn ChangeFeed>,
    at: Position,
    named: BTreeMap<RoomId, u64>,
    walks: usize,
}

impl Consumer {
    async fn new(feed: Arc<dyn ChangeFeed>) -> Self {
        let at = tip(feed.as_ref()).await;
        Self { feed, at, named: BTreeMap::new(), walks: 0 }
    }

    /// Reads until `seq` is named as the last event of `room`.
    async fn read_until(&mut self, store: &Dynamo, room: &RoomId, seq: u64) {
        while self.named.get(room) != Some(&seq) {
            self.read(store).await;
        }
    }

    /// Reads once.
    async fn read(&mut self, store: &Dynamo) {
        match self.feed.records_after(&self.at, 3).await {
            Ok(FeedPage::Records { records, next, .. }) => {
                for head in records.into_iter().flat_map(|record| record.changes.heads) {
                    let named = self.named.entry(head.room).or_default();
                    *named = head.last.max(*named);
                }
                self.at = next;
            }
            Ok(FeedPage::Trimmed) => {
                self.walks += 1;
                self.at = tip(self.feed.as_ref()).await;
                for room in feed::walk(&self.feed, 100).await {
                    let head = store.room(&room).await.unwrap().unwrap().head().seq();
                    self.named.insert(room, head);
                }
            }
            // As a consumer does: again.
            Err(_) => {}
        }
    }
}

/// The end of the feed, once the service says it.
async fn tip(feed: &dyn ChangeFeed) -> Position {
    for _ in 0..100 {
        if let Ok(tip) = feed.tip().await {
            return tip;
        }
    }
    panic!("the end of the feed is not to be had");
}

/// Numbers that a seed determines.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// A consumer beside rooms that are written to, while the service does what it may; `Err` says what is missing.
async fn run(seed: u64, skips_children: bool) -> Result<(), String> {
    let (store, dynamodb) = endpoint::faulty_dynamo().await;
    let (shards, plan, mut dice) = (dynamodb.shards(), dynamodb.plan(), Dice(seed));
    shards.begin(ROUGH, seed);
    if skips_children {
        shards.hide_children();
    }
    let (any, alice): (AnyStore, _) = (Arc::new(store.clone()), user(seed, "alice"));
    let mut nodes = Vec::new();
    for _ in 0..3 {
        nodes.push(Node::create(&any, group(&alice, &[])).await);
    }
    let mut consumer = Consumer::new(feed_of(&store).await).await;
    plan.seed(seed);
    for call in ["GetRecords", "GetShardIterator", "DescribeStream"] {
        for fault in [Fault::Throttle, Fault::LoseAnswer] {
            plan.often(call, 0.01, fault);
        }
    }
    for step in 0..40 {
        match dice.below(30) {
            0..=1 => shards.split(1 + dice.below(2)),
            2 => shards.arrive(),
            3 => shards.trim(),
            // Another process goes on, without the iterators of this one.
            4 => consumer.feed = feed_of(&store).await,
            5 if step % 2 == 0 => {
                dynamodb.switch_stream("parlance_messages", false).await;
                nodes[0].say(&alice, "not in any stream").await;
                consumer.read(&store).await;
                dynamodb.switch_stream("parlance_messages", true).await;
            }
            6..=15 => consumer.read(&store).await,
            _ => {
                let room = dice.below(3) as usize;
                nodes[room].say(&alice, "hello").await;
            }
        }
    }
    plan.clear();
    shards.split(2);
    nodes[0].say(&alice, "after the last split").await;
    shards.arrive();
    let lacking = |consumer: &Consumer| {
        let named = |node: &Node| consumer.named.get(node.id()).copied().unwrap_or(0);
        // A room that nobody has spoken in was there before the consumer.
        let lacks = |node: &&Node| node.head() > 1 && named(node) < node.head();
        let node = nodes.iter().find(lacks)?;
        Some(format!("{} is named up to {} of {}", node.id(), named(node), node.head()))
    };
    for _ in 0..PATIENCE {
        if lacking(&consumer).is_none() {
            break;
        }
        shards.arrive();
        consumer.read(&store).await;
    }
    if consumer.walks == 0 && shards.early() > 0 {
        return Err(format!("{} records came from a shard before its parent had ended", shards.early()));
    }
    lacking(&consumer).map_or(Ok(()), Err)
}

#[tokio::test]
async fn nothing_is_missing_while_shards_split_close_and_are_trimmed() {
    // Side by side: most of the time goes by until calls that failed are repeated.
    let runs = (0..SEEDS).map(|seed| Box::pin(run(seed, false)));
    let results: Vec<_> = stream::iter(runs).buffered(2).collect().await;
    for (seed, result) in results.into_iter().enumerate() {
        result.unwrap_or_else(|broken| panic!("seed {seed}: {broken}"));
    }
}

/// A mistake of a reader, which the same runs find.
#[tokio::test]
async fn skipping_the_children_of_a_shard_is_found() {
    let runs = stream::iter((0..2).map(|seed| Box::pin(run(seed, true)))).buffered(2);
    assert!(runs.any(async |run| run.is_err()).await);
}

struct MovableClock(AtomicU64);

impl Clock for MovableClock {
    fn now(&self) -> Timestamp {
        Timestamp(SystemClock.now().0 + self.0.load(Ordering::Relaxed))
    }
}

const DAY: Duration = Duration::from_secs(25 * 3_600);

#[tokio::test]
async fn a_restart_after_an_idle_day_walks_the_rooms() {
    let (store, dynamodb) = open(ORDERLY).await;
    let clock = Arc::new(MovableClock(AtomicU64::new(0)));
    let feed = store.feed(clock.clone()).await.unwrap().with_poll(Duration::ZERO);
    let idle = feed.tip().await.unwrap();
    clock.0.store(DAY.as_millis() as u64, Ordering::Relaxed);
    dynamodb.shards().trim();
    // Who has read all along has lost nothing.
    let page = feed.records_after(&idle, 10).await.unwrap();
    assert!(matches!(page, FeedPage::Records { .. }), "{page:?}");
    // What was written and trimmed since is not to be told from nothing.
    let feed = store.feed(clock).await.unwrap().with_poll(Duration::ZERO);
    assert_eq!(feed.records_after(&idle, 10).await.unwrap(), FeedPage::Trimmed);
}

#[tokio::test]
async fn a_record_that_is_trimmed_is_not_read_on_from() {
    let (store, dynamodb) = open(ORDERLY).await;
    let (any, alice): (AnyStore, _) = (Arc::new(store.clone()), user(unique(), "alice"));
    let mut node = Node::create(&any, group(&alice, &[])).await;
    let mut consumer = Consumer::new(feed_of(&store).await).await;
    let said = node.say(&alice, "hello").await;
    consumer.read_until(&store, node.id(), said).await;
    node.say(&alice, "nobody reads this before it is trimmed").await;
    consumer.feed.tip().await.unwrap();
    dynamodb.shards().trim();
    consumer.feed = feed_of(&store).await;
    assert_eq!(consumer.feed.records_after(&consumer.at, 10).await.unwrap(), FeedPage::Trimmed);
}

#[tokio::test]
async fn a_stream_that_is_switched_off_and_on_lacks_something_and_says_so() {
    let (store, dynamodb) = open(ORDERLY).await;
    let (any, alice): (AnyStore, _) = (Arc::new(store.clone()), user(unique(), "alice"));
    let mut node = Node::create(&any, group(&alice, &[])).await;
    let feed = feed_of(&store).await;
    let at = feed.tip().await.unwrap();
    dynamodb.switch_stream("parlance_messages", false).await;
    node.say(&alice, "in no stream").await;
    // It ends like shards that were split and whose children are not listed yet.
    let mut reached = at.clone();
    let off = loop {
        match feed.records_after(&reached, 10).await {
            Ok(FeedPage::Records { next, .. }) => reached = next,
            other => break other,
        }
    };
    assert!(matches!(&off, Err(StoreError::Refused(why)) if why.contains("has no stream")), "{off:?}");
    assert!(feed.tip().await.is_err());
    dynamodb.switch_stream("parlance_messages", true).await;
    assert_eq!(feed.records_after(&reached, 10).await.unwrap(), FeedPage::Trimmed);
    let mut consumer = Consumer::new(feed).await;
    let said = node.say(&alice, "in the new one").await;
    consumer.read_until(&store, node.id(), said).await;
}

/// What is throttled by other readers of the shard is not asked for again and again.
#[tokio::test]
async fn a_throttled_shard_is_not_read_again_at_once() {
    let (store, dynamodb) = open(ORDERLY).await;
    let (any, alice): (AnyStore, _) = (Arc::new(store.clone()), user(unique(), "alice"));
    // Longer than the test may take.
    let feed = store.feed(Arc::new(SystemClock)).await.unwrap().with_poll(DAY);
    let tip = feed.tip().await.unwrap();
    let mut node = Node::create(&any, group(&alice, &[])).await;
    dynamodb.plan().often("GetRecords", 1.0, Fault::Throttle);
    assert_eq!(feed.records_after(&tip, 10).await, Err(StoreError::Overloaded));
    let throttled = dynamodb.tally().requests_of("GetRecords");
    assert!(throttled > 0);
    for _ in 0..20 {
        // That it is not read for now is no reason to take it for read.
        let page = feed.records_after(&tip, 10).await.unwrap();
        let FeedPage::Records { records, next, unread } = page else { panic!("{page:?}") };
        assert_eq!((records, next), (Vec::new(), tip.clone()));
        assert_eq!(unread.map(|part| part.because), Some(StoreError::Overloaded));
    }
    assert_eq!(dynamodb.tally().requests_of("GetRecords"), throttled);
    dynamodb.plan().clear();
    // Nothing is lost: another process reads it.
    let said = node.say(&alice, "hello").await;
    let mut consumer = Consumer { at: tip, ..Consumer::new(feed_of(&store).await).await };
    consumer.read_until(&store, node.id(), said).await;
}

/// Its place is the end of a shard, whose child is not met: nothing leaves, while other tables are read.
#[tokio::test]
async fn shards_that_cannot_be_listed_are_unread() {
    let (store, dynamodb) = open(ORDERLY).await;
    let (any, alice): (AnyStore, _) = (Arc::new(store.clone()), user(unique(), "alice"));
    let mut node = Node::create(&any, group(&alice, &[])).await;
    let mut consumer = Consumer::new(feed_of(&store).await).await;
    let begun = SystemClock.now();
    dynamodb.plan().often("DescribeStream", 1.0, Fault::Throttle);
    dynamodb.shards().split(1);
    let said = node.say(&alice, "in a shard that is not known").await;
    let unread = loop {
        if let Ok(FeedPage::Records { next, unread, .. }) = consumer.feed.records_after(&consumer.at, 3).await
        {
            consumer.at = next;
            if let Some(part) = unread {
                break part;
            }
        }
    };
    assert_eq!(unread.because, StoreError::Overloaded);
    assert!(unread.since >= begun && unread.since <= SystemClock.now());
    // It goes on counting.
    let page = consumer.feed.records_after(&consumer.at, 3).await.unwrap();
    assert!(
        matches!(&page, FeedPage::Records { unread: Some(part), .. } if part.since == unread.since),
        "{page:?}"
    );
    dynamodb.plan().clear();
    consumer.read_until(&store, node.id(), said).await;
    let page = consumer.feed.records_after(&consumer.at, 3).await.unwrap();
    assert!(matches!(page, FeedPage::Records { unread: None, .. }), "{page:?}");
}

/// A reader that has found nothing remembers where, and that may be trimmed.
#[tokio::test]
async fn the_end_is_found_though_the_last_record_that_was_read_is_trimmed() {
    let (store, dynamodb) = open(ORDERLY).await;
    let (any, alice): (AnyStore, _) = (Arc::new(store.clone()), user(unique(), "alice"));
    let mut node = Node::create(&any, group(&alice, &[])).await;
    let mut consumer = Consumer::new(feed_of(&store).await).await;
    let said = node.say(&alice, "hello").await;
    consumer.read_until(&store, node.id(), said).await;
    consumer.read(&store).await;
    dynamodb.shards().begin(Habits { expired: 1.0, ..ORDERLY }, 0);
    let _ = consumer.feed.records_after(&consumer.at, 10).await;
    dynamodb.shards().begin(ORDERLY, 0);
    dynamodb.shards().trim();
    assert_eq!(consumer.feed.records_after(&consumer.at, 10).await.unwrap(), FeedPage::Trimmed);
    consumer.feed.tip().await.unwrap();
}
