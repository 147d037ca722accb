use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use bytes::Bytes;
use fred::interfaces::FredResult;
use fred::types::config::Config;
use parlance_core::{RoomId, UserId};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::frame;
use super::holders::{Change, Holders};
use super::keys::Keys;
use super::link::Link;
use super::nodes::Nodes;
use super::notices::Notices;
use super::options::RedisOptions;
use super::record::FleetRecord;
use super::script::Scripts;
use crate::numbering::{Arrivals, Sent};
use crate::{Health, NodeId, RegistryError};

/// State shared by calls and the task that maintains the link.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) node: NodeId,
    pub(super) options: RedisOptions,
    pub(super) servers: Config,
    pub(super) keys: Keys,
    pub(super) fleet: FleetRecord,
    pub(super) scripts: Scripts,
    pub(super) users: Holders<UserId>,
    pub(super) rooms: Holders<RoomId>,
    pub(super) nodes: Nodes,
    /// Ended leases that need cleaning up.
    pub(super) ended: watch::Sender<Vec<String>>,
    /// How many leases this node has lost.
    pub(super) leases_lost: AtomicU32,
    /// When the lease was last seen to be held, by the time of Redis in ms.
    pub(super) held_at: AtomicU64,
    /// Whether the prefix belongs to this fleet as far as this node knows: it has held a lease, and was not refused
    /// since.
    pub(super) holds_prefix: AtomicBool,
    /// A lease ended long enough for others to clean up after it: reported once reconnected.
    pub(super) swept: AtomicBool,
    /// The last heartbeat sent.
    pub(super) beats: AtomicU64,
    pub(super) notices: Arc<Notices>,
    pub(super) health: watch::Sender<Health>,
    pub(super) warning: watch::Sender<Option<String>>,
    /// A registration took effect late, or was gone: reported with the next heartbeat.
    pub(super) missed: AtomicBool,
    /// Numbers of published messages. Locked for a few map accesses, once per publication.
    pub(super) sent: Mutex<Sent>,
    /// Numbers of received messages. Only one task at a time locks it.
    pub(super) arrivals: Mutex<Arrivals>,
    /// Set while connected.
    pub(super) link: RwLock<Option<Arc<Link>>>,
    pub(super) closing: CancellationToken,
}

impl Shared {
    pub(super) fn link(&self) -> Result<Arc<Link>, RegistryError> {
        let link = self.link.read().unwrap_or_else(PoisonError::into_inner);
        link.clone().ok_or(RegistryError::Unavailable)
    }

    pub(super) fn sent(&self) -> MutexGuard<'_, Sent> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn arrivals(&self) -> MutexGuard<'_, Arrivals> {
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn sender(&self) -> frame::Sender<'_> {
        frame::Sender { node: &self.node, fleet: self.options.fleet, key: &self.options.key }
    }

    /// Publishes `payload` to each of `channels`, numbered. A number that is assigned but not sent leaves a gap,
    /// which receivers notice.
    pub(super) async fn send(&self, link: &Link, channels: Vec<String>, payload: &Bytes) -> FredResult<()> {
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
    pub(super) fn follows(&self, channel: &str) -> bool {
        self.keys.room_of(channel).is_some_and(|room| self.rooms.is_held(&room))
    }

    /// From here on nothing goes through Redis, and nobody waits for it.
    pub(super) fn disconnect(&self) {
        *self.link.write().unwrap_or_else(PoisonError::into_inner) = None;
        self.set_health(Health::Away);
        self.users.lost();
        self.rooms.lost();
    }

    /// Whether others hold the key too; `false` if no query was needed.
    pub(super) async fn answered(&self, change: Change) -> Result<bool, RegistryError> {
        match change {
            Change::Settled => Ok(false),
            Change::Sent(others) => match tokio::time::timeout(self.options.command_timeout, others).await {
                Ok(Ok(others)) => Ok(others),
                _ => Err(RegistryError::Unavailable),
            },
            Change::Away => Err(RegistryError::Unavailable),
        }
    }

    pub(super) fn set_health(&self, now: Health) {
        self.health.send_if_modified(|health| std::mem::replace(health, now) != now);
        metrics::gauge!("parlance_registry_connected").set(f64::from(u8::from(now == Health::Connected)));
    }
}
