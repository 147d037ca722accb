//! Several processes, of which one runs a consumer at a time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use parlance_core::RoomId;
use parlance_store::StoreError;
use parlance_store::consumers::{
    ConsumerName, ConsumerState, ConsumerTable, ConsumerWrite, Fence, Lease, LeaseTable, ListedConsumer,
    Removed, RoomPage, RoomProgress, Wanted,
};
use parlance_stream::consumer::{Options, Parts, Start};
use parlance_stream::leased::{LeaseTimes, Leased, Leasing, Reader};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::runs::options;
use crate::world::{World, lock, room};

/// Longer than any operation takes, in virtual time.
const LONG: Duration = Duration::from_secs(3_600);

/// The promised time within which a killed worker is replaced.
pub(super) const REPLACED_WITHIN: Duration = Duration::from_secs(15);

pub(super) type Leases = Arc<Mutex<BTreeMap<ConsumerName, Lease>>>;

/// One process's access to the leases.
pub(super) struct Way {
    world: Arc<World>,
    leases: Leases,
    pub(super) is_cut: AtomicBool,
    /// Its writes are carried out, but the answers are lost.
    loses_answers: AtomicBool,
    /// When it read a lease.
    pub(super) looks: Mutex<Vec<Instant>>,
}

impl Way {
    pub(super) fn new(world: &Arc<World>, leases: &Leases) -> Arc<Self> {
        Arc::new(Self {
            world: world.clone(),
            leases: leases.clone(),
            is_cut: AtomicBool::new(false),
            loses_answers: AtomicBool::new(false),
            looks: Mutex::default(),
        })
    }
}

#[async_trait]
impl LeaseTable for Way {
    async fn lease(&self, name: &ConsumerName) -> Result<Option<Lease>, StoreError> {
        if self.is_cut.load(Ordering::Relaxed) {
            return Err(StoreError::Overloaded);
        }
        self.looks.lock().unwrap().push(Instant::now());
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

    async fn fence(&self, name: &ConsumerName, fence: Fence) -> Result<(), StoreError> {
        if self.is_cut.load(Ordering::Relaxed) {
            return Err(StoreError::Overloaded);
        }
        self.world.fence(name, fence);
        Ok(())
    }
}

/// A process's access to the table, on which its writes may be held up.
struct Suspended {
    world: Arc<World>,
    holds: watch::Sender<bool>,
    /// Number of writes held up.
    held: AtomicUsize,
}

impl Suspended {
    /// Holds up nothing yet.
    fn new(world: &Arc<World>) -> Arc<Self> {
        Arc::new(Self { world: world.clone(), holds: watch::Sender::new(false), held: AtomicUsize::new(0) })
    }
}

#[async_trait]
impl ConsumerTable for Suspended {
    async fn consumers(&self) -> Result<Vec<ListedConsumer>, StoreError> {
        self.world.consumers().await
    }

    async fn consumer(&self, name: &ConsumerName) -> Result<Option<ConsumerState>, StoreError> {
        self.world.consumer(name).await
    }

    async fn progress(
        &self,
        name: &ConsumerName,
        rooms: &[RoomId],
    ) -> Result<Vec<(RoomId, RoomProgress)>, StoreError> {
        self.world.progress(name, rooms).await
    }

    async fn rooms(
        &self,
        name: &ConsumerName,
        wanted: Wanted,
        after: Option<&RoomId>,
        limit: usize,
    ) -> Result<RoomPage, StoreError> {
        self.world.rooms(name, wanted, after, limit).await
    }

    async fn write_consumer(&self, name: &ConsumerName, write: ConsumerWrite) -> Result<(), StoreError> {
        let mut holds = self.holds.subscribe();
        if *holds.borrow() {
            self.held.fetch_add(1, Ordering::Relaxed);
            let _ = holds.wait_for(|holds| !holds).await;
        }
        self.world.write_consumer(name, write).await
    }

    async fn remove_consumer(&self, name: &ConsumerName) -> Result<Option<Removed>, StoreError> {
        self.world.remove_consumer(name).await
    }
}

pub(super) struct Worker {
    _reader: Reader,
    pub(super) leased: Leased,
    way: Arc<Way>,
    end: CancellationToken,
}

pub(super) fn worker(world: &Arc<World>, leases: &Leases, owner: &str) -> Worker {
    worker_of(world, world.parts(), leases, owner)
}

fn worker_of(world: &Arc<World>, parts: Parts, leases: &Leases, owner: &str) -> Worker {
    worker_with(world, parts, leases, owner, options(Start::Beginning))
}

fn worker_with(world: &Arc<World>, parts: Parts, leases: &Leases, owner: &str, options: Options) -> Worker {
    let way = Way::new(world, leases);
    let leasing = Leasing { table: way.clone(), owner: owner.to_owned(), times: LeaseTimes::PRODUCTION };
    let end = CancellationToken::new();
    let reader = Reader::start(leasing.clone(), end.clone());
    let leased = Leased::start(leasing, &reader, parts, options, end.clone());
    Worker { _reader: reader, leased, way, end }
}

pub(super) async fn wait(is_so: impl Fn() -> bool) -> Duration {
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

/// Whether all of the log was delivered, first occurrences in order.
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
        // Like a crash: the lease is not released.
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
    // There is no other process: it keeps the lease, but stops in time nevertheless.
    sleep(LeaseTimes::PRODUCTION.safe + LeaseTimes::PRODUCTION.every).await;
    let taken = world.taken().len();
    world.append(&room(1), 1);
    sleep(LONG).await;
    assert_eq!(world.taken().len(), taken);
    let second = worker(&world, &leases, "b");
    wait(|| is_complete(&world)).await;
    assert!(second.leased.running().is_some());
    // It finds that it has lost the lease, and waits for it.
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

/// Writes started before a process was suspended arrive after another process has acquired the lease.
#[tokio::test(start_paused = true)]
async fn a_suspended_worker_changes_nothing_of_its_successor() {
    for seed in 20..24 {
        let (world, leases) = (World::new(seed, seed % 2 == 0), Leases::default());
        let table = Suspended::new(&world);
        let first = worker_of(&world, Parts { table: table.clone(), ..world.parts() }, &leases, "a");
        wait(|| first.leased.running().is_some()).await;
        world.append(&room(1), 2);
        world.arrive(true);
        wait(|| is_complete(&world)).await;
        table.holds.send_replace(true);
        world.append(&room(1), 2);
        world.append(&room(2), 1);
        world.arrive(true);
        wait(|| table.held.load(Ordering::Relaxed) > 0).await;
        first.way.is_cut.store(true, Ordering::Relaxed);
        let second = worker(&world, &leases, "b");
        wait(|| second.leased.running().is_some()).await;
        for number in 0..5 {
            world.append(&room(number % 3), 2);
            world.arrive(true);
            wait(|| is_complete(&world)).await;
        }
        // Once everything is written, nothing changes any more.
        sleep(Duration::from_secs(30)).await;
        let kept = world.kept();
        table.holds.send_replace(false);
        sleep(Duration::from_secs(30)).await;
        assert_eq!(world.kept(), kept, "seed {seed}");
        drop(second);
        let third = worker(&world, &leases, "c");
        world.append(&room(2), 1);
        world.arrive(true);
        wait(|| is_complete(&world)).await;
        assert!(third.leased.running().is_some());
    }
}

/// Leases are judged by monotonic clocks.
#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_moves_no_lease() {
    let (world, leases) = (World::new(31, false), Leases::default());
    let workers = ["a", "b"].map(|owner| worker(&world, &leases, owner));
    wait(|| running(&workers).len() == 1).await;
    let owner = running(&workers)[0];
    for ahead in [24 * 3_600_000, -24 * 3_600_000, 0] {
        *lock(&world.clock_ahead) = ahead;
        world.append(&room(1), 2);
        wait(|| is_complete(&world)).await;
        sleep(LONG).await;
        assert_eq!(running(&workers), [owner]);
    }
}

/// An endpoint that wants no more events: only the start of a process, or an operator, has it asked again.
#[tokio::test(start_paused = true)]
async fn a_disabled_consumer_stays_disabled_wherever_its_lease_moves() {
    let (world, leases) = (World::new(34, false), Leases::default());
    *lock(&world.store_failing) = 0;
    let mut workers: Vec<Worker> = ["a", "b"].map(|owner| worker(&world, &leases, owner)).into();
    wait(|| running(&workers).len() == 1).await;
    *lock(&world.gone) = Some(0);
    world.append(&room(1), 1);
    let is_disabled = || world.kept().0.iter().any(|state| !state.disabled.is_empty());
    wait(is_disabled).await;
    let said = *lock(&world.gone);
    // The store is slow for a moment: another one takes over, and back.
    for _ in 0..2 {
        let owner = running(&workers)[0];
        workers[owner].way.is_cut.store(true, Ordering::Relaxed);
        wait(|| running(&workers).contains(&(1 - owner))).await;
        workers[owner].way.is_cut.store(false, Ordering::Relaxed);
        wait(|| running(&workers) == [1 - owner]).await;
        sleep(Duration::from_secs(30)).await;
        assert!(is_disabled());
        assert_eq!(*lock(&world.gone), said, "it was asked again");
    }
    *lock(&world.gone) = None;
    workers.clear();
    let _started = worker(&world, &leases, "c");
    wait(|| is_complete(&world)).await;
    assert!(!is_disabled());
}

/// Longer than a lease lasts without renewals.
const SLOW_WRITES: Duration = Duration::from_secs(20);

/// A process that stops while the store is slow still writes its progress: nobody else begins before it has ended.
#[tokio::test(start_paused = true)]
async fn a_worker_that_takes_long_to_stop_keeps_its_lease() {
    let (world, leases) = (World::new(33, false), Leases::default());
    let table = Suspended::new(&world);
    let first = worker_of(&world, Parts { table: table.clone(), ..world.parts() }, &leases, "a");
    wait(|| first.leased.running().is_some()).await;
    let second = worker(&world, &leases, "b");
    table.holds.send_replace(true);
    world.append(&room(1), 2);
    wait(|| table.held.load(Ordering::Relaxed) > 0).await;
    first.end.cancel();
    let begun = Instant::now();
    while begun.elapsed() < SLOW_WRITES {
        sleep(Duration::from_millis(100)).await;
        assert!(second.leased.running().is_none(), "after {:?}", begun.elapsed());
    }
    table.holds.send_replace(false);
    timeout(LONG, first.leased.ended()).await.unwrap();
    let taken = wait(|| second.leased.running().is_some()).await;
    assert!(taken <= LeaseTimes::PRODUCTION.every, "after {taken:?}");
    wait(|| is_complete(&world)).await;
}
