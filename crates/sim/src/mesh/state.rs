use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parlance_core::{RoomId, UserId};
use parlance_registry::numbering::{Arrivals, Sent};
use parlance_registry::{Health, NodeId, Notice};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::fence::Fence;

/// What is in the registry, and each node's side of it.
#[derive(Default)]
pub(super) struct State {
    pub(super) nodes: BTreeMap<NodeId, Slot>,
    /// Until when each node is taken for alive.
    pub(super) leases: BTreeMap<NodeId, Instant>,
    /// Nodes that said goodbye.
    pub(super) left: BTreeSet<NodeId>,
    pub(super) users: BTreeMap<UserId, BTreeSet<NodeId>>,
    /// Who has subscribed to each room.
    pub(super) rooms: BTreeMap<RoomId, BTreeSet<NodeId>>,
}

/// A payload with its number in the channel; without one it comes from elsewhere.
pub(super) type Payload = (Option<u64>, Bytes);

/// One node's side.
pub(super) struct Slot {
    pub(super) notices: mpsc::Sender<Notice>,
    pub(super) taken: Option<mpsc::Receiver<Notice>>,
    pub(super) health: watch::Sender<Health>,
    pub(super) fence: Arc<Fence>,
    pub(super) sessions: BTreeMap<UserId, u32>,
    /// Users whose registration was confirmed.
    pub(super) confirmed: BTreeSet<UserId>,
    pub(super) follows: BTreeMap<RoomId, u32>,
    /// Numbers of what it has published, and of what has reached it.
    pub(super) sent: Sent,
    pub(super) arrivals: Arrivals,
    /// What is on its way here, by sender and channel: it keeps its order.
    pub(super) arriving: BTreeMap<(NodeId, String), VecDeque<Payload>>,
    /// By how much its commands are delayed.
    pub(super) stall: Duration,
    /// A registration landed late or was gone: reported with the next heartbeat.
    pub(super) missed: bool,
    /// Heartbeats until registrations are refreshed.
    pub(super) refresh_in: u32,
    /// Other nodes, and when each was last seen alive.
    pub(super) known: BTreeMap<NodeId, Instant>,
    /// Everything is in place, as far as the node knows.
    pub(super) connected: bool,
    pub(super) cut: bool,
    /// Something was lost, or will be: the next heartbeat starts anew.
    pub(super) must_recover: bool,
    pub(super) closed: bool,
}

impl Slot {
    /// Whether a command of this node gets an answer.
    pub(super) fn is_reachable(&self) -> bool {
        self.connected && !self.cut && !self.closed
    }
}

impl State {
    pub(super) fn holds_lease(&self, node: &NodeId) -> bool {
        self.leases.get(node).is_some_and(|until| *until > Instant::now())
    }

    /// What was registered under a lease is worth nothing once that has ended.
    pub(super) fn end_lease(&mut self, node: &NodeId) {
        self.leases.remove(node);
        for nodes in self.users.values_mut() {
            nodes.remove(node);
        }
    }

    pub(super) fn register(&mut self, user: &UserId, node: &NodeId) {
        self.users.entry(user.clone()).or_default().insert(node.clone());
    }

    pub(super) fn is_online(&self, user: &UserId) -> bool {
        let nodes = self.users.get(user).into_iter().flatten();
        nodes.into_iter().any(|node| self.holds_lease(node))
    }

    pub(super) fn unsubscribe_all(&mut self, node: &NodeId) {
        for followers in self.rooms.values_mut() {
            followers.remove(node);
        }
    }
}
