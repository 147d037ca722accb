//! A consumer of the change feed beside the nodes. Its feed is out of order and is trimmed, its store fails, loses
//! answers and is restored, its sink fails and refuses events, and its process is killed.

mod feed;
mod restores;
mod sink;
mod table;

use std::sync::Arc;
use std::time::Duration;

use parlance_core::ClockMonitor;
use parlance_runtime::BoundedClock;
use parlance_store::consumers::{ConsumerName, ConsumerTable, EventKey, Wanted};
use parlance_stream::consumer::Limits;
use parlance_stream::log::StoreLog;
use parlance_stream::{Consumer, Options, Parts, Start};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use self::feed::DisorderlyFeed;
use self::restores::{RestoredLog, Restores};
use self::sink::LossySink;
use self::table::LossyTable;
use crate::clock::SimulatedClock;
use crate::dice::Dice;
use crate::fence::Fence;
use crate::store::{MemoryStore, NodeStore};
use crate::trace::Trace;
use crate::weather::{Faults, Weather};

/// How long the rest may take once nothing fails any more.
const SETTLE: Duration = Duration::from_secs(300);

/// How long the process is killed again and again once nothing more is sent: what it forgets now, no later event
/// reveals.
const ENDING: Duration = Duration::from_secs(3);

/// Between two looks of an operator, who retries parked rooms.
const OPERATOR: Duration = Duration::from_secs(1);

/// Restores per thousand ends of the process.
const RESTORED: u64 = 40;

/// Parked rooms that an operator sees at once.
const PARKED: usize = 100;

/// Small ones, so that few rooms reach every bound.
const LIMITS: Limits = Limits {
    max_rooms: 3,
    max_in_flight: 2,
    hold_ms: 1_500,
    backoff_ms: 50,
    max_backoff_ms: 1_000,
    park_after: 1_000,
    away_after: 4,
    away_after_ms: 300,
    max_away_ms: 1_000,
};

/// Faults of its store, apart from those of the nodes.
const FAULTS: Faults = Faults { store_fails: 40, answer_lost: 40, slow: 20, ..Faults::NONE };

/// A process that is killed and started again, and what its sink has.
pub(crate) struct Delivery {
    memory: MemoryStore,
    /// Of its own: the nodes meet the same faults with and without it.
    weather: Arc<Weather>,
    feed: Arc<DisorderlyFeed>,
    sink: Arc<LossySink>,
    restores: Restores,
    /// Cancelled when nothing more is sent.
    ending: CancellationToken,
    /// Cancelled when nothing fails any more.
    calm: CancellationToken,
}

impl Delivery {
    /// Starts it with the first event of every room.
    pub(crate) fn start(memory: &MemoryStore, trace: &Arc<Trace>, seed: u64) -> Arc<Self> {
        let weather = Arc::new(Weather::new(Dice::new(seed ^ 0x0de1_15e4), trace.clone()));
        weather.set(FAULTS);
        let restores = Restores::default();
        let delivery = Arc::new(Self {
            memory: memory.clone(),
            feed: Arc::new(DisorderlyFeed::new(memory.clone(), weather.clone(), restores.clone())),
            sink: Arc::new(LossySink::new(weather.clone())),
            weather,
            restores,
            ending: CancellationToken::new(),
            calm: CancellationToken::new(),
        });
        tokio::spawn(delivery.clone().run());
        delivery
    }

    async fn run(self: Arc<Self>) {
        loop {
            let fence = Arc::new(Fence::new());
            if let Ok(consumer) =
                Consumer::start(self.parts(&fence), options(), CancellationToken::new()).await
            {
                tokio::select! {
                    biased;
                    () = self.live(&consumer) => {}
                    // Then it is left alone.
                    () = self.calm.cancelled() => self.operate(&consumer).await,
                }
            }
            fence.crash();
            let dice = self.weather.dice();
            sleep(dice.millis(10, if self.ending.is_cancelled() { 300 } else { 1_500 })).await;
            if dice.chance(RESTORED) && !self.ending.is_cancelled() {
                self.weather.trace().line(format_args!("the store is restored"));
                self.restores.add();
            }
        }
    }

    /// Lets the process live until it is killed.
    async fn live(&self, consumer: &Consumer) {
        let is_ending = self.ending.is_cancelled();
        let (least, most) = if is_ending { (100, 800) } else { (300, 6_000) };
        let lives = self.weather.dice().millis(least, most);
        self.weather.trace().line(format_args!("events are delivered for {lives:?}"));
        tokio::select! {
            biased;
            () = self.operate(consumer) => {}
            () = sleep(lives) => {}
            () = self.ending.cancelled(), if !is_ending => {}
        }
    }

    /// Retries parked rooms, again and again.
    async fn operate(&self, consumer: &Consumer) {
        loop {
            sleep(OPERATOR).await;
            let parked = self.memory.rooms(consumer.name(), Wanted::Parked, None, PARKED).await;
            for (room, _) in parked.map(|page| page.rooms).unwrap_or_default() {
                // One that fails is retried the next time.
                let _ = consumer.unpark(room, false).await;
            }
        }
    }

    fn parts(&self, fence: &Arc<Fence>) -> Parts {
        let clock = SimulatedClock::new(self.weather.trace().start(), 0);
        let monitor = Arc::new(ClockMonitor::new(Arc::new(clock)));
        let store = NodeStore::new(self.memory.clone(), fence.clone(), self.weather.clone(), monitor.clone());
        parlance_planted::events(Parts {
            feed: self.feed.clone(),
            table: Arc::new(LossyTable::new(self.memory.clone(), self.weather.clone())),
            log: Arc::new(RestoredLog { inner: StoreLog(Arc::new(store)), restores: self.restores.clone() }),
            sink: self.sink.clone(),
            clock: Arc::new(BoundedClock::new(monitor)),
        })
    }

    /// Ends all faults, waits for the rest, and says what its sink lacks.
    pub(crate) async fn finish(&self) -> Vec<String> {
        self.ending.cancel();
        sleep(ENDING).await;
        self.weather.set(Faults::NONE);
        self.feed.calm();
        self.sink.calm();
        self.calm.cancel();
        let deadline = Instant::now() + SETTLE;
        let mut violations = self.violations();
        while !violations.is_empty() && Instant::now() < deadline {
            sleep(Duration::from_millis(200)).await;
            violations = self.violations();
        }
        violations
    }

    /// Each event of each log at least once, and first occurrences in order.
    fn violations(&self) -> Vec<String> {
        let taken = self.sink.taken();
        let tables = self.memory.tables();
        let mut violations = Vec::new();
        for (room, row) in &tables.rooms {
            let mut last = EventKey::default();
            for key in taken.iter().filter(|(of, _)| of == room).map(|(_, key)| *key) {
                if key <= last {
                    continue;
                }
                // After a restore, a room is sent from its first event.
                let next = if key.epoch == last.epoch { last.seq + 1 } else { 1 };
                if key.seq != next {
                    violations.push(format!("events of {room} left out of order: {key:?} after {last:?}"));
                }
                last = key;
            }
            let head = EventKey { epoch: tables.epoch + self.restores.count(), seq: row.head() };
            if last != head {
                violations.push(format!("events of {room} left up to {last:?} of {head:?}"));
            }
        }
        violations
    }
}

fn options() -> Options {
    let name = ConsumerName::parse("simulated");
    let name = name.unwrap_or_else(|| unreachable!("a plain name"));
    Options {
        start: Start::Beginning,
        effect_timeout: Duration::from_millis(800),
        flush_every: Duration::from_millis(200),
        limits: LIMITS,
        ..Options::new(name, "simulated")
    }
}
