use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use parlance_core::{RoomId, UserId};
use parlance_hub::Hub;
use parlance_registry::{Health, Registry};
use parlance_runtime::map::Map;
use parlance_store::Store;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::audience::Audiences;
use crate::budget::Budget;
use crate::departure;
use crate::follow_ups::FollowUps;
use crate::limits::{LOST_NODE_SLACK, MAX_UNTOLD_USERS, RECOVERY_BURST, Sizes, WRITTEN_KEPT};
use crate::missed::Missed;
use crate::places::Places;
use crate::signal_room::SignalRoom;
use crate::unsettled::Unsettled;
use crate::written::Written;

/// See the [crate] documentation.
pub struct Cluster {
    pub(crate) registry: Arc<dyn Registry>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) audiences: Audiences,
    /// Rooms that were written here lately or could not be published.
    pub(crate) written: Map<RoomId, Written>,
    pub(crate) health: watch::Receiver<Health>,
    /// Reads of the store that are spent on looking for what was missed.
    pub(crate) reads: Budget,
    /// Rooms that are followed up at the same time.
    pub(crate) hints: Places,
    pub(crate) follow_ups: FollowUps,
    /// Rooms and users that are compared with the store at the same time.
    pub(crate) comparing: Places,
    /// Rooms that are announced again at the same time.
    pub(crate) announcing: Places,
    pub(crate) missed: Missed,
    /// Users who came or went while the registry was out of reach.
    pub(crate) unreported: Mutex<BTreeSet<UserId>>,
    pub(crate) unsettled: Unsettled,
    /// Whether other nodes reach the registry and this one does not.
    pub(crate) alone: watch::Sender<bool>,
    /// How long a node that is alone in being cut off keeps its sessions.
    pub(crate) isolation: Duration,
    /// How long someone whose node is gone counts as online.
    pub(crate) presence_grace: Duration,
    /// How long a node that is lost may go on writing.
    pub(crate) lost_node_writes: Duration,
    pub(crate) sizes: &'static Sizes,
}

/// How fast a node looks after others, and they after it.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Reads of the store that are spent on looking for what was missed.
    pub reads_per_second: u32,
    /// How long a node that is alone in being cut off keeps its sessions.
    pub isolation: Duration,
    /// Over which time a node that ends spreads the reconnects of its sessions.
    pub reconnect_spread: Duration,
    /// How long someone whose node is gone counts as online.
    pub presence_grace: Duration,
}

impl Cluster {
    /// A node that publishes what it commits to the nodes of `registry`.
    pub fn new(
        registry: Arc<dyn Registry>,
        store: Arc<dyn Store>,
        hub: Arc<Hub>,
        pace: Pace,
        sizes: &'static Sizes,
    ) -> Self {
        let health = registry.health();
        Self {
            registry,
            store,
            hub,
            audiences: Audiences::default(),
            written: Map::default(),
            health,
            reads: Budget::new(pace.reads_per_second, RECOVERY_BURST),
            hints: Places::new(sizes.head_hints, sizes.stalled_hints),
            follow_ups: FollowUps::default(),
            comparing: Places::new(sizes.recovery_concurrency, sizes.stalled_hints),
            announcing: Places::new(sizes.recovery_concurrency, sizes.stalled_hints),
            missed: Missed::default(),
            unreported: Mutex::default(),
            unsettled: Unsettled::default(),
            alone: watch::Sender::new(false),
            isolation: pace.isolation,
            presence_grace: pace.presence_grace,
            lost_node_writes: pace.isolation + departure::takes(pace.reconnect_spread) + LOST_NODE_SLACK,
            sizes,
        }
    }

    /// Whether other nodes reach the registry and this one does not, and each change.
    pub fn alone(&self) -> watch::Receiver<bool> {
        self.alone.subscribe()
    }

    /// Notes what became of telling other nodes of `room`. Returns whether more users wait to be
    /// told than are remembered.
    pub(crate) fn note_written(&self, room: &RoomId, note: impl FnOnce(&mut Written)) -> bool {
        let mut written =
            self.written.entry(room.clone()).or_insert_with(|| Written { at: Instant::now(), untold: None });
        note(&mut written);
        let untold = written.untold.as_mut().filter(|untold| untold.users.len() > MAX_UNTOLD_USERS);
        untold.map(|untold| untold.users.clear()).is_some()
    }

    pub(crate) fn is_away(&self) -> bool {
        *self.health.borrow() == Health::Away
    }

    /// Drops what was not used for a while.
    pub fn trim(&self) {
        self.audiences.trim();
        self.written.retain(|_, written| written.untold.is_some() || written.at.elapsed() < WRITTEN_KEPT);
    }

    /// The room, if `user` is a member of it as far as this node knows (see [`Hub::as_member`]) and
    /// it is known here up to `seq`. Further on it may have reached the client by way of another
    /// node: that is for the store to say. So is a room in which something may have been missed and
    /// that could not be compared with the store since.
    pub fn known_room(&self, user: &UserId, room: &RoomId, seq: u64) -> Option<SignalRoom> {
        if self.missed.uncompared.contains_room(room) {
            return None;
        }
        let known = self.hub.as_member(user, room).filter(|known| seq <= known.head)?;
        Some(SignalRoom { room: room.clone(), head: known.end })
    }
}
