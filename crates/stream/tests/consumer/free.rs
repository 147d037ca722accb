//! A consumer that must not run for a while: it is removed.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parlance_store::consumers::{ConsumerName, ConsumerTable};
use parlance_stream::leased::{LeaseTimes, Leasing, NotFree, while_free};
use tokio::time::sleep;

use crate::leases::{Leases, Way, Worker, wait, worker};
use crate::world::{World, lock, room};

/// Longer than a lease lasts without renewals.
const LONG_WORK: Duration = Duration::from_secs(60);

fn name() -> ConsumerName {
    ConsumerName::parse("hook").unwrap()
}

async fn running(world: &Arc<World>, leases: &Leases) -> Worker {
    let worker = worker(world, leases, "a");
    wait(|| worker.leased.running().is_some()).await;
    worker
}

fn leasing(world: &Arc<World>, leases: &Leases) -> Leasing {
    Leasing { table: Way::new(world, leases), owner: "operator".to_owned(), times: LeaseTimes::PRODUCTION }
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_runs_is_not_removed() {
    let (world, leases) = (World::new(61, false), Leases::default());
    let worker = running(&world, &leases).await;
    let removed = while_free(leasing(&world, &leases), name(), async { panic!("it runs") }).await;
    assert_eq!(removed, Err::<(), _>(NotFree::Held { name: name(), owner: "a".to_owned() }));
    world.append(&room(1), 1);
    wait(|| world.taken().len() == 1).await;
    assert!(worker.leased.running().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_consumer_of_a_killed_process_is_removed_and_starts_nowhere_meanwhile() {
    let (world, leases) = (World::new(62, false), Leases::default());
    *lock(&world.store_failing) = 0;
    let killed = running(&world, &leases).await;
    world.append(&room(1), 1);
    wait(|| world.kept().1.len() == 1).await;
    drop(killed);
    let removing = async {
        let next = worker(&world, &leases, "b");
        sleep(LONG_WORK).await;
        assert!(next.leased.running().is_none());
        (world.remove_consumer(&name()).await, next)
    };
    let (removed, next) = while_free(leasing(&world, &leases), name(), removing).await.unwrap();
    assert_eq!(removed.unwrap().unwrap().rooms, 1);
    assert_eq!(world.kept(), (vec![], vec![]));
    // Of a name that is free, a new consumer may start. Its writes are not refused as earlier ones.
    wait(|| next.leased.running().is_some()).await;
    world.append(&room(1), 1);
    wait(|| world.kept().1.len() == 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_consumer_whose_lease_cannot_be_read_is_not_removed() {
    let (world, leases) = (World::new(63, false), Leases::default());
    let way = Way::new(&world, &leases);
    way.is_cut.store(true, Ordering::Relaxed);
    let leasing = Leasing { table: way, ..leasing(&world, &leases) };
    let removed = while_free(leasing, name(), async { panic!("nobody knows") }).await;
    assert_eq!(removed, Err::<(), _>(NotFree::Unknown(name())));
}
