//! Several consumers in several processes: all of them run in one, which reads the feed once for all.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parlance_store::consumers::ConsumerName;
use parlance_stream::consumer::{Options, Start};
use parlance_stream::leased::{LeaseTimes, Leased, Leasing, Reader};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::leases::{Leases, REPLACED_WITHIN, Way, wait, worker};
use crate::runs::options;
use crate::world::{World, lock, room};

const ALL: [&str; 3] = ["audit", "billing", "search"];

/// Long enough for hundreds of looks at a lease, in virtual time.
const LONG: Duration = Duration::from_secs(600);

/// A process with some consumers.
struct Process {
    consumers: Vec<Leased>,
    reader: Reader,
    way: Arc<Way>,
    end: CancellationToken,
}

impl Process {
    fn start(world: &Arc<World>, leases: &Leases, owner: &str, consumers: &[&str]) -> Self {
        Self::with(world, leases, owner, consumers, "test")
    }

    fn with(world: &Arc<World>, leases: &Leases, owner: &str, consumers: &[&str], target: &str) -> Self {
        let (way, end) = (Way::new(world, leases), CancellationToken::new());
        let leasing = Leasing { table: way.clone(), owner: owner.to_owned(), times: LeaseTimes::PRODUCTION };
        let reader = Reader::start(leasing.clone(), end.clone());
        let consumers = consumers.iter().map(|name| {
            let name = ConsumerName::parse(name).unwrap();
            let options = Options { name, target: target.to_owned(), ..options(Start::Beginning) };
            Leased::start(leasing.clone(), &reader, world.parts(), options, end.clone())
        });
        Self { consumers: consumers.collect(), reader, way, end }
    }

    /// How many consumers run here.
    fn runs(&self) -> usize {
        self.consumers.iter().filter(|consumer| consumer.running().is_some()).count()
    }

    /// Stops it as a signal does.
    async fn stop(self) {
        self.end.cancel();
        for consumer in &self.consumers {
            consumer.ended().await;
        }
        self.reader.ended().await;
    }
}

/// Waits until all consumers run; never in more than `most` processes.
async fn all_run(processes: &[Process], most: usize) -> Duration {
    wait(|| {
        let reading = processes.iter().filter(|process| process.runs() > 0).count();
        assert!(reading <= most, "{reading} processes read");
        processes.iter().map(Process::runs).sum::<usize>() == ALL.len()
    })
    .await
}

fn the_reader(processes: &[Process]) -> usize {
    processes.iter().position(|process| process.runs() > 0).unwrap()
}

#[tokio::test(start_paused = true)]
async fn one_process_reads_for_all_consumers_and_a_killed_one_is_replaced() {
    for seed in 81..84 {
        let (world, leases) = (World::new(seed, false), Leases::default());
        *lock(&world.store_failing) = 0;
        let start = |number: u64| Process::start(&world, &leases, &format!("process-{number}"), &ALL);
        let mut processes: Vec<Process> = (0..4).map(start).collect();
        all_run(&processes, 1).await;
        for number in 4..8 {
            let reader = processes.remove(the_reader(&processes));
            if number % 2 == 0 {
                drop(reader);
            } else {
                timeout(LONG, reader.stop()).await.unwrap();
            }
            let taken = all_run(&processes, 1).await;
            assert!(taken < REPLACED_WITHIN, "seed {seed}, after {taken:?}");
            processes.push(start(number));
        }
        sleep(LONG / 10).await;
        all_run(&processes, 1).await;
    }
}

/// Its lease lapses like that of a process that died; what it cannot do, another one does.
#[tokio::test(start_paused = true)]
async fn a_consumer_that_the_reader_does_not_have_runs_elsewhere() {
    let (world, leases) = (World::new(92, false), Leases::default());
    *lock(&world.store_failing) = 0;
    let start = |owner: &str, consumers: &[&str]| Process::start(&world, &leases, owner, consumers);
    let mut processes = vec![start("a", &ALL[..1]), start("b", &ALL[1..]), start("c", &ALL)];
    all_run(&processes, 3).await;
    for owner in ["d", "e", "f"] {
        drop(processes.remove(the_reader(&processes)));
        let taken = all_run(&processes, 3).await;
        assert!(taken < REPLACED_WITHIN, "after {taken:?}");
        processes.push(start(owner, &ALL));
    }
}

/// Processes that were started together do not contest leases at the same moments ever after.
#[tokio::test(start_paused = true)]
async fn processes_do_not_look_at_leases_in_step() {
    let (world, leases) = (World::new(93, false), Leases::default());
    *lock(&world.store_failing) = 0;
    let start = |number: u64| Process::start(&world, &leases, &format!("process-{number}"), &ALL);
    let processes: Vec<Process> = (0..3).map(start).collect();
    all_run(&processes, 1).await;
    processes.iter().for_each(|process| process.way.looks.lock().unwrap().clear());
    sleep(LONG).await;
    let looks: Vec<Vec<Instant>> =
        processes.iter().map(|process| process.way.looks.lock().unwrap().clone()).collect();
    let waiting: Vec<&Vec<Instant>> = looks.iter().filter(|looks| looks.len() > 1_000).collect();
    assert_eq!(waiting.len(), 2, "the reader need not look");
    let together = waiting[0].iter().filter(|at| waiting[1].contains(at)).count();
    assert!(together < waiting[0].len() / 10, "{together} of {}", waiting[0].len());
}

/// A process whose consumer is another one of the same name is the first to run, and takes free consumers before others.
#[tokio::test(start_paused = true)]
async fn a_process_that_may_not_run_a_consumer_leaves_it_to_others() {
    let (world, leases) = (World::new(91, false), Leases::default());
    *lock(&world.store_failing) = 0;
    let first = Process::start(&world, &leases, "first", &ALL);
    all_run(std::slice::from_ref(&first), 1).await;
    first.stop().await;
    let wrong = Process::with(&world, &leases, "wrong", &ALL, "another topic");
    wait(|| wrong.consumers.iter().all(|consumer| consumer.name_in_use().is_some())).await;
    let right = Process::start(&world, &leases, "right", &ALL);
    let begun = Instant::now();
    wait(|| right.runs() == ALL.len()).await;
    assert!(begun.elapsed() < REPLACED_WITHIN, "after {:?}", begun.elapsed());
    sleep(LONG).await;
    assert_eq!((right.runs(), wrong.runs()), (ALL.len(), 0));
    // Its consumers are free again, but still not its own.
    right.stop().await;
    sleep(LONG).await;
    assert_eq!(wrong.runs(), 0);
    let looks = wrong.way.looks.lock().unwrap().len();
    assert!(looks < 4_000, "{looks} looks");
}

/// A feed of many shards, the end of which takes longer to find than a lease lasts.
#[tokio::test(start_paused = true)]
async fn a_new_consumer_that_takes_long_to_start_keeps_its_lease() {
    let (world, leases) = (World::new(57, false), Leases::default());
    *lock(&world.store_failing) = 0;
    *lock(&world.tip_takes) = Duration::from_secs(20);
    let workers = ["a", "b"].map(|owner| worker(&world, &leases, owner));
    let running = || workers.iter().filter(|worker| worker.leased.running().is_some()).count();
    let taken = wait(|| running() == 1).await;
    assert!(taken < Duration::from_secs(30), "after {taken:?}");
    world.append(&room(1), 2);
    wait(|| world.check(true, &BTreeMap::new()).is_ok()).await;
    assert_eq!(running(), 1);
}
