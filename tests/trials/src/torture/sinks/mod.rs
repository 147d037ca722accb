//! Where events leave to during a run: a webhook and a topic. Both fail as the seed has it, and so does the process
//! that delivers to them.

mod check;
mod hook;
mod topic;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use parlance_faults::TcpProxy;
use parlance_faults::dynamodb::Habits;
use parlance_faults::kafka::Broker;
use parlance_testbed::{Cluster, Node, Seeded};
use tempfile::TempDir;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

pub(super) use self::check::Tally;
use self::check::{Heads, is_complete, tally};
use self::hook::{Hook, Mode};
use super::history::RoomHistory;

const TOPIC: &str = "torture";
const PARTITIONS: i32 = 6;

/// Longer than a lease: whoever is paused for this long is a zombie when it goes on.
const ZOMBIE: Duration = Duration::from_secs(13);

/// How long sinks may take once all is healed: a lease expires, waiting rooms are tried again.
const SETTLE: Duration = Duration::from_secs(60);

/// Everything that the service may do to streams.
const HABITS: Habits = Habits { shards: 2, late: 0.2, arrive: 0.3, twice: 0.05, empty: 0.2, expired: 0.02 };

/// A webhook and a topic.
pub(super) struct Sinks {
    folder: TempDir,
    hook: Hook,
    broker: Broker,
    /// Delivers beside the nodes; none where a node has its store to itself.
    worker: Mutex<Option<Node>>,
}

impl Sinks {
    /// Starts the endpoint and the broker.
    pub(super) async fn start() -> Result<Self> {
        let (folder, hook) = (tempfile::tempdir()?, Hook::start().await?);
        let broker = Broker::start_behind_proxy().await.context("cannot start a broker")?;
        let file = |name: &str, text: String| std::fs::write(folder.path().join(name), text);
        file("secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned())?;
        file(
            "webhooks.toml",
            format!(
                "[[webhook]]\nname = 'hook'\nurl = '{}'\nsecret-file = 'secret'\nstart = 'beginning'\n\
                 allow-private-addresses = true\n",
                hook.url()
            ),
        )?;
        file(
            "kafka.toml",
            format!(
                "brokers = '{}'\ntopic = '{TOPIC}'\npartitions = {PARTITIONS}\ncreate-with-replicas = 1\n\
                 start = 'beginning'\n",
                broker.address()
            ),
        )?;
        Ok(Self { folder, hook, broker, worker: Mutex::new(None) })
    }

    /// What the nodes are told.
    pub(super) fn arguments(&self) -> Vec<String> {
        let path = |name: &str| self.folder.path().join(name).to_string_lossy().into_owned();
        ["--webhooks".to_owned(), path("webhooks.toml"), "--kafka".to_owned(), path("kafka.toml")].into()
    }

    /// Starts a worker beside the nodes, and has the streams of the tables split and be late.
    pub(super) async fn join(&self, cluster: &Cluster, seed: u64) -> Result<()> {
        if let Some(shared) = &cluster.shared {
            shared.dynamodb.shards().begin(HABITS, seed);
            *self.worker.lock().await = Some(Box::pin(cluster.start_worker()).await?);
        }
        Ok(())
    }

    /// Makes trouble, one after the other, until it is dropped.
    pub(super) async fn trouble(&self, cluster: &Cluster, seed: u64) -> Result<()> {
        let mut dice = Seeded::new(seed ^ 0x0005_14b5);
        let proxy = self.broker.proxy().context("the broker has a proxy")?;
        loop {
            sleep(Duration::from_millis(1_000 + dice.below(3_000))).await;
            let a_while = Duration::from_millis(500 + dice.below(3_000));
            let shards = cluster.shared.as_ref().map(|shared| shared.dynamodb.shards());
            match dice.below(14) {
                0 => self.hook_is(Mode::Fail, a_while).await,
                1 => self.hook_is(Mode::TakeAndFail, a_while).await,
                2 => self.hook_is(Mode::TakeAndCut, a_while).await,
                3 => self.hook_is(Mode::Hang, a_while).await,
                4 => broker_is(proxy, TcpProxy::blackhole, a_while).await,
                5 => broker_is(proxy, TcpProxy::refuse, a_while).await,
                6 => proxy.cut(),
                7 => self.kill_worker().await?,
                8 => self.pause_worker().await?,
                9..=11 => self.hook_is(Mode::Slow, a_while * 3).await,
                12 => shards.iter().for_each(|shards| shards.split(1 + dice.below(2))),
                // A consumer that has not read yet is behind the horizon: it walks all rooms.
                _ => shards.iter().for_each(parlance_faults::dynamodb::Shards::trim),
            }
        }
    }

    async fn hook_is(&self, mode: Mode, a_while: Duration) {
        self.hook.set(mode);
        sleep(a_while).await;
        self.hook.set(Mode::Accept);
    }

    async fn kill_worker(&self) -> Result<()> {
        if let Some(worker) = &mut *self.worker.lock().await {
            worker.kill().await?;
            worker.start_again().await?;
        }
        Ok(())
    }

    async fn pause_worker(&self) -> Result<()> {
        if let Some(worker) = &*self.worker.lock().await {
            worker.signal("STOP").await?;
            sleep(ZOMBIE).await;
            worker.signal("CONT").await?;
        }
        Ok(())
    }

    /// Everything works again.
    pub(super) async fn heal(&self, cluster: &Cluster) -> Result<()> {
        self.hook.set(Mode::Accept);
        if let Some(proxy) = self.broker.proxy() {
            proxy.pass();
        }
        if let Some(shared) = &cluster.shared {
            shared.dynamodb.shards().begin(Habits { late: 0.0, ..HABITS }, 0);
            shared.dynamodb.shards().arrive();
        }
        if let Some(worker) = &mut *self.worker.lock().await {
            // It may have been killed or paused when trouble ended.
            worker.signal("CONT").await?;
            if worker.expect_alive().is_err() {
                worker.start_again().await?;
            }
        }
        Ok(())
    }

    /// Waits until all events of `rooms` have arrived, and holds what came against the logs.
    pub(super) async fn check(self: Arc<Self>, rooms: &[RoomHistory]) -> Result<Vec<(&'static str, Tally)>> {
        let heads: Heads = rooms.iter().map(|room| (room.id.clone(), room.head)).collect();
        let deadline = Instant::now() + SETTLE;
        while !is_complete(&self.hook.arrivals(), &heads) && Instant::now() < deadline {
            sleep(Duration::from_millis(200)).await;
        }
        let brokers = self.broker.address();
        let of_topic = heads.clone();
        let read = move || {
            topic::read(&brokers, TOPIC, PARTITIONS, SETTLE, |arrivals| is_complete(arrivals, &of_topic))
        };
        let topic = tokio::task::spawn_blocking(read).await??;
        drop(self.worker.lock().await.take());
        Ok(vec![("webhook", tally(&self.hook.arrivals(), &heads)), ("kafka", tally(&topic, &heads))])
    }
}

async fn broker_is(proxy: &TcpProxy, state: impl Fn(&TcpProxy), a_while: Duration) {
    state(proxy);
    sleep(a_while).await;
    proxy.pass();
}
