//! Operators' commands, and endpoints that refuse events.

use std::collections::BTreeMap;
use std::time::Duration;

use parlance_core::{Clock as _, RoomId};
use parlance_store::consumers::EventKey;
use parlance_stream::consumer::{Consumer, Error, Limits, OnRefused, Options, Start, Status};
use tokio::time::{sleep, timeout};

use crate::runs::{options, settle, start};
use crate::world::{World, lock, room};

/// Longer than any operation takes, in virtual time.
const LONG: Duration = Duration::from_secs(3_600);

const DAY: Duration = Duration::from_secs(24 * 3_600);

async fn wait(what: &str, is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(LONG, waiting).await.unwrap_or_else(|_| panic!("it does not come to that: {what}"));
}

async fn until(consumer: &Consumer, is_so: impl Fn(&Status) -> bool) {
    let mut status = consumer.status();
    timeout(LONG, status.wait_for(is_so)).await.expect("it comes to that").expect("it runs");
}

async fn unpark(consumer: &Consumer, room: &RoomId, skip: bool) {
    while let Err(error) = consumer.unpark(room.clone(), skip).await {
        assert!(matches!(error, Error::Store(_)), "{error}");
    }
}

fn has_taken(world: &World, room: &RoomId, epoch: u64, seq: u64) -> bool {
    world.taken().contains(&(room.clone(), EventKey { epoch, seq }))
}

/// A room that is parked in memory alone is in none of the rows that are read.
#[tokio::test(start_paused = true)]
async fn retrying_all_rooms_leaves_none_parked_or_says_so() {
    let world = World::new(46, false);
    *lock(&world.store_failing) = 0;
    let rare = Options { flush_every: LONG * 2, ..options(Start::Now) };
    let (consumer, _shutdown) = start(&world, rare).await;
    world.append(&room(1), 1);
    wait("delivered", || has_taken(&world, &room(1), 1, 1)).await;
    *lock(&world.writes_failing) = true;
    world.poison(&room(1));
    world.append(&room(1), 1);
    sleep(Duration::from_secs(60)).await;
    world.heal();
    let mut refused = 0;
    // Reads fail now and then.
    while refused < 20 {
        let answer = consumer.unpark_all().await;
        assert!(matches!(answer, Err(Error::Store(_))), "{answer:?}");
        refused += 1;
    }
    *lock(&world.writes_failing) = false;
    while consumer.unpark_all().await.is_err() {}
    wait("delivered", || has_taken(&world, &room(1), 1, 2)).await;
    assert_eq!(world.parked(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_skip_after_a_restore_skips_nothing_of_the_new_history() {
    let world = World::new(42, false);
    let (consumer, _shutdown) = start(&world, options(Start::Now)).await;
    world.append(&room(1), 1);
    world.poison(&room(1));
    world.append(&room(1), 3);
    wait("parked", || world.parked() == 1).await;
    drop(consumer);
    world.restore();
    *lock(&world.slow) = Duration::from_secs(1);
    *lock(&world.store_failing) = 0;
    let (consumer, _shutdown) = start(&world, options(Start::Now)).await;
    // Before it goes on by itself.
    unpark(&consumer, &room(1), true).await;
    wait("it is sent from its first event", || has_taken(&world, &room(1), 2, 1)).await;
}

#[tokio::test(start_paused = true)]
async fn the_first_event_after_a_restore_can_be_skipped() {
    let world = World::new(43, false);
    let (consumer, _shutdown) = start(&world, options(Start::Now)).await;
    world.poison(&room(1));
    world.append(&room(1), 3);
    wait("parked", || world.parked() == 1).await;
    unpark(&consumer, &room(1), true).await;
    wait("the others are delivered", || world.taken().len() == 2).await;
    drop(consumer);
    world.restore();
    world.append(&room(1), 3);
    let (consumer, _shutdown) = start(&world, options(Start::Now)).await;
    wait("parked again", || world.parked() == 1).await;
    unpark(&consumer, &room(1), true).await;
    wait("the second one is delivered", || has_taken(&world, &room(1), 2, 2)).await;
    assert!(!has_taken(&world, &room(1), 2, 1));
}

fn disabling() -> Options {
    let limits = Limits { max_rooms: 8, hold_ms: 10_000, ..Limits::PRODUCTION };
    Options {
        disable_after: Some(5 * DAY),
        on_refused: OnRefused::Skip,
        flush_every: Duration::from_secs(60),
        limits,
        ..options(Start::Now)
    }
}

/// It answers, even if nothing is accepted.
#[tokio::test(start_paused = true)]
async fn an_endpoint_that_refuses_events_after_an_outage_is_back() {
    let world = World::new(44, false);
    let (consumer, _shutdown) = start(&world, disabling()).await;
    *lock(&world.failing) = 100;
    world.poison(&room(1));
    world.append(&room(1), 1);
    until(&consumer, |status| status.is_away).await;
    *lock(&world.failing) = 0;
    until(&consumer, |status| !status.is_away).await;
    sleep(6 * DAY).await;
    assert_eq!(consumer.status().borrow().disabled, "");
    assert_eq!(world.taken(), []);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_is_not_asked_for_days_is_not_disabled() {
    for paused in [true, false] {
        let world = World::new(45, false);
        let (consumer, _shutdown) = start(&world, disabling()).await;
        *lock(&world.failing) = 100;
        world.append(&room(1), 1);
        until(&consumer, |status| status.is_away).await;
        if paused {
            while consumer.pause(true).await.is_err() {}
        } else {
            world.forget(&room(1));
            until(&consumer, |status| status.is_idle).await;
        }
        sleep(6 * DAY).await;
        assert_eq!(consumer.status().borrow().disabled, "", "paused: {paused}");
    }
}

/// A command during a walk does not bring back the position from before it.
#[tokio::test(start_paused = true)]
async fn commands_during_a_walk_leave_its_position_alone() {
    let world = World::new(46, false);
    *lock(&world.store_failing) = 0;
    for number in 0..1_500 {
        world.append(&room(number), 1);
    }
    let (consumer, _shutdown) = start(&world, options(Start::Now)).await;
    for number in [1, 2, 3] {
        world.poison(&room(number));
        world.append(&room(number), 1);
    }
    wait("parked", || world.parked() == 3).await;
    drop(consumer);
    world.restore();
    *lock(&world.slow) = Duration::from_millis(50);
    let (consumer, _shutdown) = start(&world, options(Start::Now)).await;
    wait("it walks", || world.kept().0[0].walk.is_some()).await;
    let tip = world.kept().0[0].position.clone();
    for paused in [true, false] {
        while consumer.pause(paused).await.is_err() {}
        assert_eq!(world.kept().0[0].position, tip);
    }
    assert!(world.kept().0[0].walk.is_some(), "it still walks");
    *lock(&world.slow) = Duration::ZERO;
    wait("it has walked", || world.kept().0[0].walk.is_none()).await;
    wait("what was parked is delivered", || has_taken(&world, &room(3), 2, 1)).await;
}

/// Its row says how far it is, although its log cannot be read.
#[tokio::test(start_paused = true)]
async fn a_room_that_cannot_be_read_for_a_moment_goes_on_where_it_was() {
    let world = World::new(47, false);
    let (consumer, shutdown) = start(&world, options(Start::Now)).await;
    world.append(&room(1), 3);
    wait("delivered", || world.taken().len() == 3).await;
    while consumer.pause(true).await.is_err() {}
    shutdown.cancel();
    consumer.ended().await;
    let (consumer, _shutdown) = start(&world, options(Start::Now)).await;
    *lock(&world.damaged) = Some(room(1));
    world.append(&room(1), 1);
    wait("stored as pending", || world.pending() == 1).await;
    *lock(&world.damaged) = None;
    while consumer.pause(false).await.is_err() {}
    settle(&world, &consumer, &BTreeMap::new()).await.unwrap();
    assert_eq!(world.taken().len(), 4);
}

/// The row that the work on a room has read is from before the command.
#[tokio::test(start_paused = true)]
async fn a_retry_while_the_row_of_a_room_is_read_is_carried_out() {
    for (all, skip) in [(true, false), (false, false), (false, true)] {
        let world = World::new(48, false);
        *lock(&world.store_failing) = 0;
        let (consumer, shutdown) = start(&world, options(Start::Now)).await;
        // The scan for pending rooms comes to the parked one last, after the feed.
        (1..9).for_each(|number| world.append(&room(number), 1));
        world.poison(&room(9));
        world.append(&room(9), 1);
        wait("parked", || world.parked() == 1 && world.taken().len() == 8).await;
        shutdown.cancel();
        consumer.ended().await;
        if !skip {
            world.heal();
        }
        world.append(&room(9), 1);
        *lock(&world.slow_row) = Some(room(9));
        let rare = Options { flush_every: LONG * 2, ..options(Start::Now) };
        let (consumer, shutdown) = start(&world, rare).await;
        wait("its row is read", || lock(&world.slow_row).is_none()).await;
        if all {
            while consumer.unpark_all().await.is_err() {}
        } else {
            unpark(&consumer, &room(9), skip).await;
        }
        wait("delivered", || has_taken(&world, &room(9), 1, 2)).await;
        assert_eq!(has_taken(&world, &room(9), 1, 1), !skip);
        shutdown.cancel();
        consumer.ended().await;
        assert_eq!(world.parked(), 0, "all: {all}, skip: {skip}");
        assert_eq!(consumer.status().borrow().parked_rooms, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn rooms_that_are_retried_during_a_pause_are_lag() {
    for all in [true, false] {
        let world = World::new(49, false);
        *lock(&world.store_failing) = 0;
        let (consumer, _shutdown) = start(&world, options(Start::Now)).await;
        world.poison(&room(1));
        world.append(&room(1), 1);
        wait("parked", || world.parked() == 1).await;
        let parked_at = world.now();
        while consumer.pause(true).await.is_err() {}
        until(&consumer, |status| status.paused && status.behind_since.is_none()).await;
        sleep(Duration::from_secs(2)).await;
        if all {
            while consumer.unpark_all().await.is_err() {}
        } else {
            unpark(&consumer, &room(1), false).await;
        }
        // Also once it is no longer in memory.
        for _ in 0..2 {
            let since = consumer.status().borrow().behind_since;
            assert!(since.is_some_and(|since| since <= parked_at), "all: {all}, {since:?}");
            sleep(Duration::from_secs(2)).await;
        }
        world.heal();
        while consumer.pause(false).await.is_err() {}
        until(&consumer, |status| status.behind_since.is_none()).await;
        assert!(has_taken(&world, &room(1), 1, 1));
    }
}
