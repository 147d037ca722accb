//! A store that fails or is slow, and who has to wait for it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parlance_core::{Clock as _, Timestamp};
use parlance_store::StoreError;
use parlance_store::feed::{ChangeFeed, FeedPage, UnreadPart};
use parlance_stream::consumer::{Error, Limits, Options, Start};
use tokio::time::{Instant, sleep, timeout};

use crate::runs::{options, settle, start};
use crate::world::{World, lock, room};

/// Longer than any operation takes, in virtual time.
const LONG: Duration = Duration::from_secs(3_600);

/// How long a consumer may take to stop or to answer, however slow its store is.
const PROMPT: Duration = Duration::from_secs(8);

async fn wait(is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(LONG, waiting).await.expect("it comes to that");
}

/// A world with so many rooms that reading all of them takes long.
fn crowded(seed: u64, rooms: u64) -> Arc<World> {
    let world = World::new(seed, false);
    *lock(&world.store_failing) = 0;
    for number in 0..rooms {
        world.append(&room(number), 1);
    }
    world
}

/// The store fails for an hour, and the sink once after it: that was the first attempt at the event.
#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_is_no_fault_of_an_event() {
    let world = World::new(21, false);
    let limits = Limits { park_after: 5, ..Limits::PRODUCTION };
    let (_consumer, _shutdown) = start(&world, Options { limits, ..options(Start::Now) }).await;
    world.append(&room(1), 1);
    wait(|| world.taken().len() == 1).await;
    *lock(&world.store_failing) = 100;
    world.append(&room(1), 3);
    sleep(LONG).await;
    *lock(&world.store_failing) = 0;
    *lock(&world.lies) = true;
    let begun = Instant::now();
    wait(|| world.taken().len() > 1).await;
    // Nor does a room wait for long once the store is back.
    assert!(begun.elapsed() < Duration::from_secs(120), "after {:?}", begun.elapsed());
    *lock(&world.lies) = false;
    wait(|| world.parked() > 0 || world.check(true, &BTreeMap::new()).is_ok()).await;
    assert_eq!(world.parked(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_walk_reads_many_rooms_at_once_and_answers_operators() {
    let world = crowded(22, 1_500);
    *lock(&world.slow) = Duration::from_millis(50);
    let (consumer, _shutdown) = start(&world, options(Start::Beginning)).await;
    let begun = Instant::now();
    while consumer.pause(true).await.is_err() {}
    assert!(begun.elapsed() < PROMPT, "after {:?}", begun.elapsed());
    assert!(consumer.status().borrow().paused);
    while consumer.pause(false).await.is_err() {}
    settle(&world, &consumer, &BTreeMap::new()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_replay_ends_with_its_process() {
    let world = crowded(23, 4_000);
    let (consumer, shutdown) = start(&world, options(Start::Now)).await;
    *lock(&world.slow) = Duration::from_secs(5);
    let stopping = async {
        sleep(Duration::from_secs(6)).await;
        shutdown.cancel();
        timeout(PROMPT, consumer.ended()).await
    };
    let (replayed, stopped) = tokio::join!(consumer.replay(), stopping);
    assert!(stopped.is_ok() && replayed.is_err(), "{replayed:?}");
    // Rooms that were reached start over, the others go on.
    *lock(&world.slow) = Duration::ZERO;
    let (_consumer, _shutdown) = start(&world, options(Start::Now)).await;
    wait(|| world.taken().len() >= 500).await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_store_does_not_keep_a_process_from_stopping() {
    let world = crowded(24, 0);
    let (consumer, shutdown) = start(&world, options(Start::Now)).await;
    while consumer.pause(true).await.is_err() {}
    *lock(&world.slow) = Duration::from_secs(2);
    for number in 0..60 {
        world.append(&room(number), 1);
    }
    sleep(Duration::from_secs(5)).await;
    shutdown.cancel();
    timeout(PROMPT, consumer.ended()).await.expect("it stops");
    *lock(&world.slow) = Duration::ZERO;
    let (consumer, _shutdown) = start(&world, options(Start::Now)).await;
    while consumer.pause(false).await.is_err() {}
    settle(&world, &consumer, &BTreeMap::new()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_command_during_a_walk_does_not_bring_the_old_position_back() {
    let world = crowded(25, 1_200);
    let (consumer, _shutdown) = start(&world, options(Start::Now)).await;
    world.poison(&room(1));
    world.append(&room(1), 1);
    wait(|| world.parked() == 1).await;
    *lock(&world.stuck) = Some(room(2));
    world.append(&room(2), 1);
    sleep(Duration::from_millis(100)).await;
    *lock(&world.slow) = Duration::from_secs(3);
    world.append(&room(3), 1);
    world.trim();
    wait(|| world.kept().0[0].walk.is_some()).await;
    while consumer.unpark(room(1), false).await.is_err() {}
    assert!(world.kept().0[0].walk.is_some());
    let position = world.kept().0[0].position.clone();
    let page = loop {
        if let Ok(page) = world.records_after(&position, 1).await {
            break page;
        }
    };
    assert!(matches!(page, FeedPage::Records { .. }), "{position:?}");
}

/// Its stream is off, say, or a permission is missing: nothing is known to be undelivered, and nothing leaves.
#[tokio::test(start_paused = true)]
async fn a_feed_that_cannot_be_read_is_lag_and_says_why() {
    let world = crowded(26, 3);
    let (consumer, _shutdown) = start(&world, options(Start::Now)).await;
    let status = || consumer.status().borrow().clone();
    world.append(&room(1), 1);
    wait(|| world.taken().len() == 1 && status().behind_since.is_none()).await;
    *lock(&world.feed_failing) = Some(StoreError::Refused("no permission".to_owned()));
    world.append(&room(2), 1);
    sleep(Duration::from_secs(600)).await;
    let since = status().behind_since.expect("it lags");
    assert!(world.now().since(since) >= 595_000, "{} ms", world.now().since(since));
    assert!(status().unread_because.contains("no permission"), "{:?}", status());
    // A moment of throttling is no news.
    *lock(&world.feed_failing) = None;
    wait(|| world.taken().len() == 2 && status().behind_since.is_none()).await;
    assert_eq!(status().unread_because, "");
    *lock(&world.feed_failing) = Some(StoreError::Overloaded);
    world.append(&room(2), 1);
    sleep(Duration::from_secs(3)).await;
    assert_eq!((status().behind_since, status().unread_because), (None, String::new()));
}

/// One shard, or one table: others are read on, so each page is news.
#[tokio::test(start_paused = true)]
async fn a_part_of_the_feed_that_cannot_be_read_is_lag_and_says_why() {
    let world = crowded(28, 3);
    let (consumer, _shutdown) = start(&world, options(Start::Now)).await;
    let status = || consumer.status().borrow().clone();
    world.append(&room(1), 1);
    wait(|| world.taken().len() == 1 && status().behind_since.is_none()).await;
    let because = StoreError::Refused("no permission".to_owned());
    let failing_for = |seconds: u64| UnreadPart {
        since: Timestamp(world.now().0 - seconds * 1_000),
        because: because.clone(),
    };
    // A moment is no news.
    *lock(&world.part_failing) = Some(failing_for(0));
    world.append(&room(2), 1);
    wait(|| world.taken().len() == 2).await;
    sleep(Duration::from_secs(3)).await;
    assert_eq!((status().behind_since, status().unread_because), (None, String::new()));
    // In a feed that people use, and in a quiet one.
    for is_quiet in [false, true] {
        let (part, taken, begun) = (failing_for(0), world.taken().len(), Instant::now());
        *lock(&world.part_failing) = Some(part.clone());
        if is_quiet {
            // Unlike that of tables, this feed is not polled.
            world.append(&room(2), 1);
        }
        for second in 1..=600 {
            if !is_quiet {
                world.append(&room(2), 1);
                wait(|| world.taken().len() >= taken + second).await;
            }
            sleep(Duration::from_secs(1)).await;
        }
        // Others are not held up.
        assert!(begun.elapsed() < Duration::from_secs(900), "after {:?}", begun.elapsed());
        assert_eq!(status().behind_since, Some(part.since), "{is_quiet}");
        assert!(status().unread_because.contains("no permission"), "{:?}", status());
        *lock(&world.part_failing) = None;
        wait(|| status().behind_since.is_none() && status().unread_because.is_empty()).await;
    }
}

/// Its stream is off when the feed does not reach back: until it is on again, there is nothing to begin a walk with.
#[tokio::test(start_paused = true)]
async fn operators_are_answered_while_the_end_of_the_feed_is_not_known() {
    let world = crowded(29, 3);
    let (consumer, _shutdown) = start(&world, options(Start::Now)).await;
    world.poison(&room(1));
    world.append(&room(1), 1);
    wait(|| world.parked() == 1).await;
    world.append(&room(2), 1);
    world.trim();
    *lock(&world.tips_failing) = true;
    world.append(&room(2), 1);
    wait(|| !consumer.status().borrow().unread_because.is_empty()).await;
    let answered = |begun: Instant| assert!(begun.elapsed() < PROMPT, "after {:?}", begun.elapsed());
    for paused in [true, false] {
        let begun = Instant::now();
        while consumer.pause(paused).await.is_err() {}
        answered(begun);
        assert_eq!(consumer.status().borrow().paused, paused);
    }
    let begun = Instant::now();
    while let Err(Error::Store(_)) = consumer.unpark(room(1), true).await {}
    while consumer.replay().await.is_err() {}
    answered(begun);
    *lock(&world.tips_failing) = false;
    settle(&world, &consumer, &BTreeMap::new()).await.unwrap();
}

/// What is not delivered is not known before the end of a walk.
#[tokio::test(start_paused = true)]
async fn a_walk_is_lag_from_its_beginning() {
    let world = crowded(27, 1_200);
    let (consumer, _shutdown) = start(&world, options(Start::Now)).await;
    wait(|| consumer.status().borrow().is_idle).await;
    *lock(&world.slow) = Duration::from_secs(30);
    world.append(&room(1), 1);
    world.trim();
    wait(|| world.kept().0[0].walk.is_some()).await;
    sleep(Duration::from_secs(300)).await;
    assert!(world.kept().0[0].walk.is_some());
    let since = consumer.status().borrow().behind_since.expect("it lags");
    assert!(world.now().since(since) >= 295_000, "{} ms", world.now().since(since));
    // Also for a process that goes on with it.
    drop(consumer);
    let kept = world.kept().0[0].behind_since.expect("it is stored");
    assert!(kept <= since);
    let (consumer, _shutdown) = start(&world, options(Start::Now)).await;
    *lock(&world.slow) = Duration::ZERO;
    wait(|| world.kept().0[0].walk.is_none() && consumer.status().borrow().behind_since.is_none()).await;
    assert!(world.taken().iter().any(|(taken, key)| *taken == room(1) && key.seq == 2));
}
