//! Streams of events, whose readers keep the cursors.

use std::sync::Arc;
use std::time::Duration;

use parlance_store::StoreError;
use parlance_store::consumers::EventKey;
use parlance_stream::event::Content;
use parlance_stream::tail::{Batch, Cursor, From, Tail, TailError};
use tokio::time::{Instant, sleep, timeout};

use crate::world::{World, lock, room};

/// Longer than any operation takes, in virtual time.
const LONG: Duration = Duration::from_secs(3_600);

const PATIENCE: Duration = Duration::from_secs(15);

/// Rooms of ten events each, in a store that does not fail.
fn world(seed: u64, rooms: u64) -> Arc<World> {
    let world = World::new(seed, false);
    *lock(&world.store_failing) = 0;
    (0..rooms).for_each(|number| world.append(&room(number), 10));
    world
}

async fn open(world: &Arc<World>, cursor: Option<Cursor>, from: From) -> Tail {
    Tail::open(world.clone(), world.clone(), cursor, from, Content::Full).await.unwrap()
}

/// The next batch with events.
async fn next(tail: &mut Tail) -> Batch {
    let reading = async {
        loop {
            let batch = tail.next(PATIENCE).await.unwrap();
            if !batch.events.is_empty() {
                return batch;
            }
        }
    };
    timeout(LONG, reading).await.expect("there are events")
}

fn keys(batch: &Batch) -> Vec<EventKey> {
    batch.events.iter().map(|event| EventKey { epoch: event.epoch, seq: event.seq }).collect()
}

/// The store is restored while a walk is at a room: the room does not go on under the new epoch, it begins.
#[tokio::test(start_paused = true)]
async fn a_walk_of_a_store_that_was_restored_since_begins_again_at_once() {
    for seed in 101..111 {
        let world = world(seed, 3);
        let mut tail = open(&world, None, From::Beginning).await;
        let first = next(&mut tail).await;
        assert_eq!(keys(&first)[0], EventKey { epoch: 1, seq: 1 });
        drop(tail);
        world.restore();
        let mut tail = open(&world, Some(first.cursor.clone()), From::Beginning).await;
        let again = tail.next(PATIENCE).await.unwrap();
        assert!(again.resync, "{again:?}");
        assert_eq!(keys(&again)[0], EventKey { epoch: 2, seq: 1 });
        // Who did not ask for that is told at once.
        let mut tail = open(&world, Some(first.cursor), From::Now).await;
        assert_eq!(tail.next(PATIENCE).await, Err(TailError::Expired));
    }
}

/// The feed and the log are throttled, or away: a stream waits as it does for events, and its reader sees that it lives.
#[tokio::test(start_paused = true)]
async fn a_stream_outlasts_a_store_that_answers_nothing_for_a_while() {
    for error in [StoreError::Overloaded, StoreError::Unreachable("no route".to_owned())] {
        let world = world(120, 2);
        let mut tail = open(&world, None, From::Now).await;
        let begun = tail.next(PATIENCE).await.unwrap();
        assert!(begun.events.is_empty());
        *lock(&world.feed_failing) = Some(error);
        world.append(&room(1), 1);
        let at = Instant::now();
        for _ in 0..3 {
            let alive = tail.next(PATIENCE).await.unwrap();
            assert_eq!((alive.events.len(), alive.cursor), (0, begun.cursor.clone()));
        }
        assert!(at.elapsed() >= PATIENCE * 3, "{:?}", at.elapsed());
        *lock(&world.feed_failing) = None;
        *lock(&world.unreadable) = Some(room(1));
        assert!(tail.next(PATIENCE).await.unwrap().events.is_empty());
        *lock(&world.unreadable) = None;
        assert_eq!(keys(&next(&mut tail).await), [EventKey { epoch: 1, seq: 11 }]);
    }
}

/// What waiting does not mend is said.
#[tokio::test(start_paused = true)]
async fn a_stream_ends_if_the_feed_is_refused() {
    let world = world(121, 1);
    let mut tail = open(&world, None, From::Now).await;
    tail.next(PATIENCE).await.unwrap();
    let refused = StoreError::Refused("no permission".to_owned());
    *lock(&world.feed_failing) = Some(refused.clone());
    sleep(PATIENCE).await;
    assert_eq!(tail.next(PATIENCE).await, Err(TailError::Store(refused)));
}
