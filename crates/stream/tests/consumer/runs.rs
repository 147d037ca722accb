//! Random runs, checked against the promises of a consumer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parlance_core::RoomId;
use parlance_planted::{Plant, mistaken};
use parlance_store::consumers::ConsumerName;
use parlance_stream::consumer::{Consumer, Limits, Options, Parts, Start};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::dice::Dice;
use crate::world::{World, room};

/// Small limits, so that each is reached.
pub(super) const SMALL: Limits = Limits {
    max_rooms: 4,
    max_in_flight: 3,
    hold_ms: 400,
    backoff_ms: 20,
    max_backoff_ms: 500,
    park_after: 1_000,
    away_after: 4,
    away_after_ms: 100,
    max_away_ms: 400,
};

pub(super) fn options(start: Start) -> Options {
    Options {
        start,
        effect_timeout: Duration::from_millis(200),
        flush_every: Duration::from_millis(50),
        limits: SMALL,
        ..Options::new(ConsumerName::parse("hook").unwrap(), "test")
    }
}

pub(super) async fn start(world: &Arc<World>, options: Options) -> (Consumer, CancellationToken) {
    start_of(world.parts(), options).await
}

async fn start_of(parts: Parts, options: Options) -> (Consumer, CancellationToken) {
    let shutdown = CancellationToken::new();
    loop {
        match Consumer::start(parts.clone(), options.clone(), shutdown.clone()).await {
            Ok(consumer) => return (consumer, shutdown),
            Err(parlance_stream::consumer::Error::Store(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// Lets the consumer finish its work; `Err` names a broken promise.
pub(super) async fn settle(
    world: &Arc<World>,
    consumer: &Consumer,
    from: &BTreeMap<RoomId, u64>,
) -> Result<(), String> {
    let mut result = Ok(());
    // Virtual time: events that have not arrived after minutes never will.
    for _ in 0..1_200 {
        for room in world.heal() {
            let _ = consumer.unpark(room, false).await;
        }
        sleep(Duration::from_millis(100)).await;
        result = world.check(true, from);
        if result.is_ok() {
            return Ok(());
        }
    }
    result
}

#[derive(Clone, Copy)]
struct Run {
    seed: u64,
    disorderly: bool,
    start: Start,
    mistake: Option<Plant>,
}

async fn run(run: Run) -> Result<(), String> {
    let world = World::new(run.seed, run.disorderly);
    let mut dice = Dice::new(run.seed ^ 0xd1ce);
    // The state of a mistake ends with its process.
    let start = async || {
        let parts = match run.mistake {
            Some(mistake) => mistaken(world.parts(), mistake),
            None => world.parts(),
        };
        start_of(parts, options(run.start)).await
    };
    for _ in 0..dice.below(6) {
        world.append(&room(dice.below(8)), 1 + dice.below(3));
    }
    world.arrive(true);
    // Earlier events are not for a consumer that starts now.
    tokio::time::advance(Duration::from_secs(3_600)).await;
    let from = if run.start == Start::Now { world.heads() } else { BTreeMap::new() };
    let (mut consumer, mut shutdown) = start().await;
    for _ in 0..60 {
        match dice.below(24) {
            0 => {
                // Killed: no work is finished.
                drop(consumer);
                (consumer, shutdown) = start().await;
            }
            1 => {
                shutdown.cancel();
                consumer.ended().await;
                (consumer, shutdown) = start().await;
            }
            2 => *world.failing.lock().unwrap() = [0, 30, 100][dice.below(3) as usize],
            3 => drop(consumer.pause(dice.chance(50)).await),
            4 if dice.chance(50) => {
                // The store fails meanwhile.
                drop(consumer);
                world.restore();
                (consumer, shutdown) = start().await;
            }
            5 if dice.chance(50) => world.trim(),
            6 => world.poison(&room(dice.below(8))),
            7 => sleep(Duration::from_millis(dice.below(3_000))).await,
            8 => world.arrive(false),
            _ => world.append(&room(dice.below(8)), 1 + dice.below(4)),
        }
        sleep(Duration::from_millis(dice.below(60))).await;
        world.check(false, &from)?;
    }
    world.arrive(true);
    while consumer.pause(false).await.is_err() {}
    settle(&world, &consumer, &from).await?;
    shutdown.cancel();
    consumer.ended().await;
    world.check(true, &from)
}

fn run_seed(seed: u64, mistake: Option<Plant>) -> Result<(), String> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let start = if seed.is_multiple_of(2) { Start::Beginning } else { Start::Now };
    runtime.block_on(run(Run { seed, disorderly: !seed.is_multiple_of(3), start, mistake }))
}

#[test]
fn events_reach_the_sink_in_order_and_completely() {
    for seed in 0..150 {
        run_seed(seed, None).unwrap_or_else(|broken| panic!("seed {seed}: {broken}"));
    }
}

/// Each planted mistake is found by one of several seeds; the rarest by some 1 of 80.
#[test]
fn mistakes_are_found() {
    for planted in Plant::EVENTS {
        let found = (0..800).any(|seed| run_seed(seed, Some(planted)).is_err());
        assert!(found, "{planted:?} is not found");
    }
}
