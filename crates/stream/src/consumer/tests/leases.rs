//! Several processes, one of which runs a consumer at a time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use parlance_store::StoreError;
use parlance_store::consumers::{ConsumerName, Lease, LeaseTable};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::runs::options;
use super::world::{World, room};
use crate::consumer::{Parts, Start};
use crate::leased::{LeaseTimes, Leased, Leasing};

/// Longer than anything takes, in virtual time.
const LONG: Duration = Duration::from_secs(3_600);

/// The promise: a worker that is killed is replaced within this.
const REPLACED_WITHIN: Duration = Duration::from_secs(15);

type Leases = Arc<Mutex<BTreeMap<ConsumerName, Lease>>>;

/// One process' way to the leases.
struct Way {
    leases: Leases,
    is_cut: AtomicBool,
    /// What it writes is carried out, and the answer lost.
    loses_answers: AtomicBool,
}

#[async_trait]
impl LeaseTable for Way {
    async fn lease(&self, name: &ConsumerName) -> Result<Option<Lease>, StoreError> {
        if self.is_cut.load(Ordering::Relaxed) {
            return Err(StoreError::Overloaded);
        }
        Ok(self.leases.lock().unwrap().get(name).cloned())
    }

    async fn replace_lease(
        &self,
        name: &ConsumerName,
        old: Option<&Lease>,
        new: &Lease,
    ) -> Result<bool, StoreError> {
        if self.is_cut.load(Ordering::Relaxed) {
            return Err(StoreError::Overloaded);
        }
        let replaced = {
            let mut leases = self.leases.lock().unwrap();
            let is_so = leases.get(name) == old;
            if is_so {
                leases.insert(name.clone(), new.clone());
            }
            is_so
        };
        if self.loses_answers.load(Ordering::Relaxed) {
            return Err(StoreError::Overloaded);
        }
        Ok(replaced)
    }
}

struct Worker {
    leased: Leased,
    way: Arc<Way>,
    end: CancellationToken,
}

fn worker(world: &Arc<World>, leases: &Leases, owner: &str) -> Worker {
    let parts = Parts {
        feed: world.clone(),
        table: world.clone(),
        log: world.clone(),
        sink: world.clone(),
        clock: world.clone(),
    };
    let way = Arc::new(Way {
        leases: leases.clone(),
        is_cut: AtomicBool::new(false),
        loses_answers: AtomicBool::new(false),
    });
    let leasing = Leasing { table: way.clone(), owner: owner.to_owned(), times: LeaseTimes::PRODUCTION };
    let end = CancellationToken::new();
    Worker { leased: Leased::start(leasing, parts, options(Start::Beginning), end.clone()), way, end }
}

async fn wait(is_so: impl Fn() -> bool) -> Duration {
    let begun = Instant::now();
    let waiting = async {
        while !is_so() {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(LONG, waiting).await.expect("it comes to that");
    begun.elapsed()
}

fn running(workers: &[Worker]) -> Vec<usize> {
    let running = workers.iter().enumerate().filter(|(_, worker)| worker.leased.running().is_some());
    running.map(|(index, _)| index).collect()
}

/// All of the log has been taken, first occurrences in order.
fn is_complete(world: &World) -> bool {
    world.check(true, &BTreeMap::new()).is_ok()
}

#[tokio::test(start_paused = true)]
async fn one_worker_runs_and_a_killed_one_is_replaced() {
    let (world, leases) = (World::new(11, false), Leases::default());
    let mut workers: Vec<Worker> = ["a", "b", "c"].map(|owner| worker(&world, &leases, owner)).into();
    while workers.len() > 1 {
        wait(|| running(&workers).len() == 1).await;
        world.append(&room(1), 2);
        world.append(&room(2), 1);
        wait(|| is_complete(&world)).await;
        let owner = running(&workers)[0];
        // As a crash: nothing is given up.
        drop(workers.remove(owner));
        world.append(&room(1), 3);
        let taken = wait(|| is_complete(&world)).await;
        assert!(taken < REPLACED_WITHIN, "after {taken:?}");
    }
    world.check(true, &BTreeMap::new()).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_stops_gives_its_consumer_up_at_once() {
    let (world, leases) = (World::new(12, false), Leases::default());
    let workers = ["a", "b"].map(|owner| worker(&world, &leases, owner));
    wait(|| running(&workers).len() == 1).await;
    let owner = running(&workers)[0];
    workers[owner].end.cancel();
    timeout(LONG, workers[owner].leased.ended()).await.unwrap();
    let taken = wait(|| running(&workers) == [1 - owner]).await;
    assert!(taken <= LeaseTimes::PRODUCTION.every, "after {taken:?}");
    world.append(&room(1), 3);
    wait(|| is_complete(&world)).await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_cannot_renew_hands_nothing_on_once_another_may() {
    let (world, leases) = (World::new(13, false), Leases::default());
    let first = worker(&world, &leases, "a");
    wait(|| first.leased.running().is_some()).await;
    world.append(&room(1), 1);
    wait(|| is_complete(&world)).await;
    first.way.is_cut.store(true, Ordering::Relaxed);
    // Nobody else is there: it holds what it has, and stops in time all the same.
    sleep(LeaseTimes::PRODUCTION.safe + LeaseTimes::PRODUCTION.every).await;
    let taken = world.taken().len();
    world.append(&room(1), 1);
    sleep(LONG).await;
    assert_eq!(world.taken().len(), taken);
    let second = worker(&world, &leases, "b");
    wait(|| is_complete(&world)).await;
    assert!(second.leased.running().is_some());
    // It learns that it has lost, and waits for its turn.
    first.way.is_cut.store(false, Ordering::Relaxed);
    wait(|| first.leased.running().is_none()).await;
    drop(second);
    world.append(&room(1), 1);
    wait(|| is_complete(&world)).await;
    assert!(first.leased.running().is_some());
}

#[tokio::test(start_paused = true)]
async fn renewals_whose_answers_are_lost_are_still_renewals() {
    let (world, leases) = (World::new(14, false), Leases::default());
    let workers = ["a", "b"].map(|owner| worker(&world, &leases, owner));
    wait(|| running(&workers).len() == 1).await;
    let owner = running(&workers)[0];
    for _ in 0..20 {
        workers[owner].way.loses_answers.store(true, Ordering::Relaxed);
        sleep(LeaseTimes::PRODUCTION.every).await;
        workers[owner].way.loses_answers.store(false, Ordering::Relaxed);
        sleep(LeaseTimes::PRODUCTION.every * 2).await;
        assert_eq!(running(&workers), [owner]);
    }
    world.append(&room(1), 3);
    wait(|| is_complete(&world)).await;
}
