//! One registry for all nodes, as Redis would be: what is in it, who listens to it, and
//! the ways in which it forgets, goes deaf and is cut off.
//!
//! It loses what it may, and no more. A payload is lost without a word only if
//! - its receiver's link is cut or was lost: `must_recover` is set then, and the receiver
//!   says [`Notice::Missed`] at its next heartbeat that gets through;
//! - its receiver's lease, or what it had registered, is gone: the heartbeat notices that
//!   the lease is gone and does the same;
//! - its publisher got an error, or died.

mod beat;
mod forge;
mod handle;
mod state;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use parlance_core::UserId;
use parlance_registry::{Health, NodeId, Notice};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};

pub use self::handle::NodeRegistry;
use self::state::{Slot, State};
use crate::dice::lock;
use crate::fence::Fence;
use crate::weather::Weather;

/// How long a node is taken for alive after its last heartbeat.
pub const LEASE: Duration = Duration::from_millis(4_000);

/// How often a node renews it.
pub const HEARTBEAT: Duration = Duration::from_millis(1_000);

/// Notices that wait for one node.
const NOTICES: usize = 4_096;

/// See the [module](self) documentation.
pub struct Mesh {
    state: Mutex<State>,
    weather: Arc<Weather>,
}

impl Mesh {
    /// An empty registry.
    pub fn new(weather: Arc<Weather>) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), weather })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Takes a new node in, with a lease, and keeps it until it dies or is closed.
    pub fn join(self: &Arc<Self>, node: NodeId, fence: Arc<Fence>) -> Arc<NodeRegistry> {
        let (notices, taken) = mpsc::channel(NOTICES);
        let slot = Slot {
            notices,
            taken: Some(taken),
            health: watch::Sender::new(Health::Connected),
            fence: fence.clone(),
            sessions: BTreeMap::new(),
            follows: BTreeMap::new(),
            known: BTreeMap::new(),
            connected: true,
            cut: false,
            must_recover: false,
            closed: false,
        };
        let mut state = self.state();
        state.nodes.insert(node.clone(), slot);
        state.leases.insert(node.clone(), Instant::now() + LEASE);
        drop(state);
        tokio::spawn(beat::keep(self.clone(), node.clone()));
        Arc::new(NodeRegistry::new(self.clone(), node, fence))
    }

    /// Cuts a node off, or lets it back.
    pub fn cut(&self, node: &NodeId, cut: bool) {
        let mut state = self.state();
        let Some(slot) = state.nodes.get_mut(node) else { return };
        slot.cut = cut;
        // What was on its way is lost, and so are the subscriptions.
        slot.must_recover = true;
        self.weather.trouble(Some(node), HEARTBEAT);
        self.weather.trace().line(format_args!("{node} {}", if cut { "is cut off" } else { "is let back" }));
    }

    /// Loses everything that nodes have put here. Their links stay.
    pub fn wipe(&self) {
        let mut state = self.state();
        state.users.clear();
        state.leases.clear();
        self.weather.trouble(None, HEARTBEAT);
        self.weather.trace().line(format_args!("the registry is wiped"));
    }

    /// Takes a node's lease away, and what hangs on it.
    pub fn expire(&self, node: &NodeId) {
        let mut state = self.state();
        state.end_lease(node);
        self.weather.trouble(Some(node), HEARTBEAT);
        self.weather.trace().line(format_args!("{node} loses its lease"));
    }

    /// The link of a node breaks: what is published to it until it notices is lost.
    pub fn deafen(&self, node: &NodeId) {
        let mut state = self.state();
        let Some(slot) = state.nodes.get_mut(node) else { return };
        slot.must_recover = true;
        self.weather.trouble(Some(node), HEARTBEAT);
        self.weather.trace().line(format_args!("{node} goes deaf"));
    }

    /// Whether `user` is registered at `node`, so that others find them there.
    pub fn is_registered(&self, user: &UserId, node: &NodeId) -> bool {
        let state = self.state();
        state.holds_lease(node) && state.users.get(user).is_some_and(|nodes| nodes.contains(node))
    }

    /// Publishes to every node, as one does that is not simulated.
    pub fn publish_to_all(self: &Arc<Self>, payload: &Bytes) {
        let nodes: Vec<NodeId> = self.state().nodes.keys().cloned().collect();
        nodes.into_iter().for_each(|node| self.send(node, payload));
    }

    /// Brings `payload` to `node`, in its own time.
    fn send(self: &Arc<Self>, node: NodeId, payload: &Bytes) {
        let faults = self.weather.faults();
        let dice = self.weather.dice();
        let copies = if dice.chance(faults.payload_twice) { 2 } else { 1 };
        let forged = dice.chance(faults.payload_forged).then(|| forge::successor(payload, dice)).flatten();
        for payload in std::iter::repeat_n(payload.clone(), copies).chain(forged) {
            let (mesh, node) = (self.clone(), node.clone());
            let latency = self.weather.payload_latency();
            tokio::spawn(async move {
                sleep(latency).await;
                let fence = mesh.state().nodes.get(&node).map(|slot| slot.fence.clone());
                let Some(fence) = fence else { return };
                fence.pass().await;
                mesh.arrive(&node, payload);
            });
        }
    }

    fn arrive(&self, node: &NodeId, payload: Bytes) {
        let lost = self.weather.dice().chance(self.weather.faults().payload_lost);
        let mut state = self.state();
        let Some(slot) = state.nodes.get_mut(node) else { return };
        if slot.cut || slot.must_recover || lost {
            slot.must_recover = true;
            self.weather.trouble(Some(node), HEARTBEAT);
            self.weather.trace().line(format_args!("a payload to {node} is lost"));
        } else if slot.notices.try_send(Notice::Payload(payload)).is_err() {
            slot.must_recover = true;
        }
    }

    /// The nodes that something for `users` and followers of `room` goes to.
    fn targets(
        &self,
        users: &[UserId],
        room: Option<&parlance_core::RoomId>,
        from: &NodeId,
    ) -> BTreeSet<NodeId> {
        let state = self.state();
        let mut targets: BTreeSet<NodeId> = BTreeSet::new();
        for nodes in users.iter().filter_map(|user| state.users.get(user)) {
            targets.extend(nodes.iter().filter(|node| state.holds_lease(node)).cloned());
        }
        if let Some(followers) = room.and_then(|room| state.rooms.get(room)) {
            targets.extend(followers.iter().cloned());
        }
        targets.remove(from);
        targets
    }
}
