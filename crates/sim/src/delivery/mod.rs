//! A consumer of the change feed beside the nodes. Its feed is out of order and is trimmed, its store fails and loses
//! answers, so does its sink, and its process is killed.

mod feed;
mod sink;
mod table;

use std::sync::Arc;
use std::time::Duration;

use parlance_core::ClockMonitor;
use parlance_runtime::BoundedClock;
use parlance_store::consumers::ConsumerName;
use parlance_stream::consumer::Limits;
use parlance_stream::log::StoreLog;
use parlance_stream::{Consumer, Options, Parts, Start};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use self::feed::DisorderlyFeed;
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

/// Small ones, so that few rooms reach every bound.
const LIMITS: Limits = Limits {
    max_rooms: 3,
    max_in_flight: 2,
    hold_ms: 1_500,
    backoff_ms: 50,
    max_backoff_ms: 1_000,
    park_after: 1_000,
    away_after: 4,
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
    /// Cancelled when nothing fails any more.
    calm: CancellationToken,
}

impl Delivery {
    /// Starts it with the first event of every room.
    pub(crate) fn start(memory: &MemoryStore, trace: &Arc<Trace>, seed: u64) -> Arc<Self> {
        let weather = Arc::new(Weather::new(Dice::new(seed ^ 0x0de1_15e4), trace.clone()));
        weather.set(FAULTS);
        let delivery = Arc::new(Self {
            memory: memory.clone(),
            feed: Arc::new(DisorderlyFeed::new(memory.clone(), weather.clone())),
            sink: Arc::new(LossySink::new(weather.clone())),
            weather,
            calm: CancellationToken::new(),
        });
        tokio::spawn(delivery.clone().run());
        delivery
    }

    async fn run(self: Arc<Self>) {
        loop {
            let fence = Arc::new(Fence::new());
            if let Ok(_consumer) =
                Consumer::start(self.parts(&fence), options(), CancellationToken::new()).await
            {
                let lives = self.weather.dice().millis(300, 6_000);
                self.weather.trace().line(format_args!("events are delivered for {lives:?}"));
                tokio::select! {
                    biased;
                    () = sleep(lives) => {}
                    // Then it is left alone.
                    () = self.calm.cancelled() => std::future::pending().await,
                }
            }
            fence.crash();
            sleep(self.weather.dice().millis(10, 1_500)).await;
        }
    }

    fn parts(&self, fence: &Arc<Fence>) -> Parts {
        let clock = SimulatedClock::new(self.weather.trace().start(), 0);
        let monitor = Arc::new(ClockMonitor::new(Arc::new(clock)));
        let store = NodeStore::new(self.memory.clone(), fence.clone(), self.weather.clone(), monitor.clone());
        parlance_planted::events(Parts {
            feed: self.feed.clone(),
            table: Arc::new(LossyTable::new(self.memory.clone(), self.weather.clone())),
            log: Arc::new(StoreLog(Arc::new(store))),
            sink: self.sink.clone(),
            clock: Arc::new(BoundedClock::new(monitor)),
        })
    }

    /// Ends all faults, waits for the rest, and says what its sink lacks.
    pub(crate) async fn finish(&self) -> Vec<String> {
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
            let mut last = 0;
            for seq in taken.iter().filter(|(of, _)| of == room).map(|(_, key)| key.seq) {
                if seq > last + 1 {
                    violations.push(format!("events of {room} left out of order: {seq} after {last}"));
                }
                last = last.max(seq);
            }
            if last < row.head() {
                violations.push(format!("events of {room} left up to {last} of {}", row.head()));
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
