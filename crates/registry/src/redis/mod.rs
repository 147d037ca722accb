//! The registry of several nodes, in Redis.
//!
//! A node holds a lease, is registered at each of its users, and subscribes to its own channel and to one for each
//! large room that it follows. Every way to lose messages leads to the same recovery in `recovery`: a new link,
//! everything subscribed and registered again, the node's own heartbeat received, and then [`Notice::Missed`].

mod beat;
mod cause;
mod eviction;
mod frame;
mod holders;
mod inbox;
mod keys;
mod lease;
mod limits;
mod link;
mod nodes;
mod notices;
mod options;
mod rates;
mod record;
mod recovery;
mod registrations;
mod script;
mod shared;
mod sweep;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use async_trait::async_trait;
use bytes::Bytes;
use parlance_core::{RoomId, UserId};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::numbering::Arrivals;
use crate::{Health, NodeId, Notice, Registry, RegistryError, To};
use holders::Holders;
use keys::Keys;
use nodes::Nodes;
use notices::Notices;
pub use options::{ConnectError, Difference, RedisOptions, TokenKeys};
use record::FleetRecord;
use script::Scripts;
use shared::Shared;

/// The registry of several nodes, in Redis 7 or a compatible server: a single one, Sentinel or a cluster.
///
/// Dropping it without [`Registry::close`] has the effect of a killed process.
#[derive(Debug)]
pub struct Redis {
    registry: Arc<Shared>,
    keeper: Mutex<Option<JoinHandle<()>>>,
}

impl Redis {
    /// Creates the registry of `node`. If Redis is unreachable, it keeps trying, and is [`Health::Away`] until then.
    ///
    /// # Errors
    /// The settings are invalid, or differ from those of the other nodes.
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
            users: Holders::verifying(),
            rooms: Holders::new(),
            nodes: Nodes::new(node.clone(), options.lease),
            ended: watch::Sender::new(Vec::new()),
            leases_lost: AtomicU32::new(0),
            held_at: AtomicU64::new(0),
            holds_prefix: AtomicBool::new(false),
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
        // The task only ends before its first attempt together with its runtime.
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

fn unavailable(error: fred::error::Error) -> RegistryError {
    tracing::debug!(%error, "redis command failed");
    RegistryError::Unavailable
}

#[async_trait]
impl Registry for Redis {
    fn node(&self) -> &NodeId {
        &self.registry.node
    }

    async fn connect(&self, user: &UserId) -> Result<bool, RegistryError> {
        let registry = &self.registry;
        let (first, change) = registry.users.acquire(user);
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

    async fn send_to(&self, node: &NodeId, payload: Bytes) -> Result<(), RegistryError> {
        let registry = &self.registry;
        let channel = registry.keys.node_channel(node);
        registry.send(&*registry.link()?, vec![channel], &payload).await.map_err(unavailable)
    }

    fn report_unpublished(&self) {
        self.registry.sent().report_unpublished();
    }

    async fn follow(&self, room: &RoomId) -> Result<(), RegistryError> {
        let (_, change) = self.registry.rooms.acquire(room);
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
            // It can only have panicked, which was logged.
            let _ = keeper.await;
        }
    }
}
