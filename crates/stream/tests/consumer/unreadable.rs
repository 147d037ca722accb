//! A room that the consumer meets for the first time, and whose reads keep failing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parlance_core::RoomId;
use parlance_store::consumers::EventKey;
use parlance_store::feed::ChangeFeed;
use parlance_stream::consumer::Start;
use tokio::time::{advance, sleep, timeout};

use crate::runs::{options, settle, start};
use crate::world::{World, lock, room};

/// Longer than any operation takes, in virtual time.
const LONG: Duration = Duration::from_secs(3_600);

async fn wait(what: &str, is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(LONG, waiting).await.unwrap_or_else(|_| panic!("it does not come to that: {what}"));
}

/// A world with a room of three events, from long before the consumer starts.
async fn world(seed: u64, disorderly: bool) -> Arc<World> {
    let world = World::new(seed, disorderly);
    *lock(&world.store_failing) = 0;
    world.append(&room(0), 3);
    world.arrive(true);
    advance(LONG).await;
    *lock(&world.unreadable) = Some(room(0));
    world
}

/// The number of the consumer's stored position.
fn position(world: &World) -> u64 {
    world.kept().0[0].position.number_in("store-0").unwrap()
}

fn taken(world: &World, of: &RoomId) -> Vec<EventKey> {
    world.taken().into_iter().filter(|(room, _)| room == of).map(|(_, key)| key).collect()
}

#[tokio::test(start_paused = true)]
async fn a_new_room_that_cannot_be_read_holds_no_checkpoint() {
    for (seed, disorderly) in [(51, false), (52, true)] {
        let world = world(seed, disorderly).await;
        let from = world.heads();
        let (consumer, _shutdown) = start(&world, options(Start::Now)).await;
        world.append(&room(0), 2);
        world.append(&room(1), 1);
        world.arrive(true);
        let end = world.tip().await.unwrap().number_in("store-0").unwrap();
        wait("the checkpoint passes it", || position(&world) >= end).await;
        assert_eq!(world.pending(), 1);
        // Like a crash: nothing but its row says where to start.
        drop(consumer);
        let (consumer, _shutdown) = start(&world, options(Start::Now)).await;
        sleep(LONG).await;
        assert_eq!(taken(&world, &room(0)), []);
        *lock(&world.unreadable) = None;
        settle(&world, &consumer, &from).await.unwrap();
        let seqs: Vec<u64> = taken(&world, &room(0)).into_iter().map(|key| key.seq).collect();
        assert_eq!(seqs, [4, 5], "nothing from before the consumer");
        wait("nothing is pending", || world.pending() == 0).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_walk_goes_past_a_room_that_cannot_be_read_and_comes_back() {
    let world = world(53, false).await;
    for number in 1..1_200 {
        world.append(&room(number), 1);
    }
    let (consumer, _shutdown) = start(&world, options(Start::Beginning)).await;
    wait("all other rooms are delivered", || world.taken().len() == 1_199).await;
    assert!(world.kept().0[0].walk.is_none());
    *lock(&world.unreadable) = None;
    settle(&world, &consumer, &BTreeMap::new()).await.unwrap();
}

/// The restored history has the announced seqs again, with other events.
#[tokio::test(start_paused = true)]
async fn an_announced_room_that_is_restored_before_it_is_read_lacks_nothing() {
    for seed in 60..70 {
        let world = world(seed, false).await;
        let (consumer, _shutdown) = start(&world, options(Start::Now)).await;
        world.append(&room(0), 3);
        wait("it is saved", || world.pending() == 1).await;
        drop(consumer);
        world.restore();
        let kept = world.heads()[&room(0)];
        world.append(&room(0), 4);
        let (_consumer, _shutdown) = start(&world, options(Start::Now)).await;
        let has_walked = || {
            let state = &world.kept().0[0];
            state.walk.is_none() && state.position.number_in("store-1").is_some()
        };
        wait("the walk goes past it", has_walked).await;
        *lock(&world.unreadable) = None;
        let new: Vec<EventKey> = (kept + 1..=kept + 4).map(|seq| EventKey { epoch: 2, seq }).collect();
        let all = || new.iter().all(|key| taken(&world, &room(0)).contains(key));
        wait("the new history is delivered", all).await;
    }
}
