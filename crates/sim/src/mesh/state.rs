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

/// The registry's contents, and each node's side of it.
#[derive(Default)]
pub(super) struct State {
    pub(super) nodes: BTreeMap<NodeId, Slot>,
    /// The time until which each node counts as alive.
    pub(super) leases: BTreeMap<NodeId, Instant>,
    /// Nodes that deregistered.
    pub(super) left: BTreeSet<NodeId>,
    pub(super) users: BTreeMap<UserId, BTreeSet<NodeId>>,
    /// The subscribers of each room.
    pub(super) rooms: BTreeMap<RoomId, BTreeSet<NodeId>>,
}

/// A payload with its number in the channel; without one it comes from another fleet.
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
    /// Numbers of published and received messages.
    pub(super) sent: Sent,
    pub(super) arrivals: Arrivals,
    /// Messages in flight, by sender and channel, in order.
    pub(super) arriving: BTreeMap<(NodeId, String), VecDeque<Payload>>,
    /// The delay of its commands.
    pub(super) stall: Duration,
    /// A registration took effect late or was gone: reported with the next heartbeat.
    pub(super) missed: bool,
    /// Heartbeats until registrations are refreshed.
    pub(super) refresh_in: u32,
    /// Other nodes, and when each was last seen alive.
    pub(super) known: BTreeMap<NodeId, Instant>,
    /// Everything is set up, as far as the node knows.
    pub(super) connected: bool,
    pub(super) cut: bool,
    /// Messages were lost, or will be: the next heartbeat starts again.
    pub(super) must_recover: bool,
    pub(super) closed: bool,
}

impl Slot {
    /// Whether commands of this node are answered.
    pub(super) fn is_reachable(&self) -> bool {
        self.connected && !self.cut && !self.closed
    }
}

impl State {
    pub(super) fn holds_lease(&self, node: &NodeId) -> bool {
        self.leases.get(node).is_some_and(|until| *until > Instant::now())
    }

    /// Registrations under an ended lease are worthless.
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
