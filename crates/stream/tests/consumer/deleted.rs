//! Parked rooms that are deleted or restored: the refused event is gone, and what there is now is delivered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parlance_store::consumers::EventKey;
use parlance_stream::consumer::{Consumer, Error, Start};
use tokio::time::{sleep, timeout};

use crate::runs::{options, settle, start};
use crate::world::{World, lock, room};

/// Longer than any operation takes, in virtual time.
const LONG: Duration = Duration::from_secs(3_600);

/// The room's events; the second is refused.
const EVENTS: u64 = 4;

async fn wait(what: &str, is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(LONG, waiting).await.unwrap_or_else(|_| panic!("it does not come to that: {what}"));
}

/// Parks the room of that number.
async fn park(world: &World, number: u64) {
    let parked = world.parked();
    world.append(&room(number), 1);
    world.poison(&room(number));
    world.append(&room(number), EVENTS - 1);
    wait("parked", || world.parked() == parked + 1).await;
}

fn seqs(world: &World, number: u64) -> Vec<u64> {
    let taken = world.taken();
    let mut seqs: Vec<u64> =
        taken.iter().filter(|(of, _)| *of == room(number)).map(|(_, key)| key.seq).collect();
    seqs.dedup();
    seqs
}

async fn is_deleted_at_the_sink(world: &World, consumer: &Consumer) {
    wait("the deletion is delivered", || seqs(world, 1) == [1, EVENTS + 1]).await;
    wait("it is parked no more", || world.parked() == 0 && world.pending() == 0).await;
    wait("nor counted", || consumer.status().borrow().parked_rooms == 0).await;
}

#[tokio::test(start_paused = true)]
async fn the_deletion_of_a_parked_room_is_delivered() {
    let world = World::new(71, false);
    let (consumer, _shutdown) = start(&world, options(Start::Now)).await;
    park(&world, 1).await;
    sleep(LONG).await;
    world.delete(&room(1));
    is_deleted_at_the_sink(&world, &consumer).await;
    // There is nothing to be retried or skipped.
    let error = loop {
        match consumer.unpark(room(1), true).await {
            Err(Error::Store(_)) => {}
            other => break other,
        }
    };
    assert_eq!(error, Err(Error::NotParked(room(1))));
}

#[tokio::test(start_paused = true)]
async fn a_parked_room_that_is_deleted_during_a_pause_or_while_nothing_runs_says_so_later() {
    for (is_down, is_trimmed) in [(false, false), (true, false), (true, true)] {
        let world = World::new(72, false);
        let (mut consumer, mut shutdown) = start(&world, options(Start::Now)).await;
        park(&world, 1).await;
        while consumer.pause(true).await.is_err() {}
        if is_down {
            shutdown.cancel();
            consumer.ended().await;
        }
        world.delete(&room(1));
        sleep(LONG).await;
        if is_trimmed {
            world.trim();
        }
        if is_down {
            (consumer, shutdown) = start(&world, options(Start::Now)).await;
        }
        assert_eq!(seqs(&world, 1), [1]);
        while consumer.pause(false).await.is_err() {}
        is_deleted_at_the_sink(&world, &consumer).await;
        drop(shutdown);
    }
}

/// What happens in a parked room is no reason to send what was refused.
#[tokio::test(start_paused = true)]
async fn a_parked_room_in_which_people_go_on_stays_parked_until_it_is_retried() {
    for seed in 73..77 {
        let world = World::new(seed, seed % 2 == 0);
        let (consumer, _shutdown) = start(&world, options(Start::Now)).await;
        world.append(&room(1), 1);
        world.poison(&room(1));
        for _ in 0..20 {
            world.append(&room(1), 1);
            world.arrive(true);
            sleep(Duration::from_millis(300)).await;
        }
        sleep(LONG).await;
        assert_eq!((seqs(&world, 1), world.parked()), (vec![1], 1), "seed {seed}");
        wait("it is counted once", || consumer.status().borrow().parked_rooms == 1).await;
        assert_eq!(consumer.status().borrow().behind_since, None, "parked rooms are no lag");
        world.heal();
        // While it is looked at, too.
        world.append(&room(1), 1);
        world.arrive(true);
        if seed % 2 == 0 {
            while consumer.unpark_all().await.is_err() {}
        } else {
            // After an answer that was lost, it is not parked any more.
            while let Err(Error::Store(_)) = consumer.unpark(room(1), false).await {}
        }
        settle(&world, &consumer, &BTreeMap::new()).await.unwrap();
        let last = EventKey { epoch: 1, seq: 22 };
        assert!(world.taken().contains(&(room(1), last)), "seed {seed}");
    }
}

/// The room cannot be read for a while, which says nothing about what is parked.
#[tokio::test(start_paused = true)]
async fn a_parked_room_that_cannot_be_read_stays_parked() {
    let world: Arc<World> = World::new(78, false);
    let (consumer, _shutdown) = start(&world, options(Start::Now)).await;
    park(&world, 1).await;
    *lock(&world.unreadable) = Some(room(1));
    world.append(&room(1), 1);
    sleep(LONG).await;
    assert_eq!((world.parked(), consumer.status().borrow().parked_rooms), (1, 1));
    *lock(&world.unreadable) = None;
    world.delete(&room(1));
    wait("the deletion is delivered", || seqs(&world, 1) == [1, EVENTS + 2]).await;
}

/// It has another history, with which it starts over; if it is deleted then, only that is left to be said.
#[tokio::test(start_paused = true)]
async fn a_parked_room_that_is_restored_starts_over() {
    for is_deleted in [false, true] {
        let world = World::new(79, false);
        let (consumer, _shutdown) = start(&world, options(Start::Now)).await;
        park(&world, 1).await;
        drop(consumer);
        world.heal();
        world.restore();
        if is_deleted {
            world.delete(&room(1));
        }
        let (consumer, _shutdown) = start(&world, options(Start::Now)).await;
        let last = EventKey { epoch: 2, seq: world.heads()[&room(1)] };
        wait("its last event is delivered", || world.taken().last() == Some(&(room(1), last))).await;
        let first = EventKey { epoch: 2, seq: 1 };
        assert_eq!(world.taken().contains(&(room(1), first)), !is_deleted);
        wait("it is parked no more", || world.parked() == 0 && world.pending() == 0).await;
        wait("nor counted", || consumer.status().borrow().parked_rooms == 0).await;
    }
}
