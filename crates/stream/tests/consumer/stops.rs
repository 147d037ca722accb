//! What a process keeps to itself when it stops, and what the next one knows.

use std::collections::BTreeMap;
use std::time::Duration;

use parlance_core::Clock as _;
use parlance_stream::consumer::{Consumer, Limits, Options, Start, Status};
use tokio::time::{Instant, sleep, timeout};

use crate::runs::{options, settle, start};
use crate::world::{World, lock, room};

/// Longer than any operation takes, in virtual time.
const LONG: Duration = Duration::from_secs(3_600);

/// How long a consumer may take to stop whose sink is away.
const AT_ONCE: Duration = Duration::from_secs(1);

async fn until(consumer: &Consumer, is_so: impl Fn(&Status) -> bool) {
    let mut status = consumer.status();
    timeout(LONG, status.wait_for(is_so)).await.expect("it comes to that").expect("it runs");
}

/// A sink that may take long to answer.
fn patient() -> Options {
    Options { effect_timeout: Duration::from_secs(30), limits: Limits::PRODUCTION, ..options(Start::Now) }
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_is_away_does_not_keep_a_process_from_stopping() {
    // Found out by waiting for answers, or by the sink itself.
    for says_so in [false, true] {
        let world = World::new(81, false);
        *lock(&world.store_failing) = 0;
        let (consumer, shutdown) = start(&world, patient()).await;
        *lock(&world.hangs) = true;
        for number in 0..8 {
            world.append(&room(number), 1);
        }
        if says_so {
            sleep(Duration::from_secs(1)).await;
            *lock(&world.says_away) = true;
        } else {
            until(&consumer, |status| status.is_away).await;
            // Some room is being tried.
            sleep(Duration::from_secs(70)).await;
        }
        let begun = Instant::now();
        shutdown.cancel();
        consumer.ended().await;
        assert!(begun.elapsed() < AT_ONCE, "after {:?}, says so: {says_so}", begun.elapsed());
        (*lock(&world.hangs), *lock(&world.says_away)) = (false, false);
        let (consumer, _shutdown) = start(&world, patient()).await;
        settle(&world, &consumer, &BTreeMap::new()).await.unwrap();
    }
}

/// A sink that answers is waited for: what it has accepted is not sent again.
#[tokio::test(start_paused = true)]
async fn a_sink_that_is_slow_is_waited_for() {
    let world = World::new(82, false);
    *lock(&world.store_failing) = 0;
    let (consumer, shutdown) = start(&world, patient()).await;
    *lock(&world.takes) = Duration::from_secs(3);
    world.append(&room(1), 1);
    sleep(Duration::from_secs(1)).await;
    shutdown.cancel();
    consumer.ended().await;
    *lock(&world.takes) = Duration::ZERO;
    let (consumer, _shutdown) = start(&world, patient()).await;
    settle(&world, &consumer, &BTreeMap::new()).await.unwrap();
    assert_eq!(world.taken().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_paused_consumer_knows_its_lag_after_a_restart() {
    let world = World::new(83, false);
    let (consumer, shutdown) = start(&world, options(Start::Now)).await;
    while consumer.pause(true).await.is_err() {}
    let since = world.now();
    for number in 0..10 {
        world.append(&room(number), 1);
        sleep(Duration::from_secs(60)).await;
    }
    assert_eq!(consumer.status().borrow().behind_since, Some(since));
    shutdown.cancel();
    consumer.ended().await;
    for _ in 0..2 {
        let (consumer, shutdown) = start(&world, options(Start::Now)).await;
        until(&consumer, |status| status.paused).await;
        sleep(LONG).await;
        assert_eq!(consumer.status().borrow().behind_since, Some(since));
        shutdown.cancel();
        consumer.ended().await;
    }
    let (consumer, _shutdown) = start(&world, options(Start::Now)).await;
    while consumer.pause(false).await.is_err() {}
    settle(&world, &consumer, &BTreeMap::new()).await.unwrap();
    until(&consumer, |status| status.is_idle && status.behind_since.is_none()).await;
    sleep(LONG).await;
    assert_eq!(world.kept().0[0].behind_since, None, "others read it from the store");
}
