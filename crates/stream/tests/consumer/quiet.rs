//! What a consumer says of itself when nothing leaves, and how soon it goes on.

use std::sync::Arc;
use std::time::Duration;

use parlance_core::Clock as _;
use parlance_stream::consumer::{Consumer, Limits, OnRefused, Options, Start, Status};
use tokio::time::{Instant, sleep, timeout};

use crate::runs::{options, start};
use crate::world::{Trouble, World, lock, room};

/// Longer than any operation takes, in virtual time.
const LONG: Duration = Duration::from_secs(3_600);

/// As in production, except that a sink that does not answer is given up sooner than a webhook.
fn production() -> Options {
    Options {
        limits: Limits::PRODUCTION,
        effect_timeout: Duration::from_secs(20),
        flush_every: Duration::from_millis(500),
        ..options(Start::Now)
    }
}

/// A world whose store works.
fn world(seed: u64) -> Arc<World> {
    let world = World::new(seed, false);
    *lock(&world.store_failing) = 0;
    world
}

async fn until(consumer: &Consumer, what: &str, is_so: impl Fn(&Status) -> bool) -> Duration {
    let (mut status, begun) = (consumer.status(), Instant::now());
    let waited = timeout(LONG, status.wait_for(is_so)).await;
    waited.unwrap_or_else(|_| panic!("it does not come to that: {what}")).expect("it runs");
    begun.elapsed()
}

async fn wait(what: &str, is_so: impl Fn() -> bool) -> Duration {
    let begun = Instant::now();
    let waiting = async {
        while !is_so() {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(LONG, waiting).await.unwrap_or_else(|_| panic!("it does not come to that: {what}"));
    begun.elapsed()
}

fn has(world: &World, number: u64) -> bool {
    world.taken().iter().any(|(taken, _)| *taken == room(number))
}

fn lag(world: &World, consumer: &Consumer) -> Duration {
    let since = consumer.status().borrow().behind_since;
    since.map_or(Duration::ZERO, |since| Duration::from_millis(world.now().since(since)))
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_fails_for_many_rooms_at_once_is_away_within_seconds() {
    for rooms in [1, 3, 80] {
        let world = world(61);
        let (consumer, _shutdown) = start(&world, production()).await;
        *lock(&world.failing) = 100;
        for number in 0..rooms {
            world.append(&room(number), 1);
        }
        let taken = until(&consumer, "away", |status| status.is_away).await;
        assert!(taken < Duration::from_secs(10), "{rooms} rooms: after {taken:?}");
        assert_eq!(consumer.status().borrow().away_because, "not now");
    }
}

/// One round of requests without any answer is enough, if they are many.
#[tokio::test(start_paused = true)]
async fn a_sink_that_never_answers_is_away_after_one_round() {
    let world = world(62);
    let (consumer, _shutdown) = start(&world, production()).await;
    *lock(&world.hangs) = true;
    for number in 0..80 {
        world.append(&room(number), 1);
    }
    let taken = until(&consumer, "away", |status| status.is_away).await;
    assert!(taken < Duration::from_secs(25), "after {taken:?}");
}

/// Rooms that were saved as pending are behind like those that hold the checkpoint.
#[tokio::test(start_paused = true)]
async fn the_lag_is_the_age_of_the_oldest_undelivered_event() {
    let world = world(63);
    let few = Limits { max_rooms: 4, ..Limits::PRODUCTION };
    for limits in [Limits::PRODUCTION, few] {
        let (consumer, shutdown) = start(&world, Options { limits, ..production() }).await;
        *lock(&world.failing) = 100;
        for number in 0..20 {
            world.append(&room(number), 1);
            sleep(Duration::from_millis(100)).await;
        }
        wait("all are saved as pending", || world.pending() == 20).await;
        sleep(Duration::from_secs(600)).await;
        assert!(lag(&world, &consumer) >= Duration::from_secs(600), "{:?}", lag(&world, &consumer));
        while consumer.pause(true).await.is_err() {}
        sleep(Duration::from_secs(60)).await;
        assert!(lag(&world, &consumer) >= Duration::from_secs(660), "{:?}", lag(&world, &consumer));
        // Also after a restart, once the first of them was read.
        shutdown.cancel();
        consumer.ended().await;
        let (consumer, shutdown) = start(&world, Options { limits, ..production() }).await;
        while consumer.pause(false).await.is_err() {}
        until(&consumer, "behind", |status| status.behind_since.is_some()).await;
        assert!(lag(&world, &consumer) >= Duration::from_secs(600), "{:?}", lag(&world, &consumer));
        *lock(&world.failing) = 0;
        until(&consumer, "it is up to date", |status| status.behind_since.is_none()).await;
        assert!((0..20).all(|number| has(&world, number)));
        wait("none is pending", || world.pending() == 0).await;
        shutdown.cancel();
        consumer.ended().await;
    }
}

#[tokio::test(start_paused = true)]
async fn one_room_that_fails_alone_delays_no_other() {
    let world = world(64);
    let (consumer, _shutdown) = start(&world, production()).await;
    lock(&world.troubled).insert(room(0), Trouble::Failing);
    world.append(&room(0), 1);
    until(&consumer, "away", |status| status.is_away).await;
    for number in 1..5 {
        // Long enough for another failure, each time at another moment of the backoff.
        sleep(Duration::from_secs(75 + 7 * number)).await;
        world.append(&room(number), 1);
        let taken = wait("the healthy room is delivered", || has(&world, number)).await;
        assert!(taken < Duration::from_secs(2), "after {taken:?}");
    }
}

/// As many as make the sink unavailable: then one probe finds out, and from then on others wait for nothing.
#[tokio::test(start_paused = true)]
async fn many_rooms_that_fail_do_not_hold_up_others() {
    for sick in [5, 6, 50] {
        let world = world(68);
        let (consumer, shutdown) = start(&world, production()).await;
        for number in 0..sick {
            lock(&world.troubled).insert(room(number), Trouble::Failing);
            world.append(&room(number), 1);
        }
        until(&consumer, "away", |status| status.is_away).await;
        sleep(Duration::from_secs(600)).await;
        for (round, longest) in [61, 2, 2, 2].into_iter().enumerate() {
            let number = sick + u64::try_from(round).unwrap();
            world.append(&room(number), 1);
            let taken = wait("the healthy room is delivered", || has(&world, number)).await;
            assert!(taken < Duration::from_secs(longest), "{sick} rooms: {number} after {taken:?}");
            // Long enough for another failure of each.
            sleep(Duration::from_secs(75 + 7 * number)).await;
        }
        shutdown.cancel();
        consumer.ended().await;
    }
}

/// A partition that accepts nothing, say: each attempt takes until it is given up.
#[tokio::test(start_paused = true)]
async fn many_rooms_that_hang_do_not_hold_up_others() {
    const SICK: u64 = 200;
    let world = world(71);
    let (_consumer, _shutdown) = start(&world, production()).await;
    for number in 0..SICK {
        lock(&world.troubled).insert(room(number), Trouble::Hanging);
        world.append(&room(number), 1);
    }
    let begun = Instant::now();
    let mut late = Vec::new();
    for number in SICK..SICK + 1_000 {
        world.append(&room(number), 1);
        sleep(Duration::from_secs(1)).await;
        // Longer than a read of the feed that fails now and then.
        if number >= SICK + 3 && !has(&world, number - 3) {
            late.push(begun.elapsed().as_secs());
        }
    }
    // Each of these rooms takes a place for 20 s once, a third of them at a time.
    assert!(late.iter().all(|second| *second <= 90), "{late:?}");
}

#[tokio::test(start_paused = true)]
async fn many_rooms_that_fail_while_others_are_accepted_are_parked() {
    // A refusal may be skipped; of what only fails, nobody has said that it is to be skipped.
    for on_refused in [OnRefused::Park, OnRefused::Skip] {
        let world = world(69);
        let limits = Limits { park_after: 3, max_backoff_ms: 10_000, ..Limits::PRODUCTION };
        let options = Options { limits, on_refused, ..production() };
        let (_consumer, _shutdown) = start(&world, options).await;
        for number in 0..6 {
            lock(&world.troubled).insert(room(number), Trouble::Failing);
            world.append(&room(number), 1);
        }
        for _ in 0..600 {
            world.append(&room(6), 1);
            sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(world.parked(), 6, "{on_refused:?}");
    }
}

/// Attempts take 20 s each: one of them is enough.
#[tokio::test(start_paused = true)]
async fn a_sink_that_never_answers_is_away_after_one_round_of_few_rooms() {
    let world = world(70);
    let (consumer, _shutdown) = start(&world, production()).await;
    *lock(&world.hangs) = true;
    world.append(&room(0), 1);
    world.append(&room(1), 1);
    let taken = until(&consumer, "away", |status| status.is_away).await;
    assert!(taken < Duration::from_secs(25), "after {taken:?}");
}

#[tokio::test(start_paused = true)]
async fn an_operator_who_resumes_retries_every_room_at_once() {
    let world = world(65);
    let (consumer, _shutdown) = start(&world, production()).await;
    lock(&world.troubled).insert(room(0), Trouble::Busy(Some(LONG)));
    world.append(&room(0), 1);
    sleep(Duration::from_secs(30)).await;
    lock(&world.troubled).clear();
    sleep(Duration::from_secs(30)).await;
    assert!(!has(&world, 0) && !consumer.status().borrow().is_away);
    while consumer.pause(false).await.is_err() {}
    let taken = wait("it is delivered", || has(&world, 0)).await;
    assert!(taken < Duration::from_secs(2), "after {taken:?}");
}

/// However often it is asked, and though others are accepted.
#[tokio::test(start_paused = true)]
async fn a_sink_that_wants_fewer_requests_parks_no_room() {
    let world = world(66);
    let limits = Limits { park_after: 3, max_backoff_ms: 10_000, ..Limits::PRODUCTION };
    let (_consumer, _shutdown) = start(&world, Options { limits, ..production() }).await;
    lock(&world.troubled).insert(room(0), Trouble::Busy(None));
    lock(&world.troubled).insert(room(1), Trouble::Failing);
    world.append(&room(0), 1);
    world.append(&room(1), 1);
    for _ in 0..600 {
        world.append(&room(2), 1);
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(world.parked(), 1, "the other one fails by itself");
    lock(&world.troubled).clear();
    wait("it is delivered", || has(&world, 0)).await;
}

#[tokio::test(start_paused = true)]
async fn parked_rooms_are_counted_also_after_a_restart_and_resumed_together() {
    let world = world(67);
    let (consumer, shutdown) = start(&world, production()).await;
    for number in 0..9 {
        world.append(&room(number), 1);
    }
    wait("delivered", || world.taken().len() == 9).await;
    let first = world.now();
    for number in 0..7 {
        world.poison(&room(number));
        world.append(&room(number), 2);
    }
    until(&consumer, "parked", |status| status.parked_rooms == 7).await;
    shutdown.cancel();
    consumer.ended().await;
    sleep(LONG).await;
    let (consumer, _shutdown) = start(&world, production()).await;
    until(&consumer, "counted", |status| status.parked_rooms == 7).await;
    let since = consumer.status().borrow().parked_since.unwrap();
    assert!(since.since(first) < 60_000, "{since:?}");
    assert_eq!(consumer.status().borrow().behind_since, None);
    // What is refused again is parked again.
    while consumer.unpark_all().await.is_err() {}
    until(&consumer, "resumed", |status| status.parked_rooms == 0).await;
    until(&consumer, "parked again", |status| status.parked_rooms == 7).await;
    assert!(consumer.status().borrow().parked_since.unwrap().since(first) > 3_000_000);
    while consumer.unpark(room(0), true).await.is_err() {}
    until(&consumer, "one is skipped", |status| status.parked_rooms == 6).await;
    world.heal();
    while consumer.unpark_all().await.is_err() {}
    wait("all are delivered", || world.taken().len() == 9 + 7 * 2 - 1).await;
    until(&consumer, "none is parked", |status| status.parked_rooms == 0).await;
}

/// They are found among the rows of all rooms, most of which are done.
#[tokio::test(start_paused = true)]
async fn pending_rooms_among_many_are_found_at_once() {
    let world = world(68);
    let (consumer, shutdown) = start(&world, production()).await;
    for number in 0..400 {
        world.append(&room(number), 1);
    }
    wait("delivered", || world.taken().len() == 400).await;
    while consumer.pause(true).await.is_err() {}
    world.append(&room(399), 1);
    wait("saved as pending", || world.pending() == 1).await;
    shutdown.cancel();
    consumer.ended().await;
    let (consumer, _shutdown) = start(&world, production()).await;
    while consumer.pause(false).await.is_err() {}
    let taken = wait("it is delivered", || world.taken().len() == 401).await;
    assert!(taken < Duration::from_secs(5), "after {taken:?}");
}
