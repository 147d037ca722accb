use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use parlance_core::{RoomId, UserId};
use parlance_hub::Hub;
use parlance_registry::{Health, Registry};
use parlance_runtime::map::Map;
use parlance_runtime::rate::{self, Rate};
use parlance_store::Store;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::answers::Answers;
use crate::audience::Audiences;
use crate::departure;
use crate::follow_ups::FollowUps;
use crate::known_blocks::KnownBlocks;
use crate::limits::{LOST_NODE_SLACK, MAX_UNANNOUNCED_USERS, RECOVERY_BURST, Sizes, WRITTEN_KEPT};
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
    /// Rooms that were written here recently or could not be published.
    pub(crate) written: Map<RoomId, Written>,
    pub(crate) health: watch::Receiver<Health>,
    /// Store reads for recovery.
    pub(crate) reads: rate::Shared,
    /// Rooms followed up concurrently.
    pub(crate) hints: Places,
    pub(crate) follow_ups: FollowUps,
    /// Rooms and users compared with the store concurrently.
    pub(crate) comparing: Places,
    /// Rooms announced again concurrently.
    pub(crate) announcing: Places,
    pub(crate) missed: Missed,
    pub(crate) blocks: KnownBlocks,
    /// Whether presence and receipts are kept from strangers.
    pub(crate) hides_presence: bool,
    pub(crate) answers: Answers,
    /// Users whose presence changed while the registry was unreachable.
    pub(crate) unreported: Mutex<BTreeSet<UserId>>,
    pub(crate) unsettled: Unsettled,
    /// Whether other nodes reach the registry and this one does not.
    pub(crate) alone: watch::Sender<bool>,
    /// How long an isolated node keeps its sessions.
    pub(crate) isolation: Duration,
    /// How long a user whose node is gone counts as online.
    pub(crate) presence_grace: Duration,
    /// How long a lost node may continue to write.
    pub(crate) lost_node_writes: Duration,
    pub(crate) sizes: &'static Sizes,
}

/// Timing of recovery and departure.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Store reads per second for recovery.
    pub reads_per_second: u32,
    /// How long an isolated node keeps its sessions.
    pub isolation: Duration,
    /// The time over which a node that shuts down spreads its sessions' reconnects.
    pub reconnect_spread: Duration,
    /// How long a user whose node is gone counts as online.
    pub presence_grace: Duration,
}

impl Cluster {
    /// Creates a node that publishes its commits to the nodes of `registry`.
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
            reads: rate::Shared::new(Rate::per_second(pace.reads_per_second, RECOVERY_BURST)),
            hints: Places::new(sizes.head_hints, sizes.stalled_hints),
            follow_ups: FollowUps::default(),
            comparing: Places::new(sizes.recovery_concurrency, sizes.stalled_hints),
            announcing: Places::new(sizes.recovery_concurrency, sizes.stalled_hints),
            missed: Missed::default(),
            blocks: KnownBlocks::default(),
            hides_presence: false,
            answers: Answers::default(),
            unreported: Mutex::default(),
            unsettled: Unsettled::default(),
            alone: watch::Sender::new(false),
            isolation: pace.isolation,
            presence_grace: pace.presence_grace,
            lost_node_writes: pace.isolation + departure::takes(pace.reconnect_spread) + LOST_NODE_SLACK,
            sizes,
        }
    }

    /// Whether other nodes reach the registry and this one does not, with notifications of changes.
    pub fn alone(&self) -> watch::Receiver<bool> {
        self.alone.subscribe()
    }

    /// Records the outcome of publishing `room`. Returns whether more unpublished users are pending than can be
    /// remembered.
    pub(crate) fn note_written(&self, room: &RoomId, note: impl FnOnce(&mut Written)) -> bool {
        let mut written = self
            .written
            .entry(room.clone())
            .or_insert_with(|| Written { at: Instant::now(), unannounced: None });
        note(&mut written);
        let unannounced = written
            .unannounced
            .as_mut()
            .filter(|unannounced| unannounced.users.len() > MAX_UNANNOUNCED_USERS);
        unannounced.map(|unannounced| unannounced.users.clear()).is_some()
    }

    pub(crate) fn is_away(&self) -> bool {
        *self.health.borrow() == Health::Away
    }

    /// Drops entries that were not used for a while.
    pub fn trim(&self) {
        self.audiences.trim();
        self.blocks.trim();
        self.answers.trim();
        self.written
            .retain(|_, written| written.unannounced.is_some() || written.at.elapsed() < WRITTEN_KEPT);
    }

    /// The room, if `user` is a member as far as this node knows (see [`Hub::as_member`]) and it is known here up to
    /// `seq`. A later seq may have reached the client through another node and is left to the store. So is a room
    /// that may have missed hints and has not been compared with the store since.
    pub fn known_room(&self, user: &UserId, room: &RoomId, seq: u64) -> Option<SignalRoom> {
        if self.missed.uncompared.contains_room(room) {
            return None;
        }
        // Of a room that was deleted nothing but its last event is kept: the store knows whether it was.
        let known = self.hub.as_member(user, room)?;
        if seq > known.head || known.floor >= known.head {
            return None;
        }
        Some(SignalRoom { room: room.clone(), head: known.end })
    }
}
