//! One registry for all nodes, in place of Redis: its contents, its subscribers, and the ways in which it loses data,
//! loses connections and is cut off.
//!
//! It loses whatever Redis may lose. A payload is lost
//! - silently, at random: its number does not arrive, and the receiver's count shows it;
//! - because its receiver's link is cut or was lost: `must_recover` is set then, and the receiver reports
//!   [`Notice::Missed`] at its next successful heartbeat;
//! - because its receiver's lease, or its registrations, are gone: heartbeats and refreshed registrations notice;
//! - because its publisher got an error, or died.
//!
//! Commands may take seconds: their callers get an error, but they still take effect.

mod beat;
mod forge;
mod handle;
mod join;
mod state;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use parlance_core::{RoomId, UserId};
use parlance_registry::numbering::Patience;
use parlance_registry::{NodeId, Notice};
use tokio::time::sleep;

pub use self::handle::NodeRegistry;
use self::state::{Payload, State};
use crate::dice::lock;
use crate::weather::Weather;

/// How long a node counts as alive after its last heartbeat.
pub const LEASE: Duration = Duration::from_millis(4_000);

/// How often a node renews its lease.
pub const HEARTBEAT: Duration = Duration::from_millis(1_000);

/// The duration of one round of refreshing registrations, in heartbeats.
const REFRESH: u32 = 5;

/// How long missing messages are waited for, in heartbeats.
const PATIENCE: Patience = Patience { silence: 5, foreign: 3 };

fn node_channel(node: &NodeId) -> String {
    format!("node:{node}")
}

fn room_channel(room: &RoomId) -> String {
    format!("room:{room}")
}

fn is_followed(follows: &BTreeMap<RoomId, u32>, channel: &str) -> bool {
    let room = channel.strip_prefix("room:").and_then(|room| RoomId::parse(room).ok());
    room.is_some_and(|room| follows.contains_key(&room))
}

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

    /// Cuts a node off, or reconnects it.
    pub fn cut(&self, node: &NodeId, cut: bool) {
        let mut state = self.state();
        let Some(slot) = state.nodes.get_mut(node) else { return };
        slot.cut = cut;
        // Messages in flight are lost, and so are the subscriptions.
        slot.must_recover = true;
        self.weather.trouble(Some(node), HEARTBEAT);
        self.weather.trace().line(format_args!("{node} {}", if cut { "is cut off" } else { "is let back" }));
    }

    /// Loses all data of all nodes. Their links stay.
    pub fn wipe(&self) {
        let mut state = self.state();
        state.users.clear();
        state.leases.clear();
        self.weather.trouble(None, HEARTBEAT);
        self.weather.trace().line(format_args!("the registry is wiped"));
    }

    /// Ends a node's lease, with everything registered under it.
    pub fn expire(&self, node: &NodeId) {
        let mut state = self.state();
        state.end_lease(node);
        self.weather.trouble(Some(node), HEARTBEAT);
        self.weather.trace().line(format_args!("{node} loses its lease"));
    }

    /// Breaks the link of a node: messages are lost until it notices.
    pub fn deafen(&self, node: &NodeId) {
        let mut state = self.state();
        let Some(slot) = state.nodes.get_mut(node) else { return };
        slot.must_recover = true;
        self.weather.trouble(Some(node), HEARTBEAT);
        self.weather.trace().line(format_args!("{node} goes deaf"));
    }

    /// From now on, commands of a node are delayed by this much.
    pub fn stall(&self, node: &NodeId, stall: Duration) {
        let mut state = self.state();
        let Some(slot) = state.nodes.get_mut(node) else { return };
        slot.stall = stall;
        // Other nodes may forward to it, and it publishes late.
        self.weather.trouble(None, stall + 2 * HEARTBEAT);
        self.weather.trace().line(format_args!("commands of {node} take {stall:?} longer"));
    }

    /// Loses the registrations of one user.
    pub fn forget(&self, user: &UserId) {
        self.state().users.remove(user);
        self.weather.trouble(None, (REFRESH + 1) * HEARTBEAT);
        self.weather.trace().line(format_args!("the registration of {user} is lost"));
    }

    /// Whether `user` is registered at `node`, so that others find them there.
    pub fn is_registered(&self, user: &UserId, node: &NodeId) -> bool {
        let state = self.state();
        state.holds_lease(node) && state.users.get(user).is_some_and(|nodes| nodes.contains(node))
    }

    /// Publishes to every node, as a node outside the simulation.
    pub fn publish_to_all(self: &Arc<Self>, payload: &Bytes) {
        let nodes: Vec<NodeId> = self.state().nodes.keys().cloned().collect();
        for node in nodes {
            let way = (node.clone(), node_channel(&node));
            let latency = self.weather.payload_latency();
            self.deliver(latency, way, node, Some((None, payload.clone())));
        }
    }

    /// Gives `payload` the next number of its channel, and sends it to `nodes`.
    fn send(self: &Arc<Self>, from: &NodeId, channel: &str, nodes: Vec<NodeId>, payload: &Bytes) {
        let Some(number) = self.state().nodes.get_mut(from).map(|slot| slot.sent.next(channel)) else {
            return;
        };
        for node in nodes {
            self.carry(from, channel, number, node, payload);
        }
    }

    fn carry(self: &Arc<Self>, from: &NodeId, channel: &str, number: u64, node: NodeId, payload: &Bytes) {
        let faults = self.weather.faults();
        let dice = self.weather.dice();
        let copies = if dice.chance(faults.payload_twice) { 2 } else { 1 };
        let forged = dice.chance(faults.payload_forged).then(|| forge::successor(payload, dice)).flatten();
        let numbered = std::iter::repeat_n((Some(number), payload.clone()), copies);
        for payload in numbered.chain(forged.map(|forged| (None, forged))) {
            let way = (from.clone(), channel.to_owned());
            let mut latency = self.weather.payload_latency();
            let late = dice.chance(faults.payload_late).then(|| payload.clone());
            if late.is_some() {
                latency += dice.millis(50, 1_200);
            } else if let Some(slot) = self.state().nodes.get_mut(&node) {
                slot.arriving.entry(way.clone()).or_default().push_back(payload);
            }
            self.deliver(latency, way, node.clone(), late);
        }
    }

    /// Delivers a payload after a while: this one, or the next one in flight.
    fn deliver(
        self: &Arc<Self>,
        latency: Duration,
        way: (NodeId, String),
        node: NodeId,
        late: Option<Payload>,
    ) {
        let mesh = self.clone();
        tokio::spawn(async move {
            sleep(latency).await;
            let fence = mesh.state().nodes.get(&node).map(|slot| slot.fence.clone());
            let Some(fence) = fence else { return };
            fence.pass().await;
            mesh.arrive(&node, &way, late);
        });
    }

    /// A payload arrives: a late one, or the next of its sender and channel.
    fn arrive(&self, node: &NodeId, way: &(NodeId, String), late: Option<Payload>) {
        let lost = self.weather.dice().chance(self.weather.faults().payload_lost);
        let mut state = self.state();
        let Some(slot) = state.nodes.get_mut(node) else { return };
        let next = || slot.arriving.get_mut(way)?.pop_front();
        let Some((number, payload)) = late.or_else(next) else { return };
        if slot.cut || slot.must_recover || lost {
            self.weather.trouble(Some(node), 3 * HEARTBEAT);
            self.weather.trace().line(format_args!("a payload to {node} is lost"));
            return;
        }
        if let Some(number) = number {
            slot.arrivals.envelope(way.0.as_str(), &way.1, number);
        }
        // Forged payloads count as sealed: the chain of the log has to reject them without that.
        if slot.notices.try_send(Notice::Payload(payload)).is_err() {
            slot.must_recover = true;
        }
    }

    /// Announces to all others what `from` has published.
    fn send_beat(self: &Arc<Self>, from: &NodeId) {
        let mut state = self.state();
        let Some(beat) = state.nodes.get_mut(from).map(|slot| slot.sent.beat()) else { return };
        let others: Vec<NodeId> = state.nodes.keys().filter(|node| *node != from).cloned().collect();
        drop(state);
        for node in others {
            let latency = self.weather.payload_latency();
            let lost = self.weather.dice().chance(self.weather.faults().payload_lost);
            let (mesh, from, beat) = (self.clone(), from.clone(), beat.clone());
            tokio::spawn(async move {
                sleep(latency).await;
                let mut state = mesh.state();
                let Some(slot) = state.nodes.get_mut(&node) else { return };
                if !slot.cut && !slot.must_recover && !lost {
                    let follows = &slot.follows;
                    slot.arrivals.beat(from.as_str(), &beat, |channel| is_followed(follows, channel));
                }
            });
        }
    }

    /// The nodes of `users`, and those that follow `room`.
    fn targets(
        &self,
        users: &[UserId],
        room: Option<&RoomId>,
        from: &NodeId,
    ) -> (BTreeSet<NodeId>, BTreeSet<NodeId>) {
        let state = self.state();
        let mut online: BTreeSet<NodeId> = BTreeSet::new();
        for nodes in users.iter().filter_map(|user| state.users.get(user)) {
            online.extend(nodes.iter().filter(|node| state.holds_lease(node)).cloned());
        }
        let mut followers = room.and_then(|room| state.rooms.get(room)).cloned().unwrap_or_default();
        online.remove(from);
        followers.remove(from);
        (online, followers)
    }
}
