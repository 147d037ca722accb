//! Single failures and their consequences.

use std::collections::BTreeMap;
use std::time::Duration;

use parlance_store::consumers::ConsumerName;
use parlance_stream::consumer::{Consumer, Error, Limits, OnRefused, Options, Start};
use parlance_stream::event::Content;
use parlance_stream::tail::{From, Tail, TailError};
use tokio::time::{sleep, timeout};

use crate::runs::{options, settle, start};
use crate::world::{World, lock, room};

/// Options for days of virtual time: everything less often.
fn patient(start: Start) -> Options {
    let limits = Limits { max_rooms: 8, hold_ms: 10_000, ..Limits::PRODUCTION };
    Options { flush_every: Duration::from_secs(60), limits, ..options(start) }
}

/// Longer than any operation takes, in virtual time.
const LONG: Duration = Duration::from_secs(3_600);

async fn until(consumer: &Consumer, is_so: impl Fn(&parlance_stream::consumer::Status) -> bool) {
    let mut status = consumer.status();
    timeout(LONG, status.wait_for(is_so)).await.expect("it comes to that").expect("it runs");
}

async fn wait(is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(LONG, waiting).await.expect("it comes to that");
}

#[tokio::test(start_paused = true)]
async fn three_days_of_pause_lose_nothing_though_the_feed_is_trimmed() {
    let world = World::new(1, false);
    let (consumer, _shutdown) = start(&world, patient(Start::Now)).await;
    while consumer.pause(true).await.is_err() {}
    for number in 0..40 {
        world.append(&room(number % 20), 2);
        sleep(Duration::from_secs(2 * 3_600)).await;
    }
    assert_eq!(world.taken(), []);
    wait(|| world.pending() == 20).await;
    world.trim();
    while consumer.pause(false).await.is_err() {}
    settle(&world, &consumer, &BTreeMap::new()).await.unwrap();
    wait(|| world.pending() == 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_is_away_for_a_day_gets_everything_in_order() {
    let world = World::new(2, false);
    let (consumer, _shutdown) = start(&world, patient(Start::Now)).await;
    *world.failing.lock().unwrap() = 100;
    for number in 0..48 {
        world.append(&room(number % 10), 1);
        sleep(Duration::from_secs(1_800)).await;
    }
    until(&consumer, |status| status.is_away).await;
    assert_eq!(world.taken(), []);
    settle(&world, &consumer, &BTreeMap::new()).await.unwrap();
    until(&consumer, |status| !status.is_away && status.behind_since.is_none()).await;
    // Nothing was accepted before, so nothing is repeated.
    assert_eq!(world.taken().len(), 48);
}

#[tokio::test(start_paused = true)]
async fn a_refused_event_parks_its_room_and_others_go_on() {
    let world = World::new(3, false);
    let (consumer, _shutdown) = start(&world, options(Start::Now)).await;
    world.append(&room(1), 1);
    world.poison(&room(1));
    world.append(&room(1), 3);
    world.append(&room(2), 3);
    wait(|| world.parked() == 1 && world.taken().len() == 4).await;
    sleep(LONG).await;
    assert_eq!(world.taken().len(), 4, "what follows the refused event waits");
    let not_parked = consumer.unpark(room(2), true).await;
    assert!(matches!(not_parked, Err(Error::NotParked(_) | Error::Store(_))), "{not_parked:?}");
    while let Err(Error::Store(_)) = consumer.unpark(room(1), true).await {}
    wait(|| world.taken().len() == 6).await;
}

#[tokio::test(start_paused = true)]
async fn skipping_consumer_continues_after_refused_event() {
    let world = World::new(4, false);
    let skipping = Options { on_refused: OnRefused::Skip, ..options(Start::Now) };
    let (_consumer, _shutdown) = start(&world, skipping).await;
    world.poison(&room(1));
    world.append(&room(1), 3);
    wait(|| world.taken().len() == 2).await;
    assert_eq!(world.parked(), 0);
}

#[tokio::test(start_paused = true)]
async fn consumer_failing_for_days_is_disabled_until_resumed() {
    let world = World::new(5, false);
    let disabling =
        Options { disable_after: Some(Duration::from_secs(5 * 24 * 3_600)), ..patient(Start::Now) };
    let (consumer, shutdown) = start(&world, disabling.clone()).await;
    *world.failing.lock().unwrap() = 100;
    world.append(&room(1), 1);
    until(&consumer, |status| status.is_away).await;
    sleep(Duration::from_secs(4 * 24 * 3_600)).await;
    assert_eq!(consumer.status().borrow().disabled, "");
    sleep(Duration::from_secs(25 * 3_600)).await;
    until(&consumer, |status| !status.disabled.is_empty()).await;
    *world.failing.lock().unwrap() = 0;
    sleep(LONG).await;
    // It stays that way after a restart.
    shutdown.cancel();
    consumer.ended().await;
    let (consumer, _shutdown) = start(&world, disabling).await;
    sleep(LONG).await;
    assert_eq!(world.taken(), []);
    while consumer.pause(false).await.is_err() {}
    settle(&world, &consumer, &BTreeMap::new()).await.unwrap();
}

/// A process that is off for a week tries nothing.
#[tokio::test(start_paused = true)]
async fn time_in_which_no_process_runs_disables_nobody() {
    let world = World::new(13, false);
    let day = Duration::from_secs(24 * 3_600);
    let disabling = Options { disable_after: Some(5 * day), enable: true, ..patient(Start::Now) };
    let (consumer, shutdown) = start(&world, disabling.clone()).await;
    *lock(&world.failing) = 100;
    world.append(&room(1), 1);
    until(&consumer, |status| status.is_away).await;
    sleep(LONG).await;
    shutdown.cancel();
    consumer.ended().await;
    sleep(7 * day).await;
    let (consumer, _shutdown) = start(&world, disabling).await;
    until(&consumer, |status| status.is_away).await;
    sleep(day).await;
    assert_eq!(consumer.status().borrow().disabled, "");
    sleep(5 * day).await;
    assert_ne!(consumer.status().borrow().disabled, "");
}

#[tokio::test(start_paused = true)]
async fn consumer_names_are_unique() {
    let world = World::new(6, false);
    let (consumer, shutdown) = start(&world, options(Start::Now)).await;
    let parts = world.parts();
    let other = Options::new(ConsumerName::parse("hook").unwrap(), "another");
    let error = Consumer::start(parts, other, shutdown.clone()).await.err();
    assert!(matches!(&error, Some(Error::NameInUse { there, .. }) if there == "test"), "{error:?}");
    shutdown.cancel();
    consumer.ended().await;
}

#[tokio::test(start_paused = true)]
async fn replay_delivers_everything_again() {
    let world = World::new(7, false);
    world.append(&room(1), 3);
    tokio::time::advance(Duration::from_secs(3_600)).await;
    let (consumer, _shutdown) = start(&world, options(Start::Now)).await;
    world.append(&room(2), 2);
    wait(|| world.taken().len() == 2).await;
    while consumer.replay().await.is_err() {}
    wait(|| world.taken().len() >= 7).await;
    settle(&world, &consumer, &BTreeMap::new()).await.unwrap();
}

/// Two workers that believe to hold one lease: each delivers in order, and nothing is
/// skipped.
#[tokio::test(start_paused = true)]
async fn two_workers_of_one_consumer_repeat_and_lose_nothing() {
    let world = World::new(8, false);
    let (first, _) = start(&world, options(Start::Now)).await;
    let (_second, _shutdown) = start(&world, options(Start::Now)).await;
    for number in 0..60 {
        world.append(&room(number % 5), 1);
        sleep(Duration::from_millis(30)).await;
    }
    settle(&world, &first, &BTreeMap::new()).await.unwrap();
    assert!(world.taken().len() >= 60);
}

/// A commit larger than a batch, whose record names only its first event.
#[tokio::test(start_paused = true)]
async fn a_stream_sends_all_of_a_commit_that_is_larger_than_a_batch() {
    let world = World::new(9, true);
    let open = async || Tail::open(world.clone(), world.clone(), None, From::Now, Content::Full).await;
    let mut tail = loop {
        match open().await {
            Ok(tail) => break tail,
            Err(error) => assert!(matches!(error, TailError::Store(_)), "{error}"),
        }
    };
    world.append(&room(1), 450);
    world.arrive(true);
    let mut sent = Vec::new();
    let sending = async {
        while sent.len() < 450 {
            if let Ok(batch) = tail.next(Duration::from_secs(1)).await {
                sent.extend(batch.events.iter().map(|event| event.seq));
            }
        }
    };
    let _ = timeout(LONG, sending).await;
    assert_eq!(sent, (1..=450).collect::<Vec<u64>>());
}

/// A sink that is unavailable for an hour is not treated as unavailable for days, whatever
/// the clock says.
#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_disables_nobody() {
    let world = World::new(10, false);
    let disabling = Options { disable_after: Some(LONG * 5), ..patient(Start::Now) };
    let (consumer, _shutdown) = start(&world, disabling).await;
    *lock(&world.failing) = 100;
    world.append(&room(1), 1);
    until(&consumer, |status| status.is_away).await;
    for hours in [6, -6] {
        sleep(LONG).await;
        *lock(&world.clock_ahead) = LONG.as_millis() as i64 * hours;
        sleep(LONG / 2).await;
        assert_eq!(consumer.status().borrow().disabled, "", "{hours} hours ahead");
    }
    // Elapsed time counts.
    sleep(LONG * 3).await;
    until(&consumer, |status| !status.disabled.is_empty()).await;
}

/// Later rooms are answered, the first one is not, and the process dies.
#[tokio::test(start_paused = true)]
async fn answers_that_come_out_of_order_move_no_checkpoint_past_what_is_missing() {
    let world = World::new(11, false);
    let (consumer, _shutdown) = start(&world, patient(Start::Now)).await;
    *lock(&world.stuck) = Some(room(0));
    for number in 0..5 {
        world.append(&room(number), 2);
    }
    wait(|| world.taken().len() >= 8).await;
    sleep(LONG).await;
    drop(consumer);
    *lock(&world.stuck) = None;
    let (consumer, _shutdown) = start(&world, patient(Start::Now)).await;
    settle(&world, &consumer, &BTreeMap::new()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_takes_events_and_reports_failure_gets_repeats_in_order() {
    let world = World::new(12, false);
    let (consumer, _shutdown) = start(&world, patient(Start::Now)).await;
    *lock(&world.lies) = true;
    world.append(&room(1), 3);
    wait(|| world.taken().len() >= 6).await;
    world.append(&room(1), 1);
    *lock(&world.lies) = false;
    settle(&world, &consumer, &BTreeMap::new()).await.unwrap();
    assert!(world.taken().len() >= 7);
}
