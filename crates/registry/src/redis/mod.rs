//! The registry of many nodes, in Redis.
//!
//! A node holds a lease, is named at each of its users, and listens to a channel of its own
//! and to one for each large room that it follows. Everything that can make messages go
//! missing leads to the one recovery in `recovery`: a new link, everything subscribed and
//! registered again, the own heartbeat heard, and then [`Notice::Missed`].

mod beat;
mod counts;
mod eviction;
mod frame;
mod inbox;
mod keys;
mod lease;
mod link;
mod nodes;
mod notices;
mod options;
mod record;
mod recovery;
mod script;
mod sweep;
mod tell;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use async_trait::async_trait;
use bytes::Bytes;
use fred::interfaces::FredResult;
use fred::types::config::Config;
use parlance_core::{RoomId, UserId};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::numbering::{Arrivals, Sent};
use crate::{Health, NodeId, Notice, Registry, RegistryError, To};
use counts::{Change, Counts};
use keys::Keys;
use link::Link;
use nodes::Nodes;
use notices::Notices;
pub use options::{ConnectError, Difference, RedisOptions};
use record::FleetRecord;
use script::Scripts;

/// The registry of many nodes, in Redis 7 or what speaks like it: one server, Sentinel or
/// a cluster.
///
/// Dropped without [`Registry::close`] it stops like a process that is killed.
#[derive(Debug)]
pub struct Redis {
    registry: Arc<Shared>,
    keeper: Mutex<Option<JoinHandle<()>>>,
}

/// What calls and the task that keeps the link share.
#[derive(Debug)]
struct Shared {
    node: NodeId,
    options: RedisOptions,
    servers: Config,
    keys: Keys,
    fleet: FleetRecord,
    scripts: Scripts,
    users: Counts<UserId>,
    rooms: Counts<RoomId>,
    nodes: Nodes,
    /// Leases that ended and have to be cleared up after.
    ended: watch::Sender<Vec<String>>,
    /// How many leases this node has lost.
    leases_lost: AtomicU32,
    /// One of them while others could clear up after it: reported once connected again.
    swept: AtomicBool,
    /// The last heartbeat sent.
    beats: AtomicU64,
    notices: Arc<Notices>,
    health: watch::Sender<Health>,
    warning: watch::Sender<Option<String>>,
    /// A registration came into effect late, or was gone: reported with the next heartbeat.
    missed: AtomicBool,
    /// Numbers of what was published. Locked for a few map accesses, once per publication.
    sent: Mutex<Sent>,
    /// Numbers of what has arrived. Only one task at a time locks it.
    arrivals: Mutex<Arrivals>,
    /// While connected.
    link: RwLock<Option<Arc<Link>>>,
    closing: CancellationToken,
}

impl Redis {
    /// The registry of `node`. If Redis cannot be reached, it goes on trying, and is
    /// [`Health::Away`] until then.
    ///
    /// # Errors
    /// The settings are wrong, or not those of the other nodes.
    pub async fn connect(node: NodeId, options: RedisOptions) -> Result<Arc<Self>, ConnectError> {
        options.check()?;
        let servers = options.servers()?;
        let keys = Keys::new(&options, options.shards(&servers));
        let arrivals = Arrivals::new(keys.node_channel(&node), options.patience());
        let registry = Arc::new(Shared {
            fleet: FleetRecord::new(&options, &keys),
            keys,
            sent: Mutex::default(),
            arrivals: Mutex::new(arrivals),
            scripts: Scripts::new(),
            users: Counts::verifying(),
            rooms: Counts::new(),
            nodes: Nodes::new(node.clone(), options.lease),
            ended: watch::Sender::new(Vec::new()),
            leases_lost: AtomicU32::new(0),
            swept: AtomicBool::new(false),
            beats: AtomicU64::new(0),
            notices: Arc::new(Notices::new(options.waiting_notices)),
            health: watch::Sender::new(Health::Away),
            warning: watch::Sender::new(None),
            missed: AtomicBool::new(false),
            link: RwLock::new(None),
            closing: CancellationToken::new(),
            node,
            options,
            servers,
        });
        let (tried, first_try) = oneshot::channel();
        let keeper = tokio::spawn(Arc::clone(&registry).keep(tried));
        let redis = Self { registry, keeper: Mutex::new(Some(keeper)) };
        // The task ends before it has tried only with its runtime.
        first_try.await.unwrap_or(Ok(()))?;
        Ok(Arc::new(redis))
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.lock().unwrap_or_else(PoisonError::into_inner).take() {
            keeper.abort();
            self.registry.disconnect();
        }
    }
}

impl Shared {
    fn link(&self) -> Result<Arc<Link>, RegistryError> {
        let link = self.link.read().unwrap_or_else(PoisonError::into_inner);
        link.clone().ok_or(RegistryError::Unavailable)
    }

    fn sent(&self) -> MutexGuard<'_, Sent> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn arrivals(&self) -> MutexGuard<'_, Arrivals> {
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sender(&self) -> frame::Sender<'_> {
        frame::Sender { node: &self.node, fleet: self.options.fleet, key: &self.options.key }
    }

    /// Publishes `payload` to each of `channels`, numbered. What is given a number and is not sent
    /// leaves a gap, which receivers notice.
    async fn send(&self, link: &Link, channels: Vec<String>, payload: &Bytes) -> FredResult<()> {
        let mut messages = Vec::with_capacity(channels.len());
        {
            let mut sent = self.sent();
            for channel in channels {
                let number = sent.next(&channel);
                let frame = frame::envelope(self.sender(), &channel, number, payload);
                messages.push((channel, frame));
            }
        }
        link.publish(messages).await
    }

    /// Whether this node is subscribed to the channel of a room.
    fn follows(&self, channel: &str) -> bool {
        self.keys.room_of(channel).is_some_and(|room| self.rooms.is_held(&room))
    }

    /// From here on nothing goes through Redis, and nobody waits for it.
    fn disconnect(&self) {
        *self.link.write().unwrap_or_else(PoisonError::into_inner) = None;
        self.set_health(Health::Away);
        self.users.lost();
        self.rooms.lost();
    }

    /// Whether others hold the key too; `false` if nobody had to be asked.
    async fn answered(&self, change: Change) -> Result<bool, RegistryError> {
        match change {
            Change::Settled => Ok(false),
            Change::Told(others) => match tokio::time::timeout(self.options.command_timeout, others).await {
                Ok(Ok(others)) => Ok(others),
                _ => Err(RegistryError::Unavailable),
            },
            Change::Away => Err(RegistryError::Unavailable),
        }
    }

    fn set_health(&self, now: Health) {
        self.health.send_if_modified(|health| std::mem::replace(health, now) != now);
        metrics::gauge!("parlance_registry_connected").set(f64::from(u8::from(now == Health::Connected)));
    }
}

fn unavailable(error: fred::error::Error) -> RegistryError {
    tracing::debug!(%error, "redis did not do it");
    RegistryError::Unavailable
}

#[async_trait]
impl Registry for Redis {
    fn node(&self) -> &NodeId {
        &self.registry.node
    }

    async fn connect(&self, user: &UserId) -> Result<bool, RegistryError> {
        let registry = &self.registry;
        let (first, change) = registry.users.hold(user);
        let others = registry.answered(change).await?;
        Ok(first && !others)
    }

    async fn disconnect(&self, user: &UserId) -> Result<bool, RegistryError> {
        let registry = &self.registry;
        let (last, change) = registry.users.release(user);
        let others = registry.answered(change).await?;
        Ok(last && !others)
    }

    async fn online(&self, users: &[UserId]) -> Result<Vec<bool>, RegistryError> {
        let link = self.registry.link()?;
        let leases = self.registry.lookup(&link, users).await.map_err(unavailable)?;
        let elsewhere = self.registry.any_alive(&link, &leases).await.map_err(unavailable)?;
        Ok(users
            .iter()
            .zip(elsewhere)
            .map(|(user, there)| there || self.registry.users.is_held(user))
            .collect())
    }

    async fn publish(&self, to: To<'_>, payload: Bytes) -> Result<(), RegistryError> {
        let registry = &self.registry;
        let link = registry.link()?;
        let leases = registry.lookup(&link, to.users).await.map_err(unavailable)?;
        let leases: BTreeSet<&str> = leases.iter().flat_map(|leases| lease::split(leases)).collect();
        let nodes: BTreeSet<NodeId> = leases
            .into_iter()
            .filter(|lease| !registry.nodes.has_ended(lease))
            .filter_map(nodes::node_of)
            .filter(|node| *node != registry.node)
            .collect();
        let mut channels: Vec<String> = nodes.iter().map(|node| registry.keys.node_channel(node)).collect();
        channels.extend(to.room.map(|room| registry.keys.room_channel(room)));
        registry.send(&link, channels, &payload).await.map_err(unavailable)
    }

    async fn tell(&self, node: &NodeId, payload: Bytes) -> Result<(), RegistryError> {
        let registry = &self.registry;
        let channel = registry.keys.node_channel(node);
        registry.send(&*registry.link()?, vec![channel], &payload).await.map_err(unavailable)
    }

    fn report_unpublished(&self) {
        self.registry.sent().report_unpublished();
    }

    async fn follow(&self, room: &RoomId) -> Result<(), RegistryError> {
        let (_, change) = self.registry.rooms.hold(room);
        self.registry.answered(change).await.map(drop)
    }

    async fn unfollow(&self, room: &RoomId) {
        // Nobody has to wait for that.
        let _ = self.registry.rooms.release(room);
    }

    fn nodes(&self) -> Vec<NodeId> {
        self.registry.nodes.all()
    }

    fn notices(&self) -> mpsc::Receiver<Notice> {
        self.registry.notices.take().unwrap_or_else(|| mpsc::channel(1).1)
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.registry.health.subscribe()
    }

    fn warning(&self) -> watch::Receiver<Option<String>> {
        self.registry.warning.subscribe()
    }

    async fn close(&self) {
        self.registry.closing.cancel();
        let keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(keeper) = keeper {
            // It can only have panicked, and has said so.
            let _ = keeper.await;
        }
    }
}
