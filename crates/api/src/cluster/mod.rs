//! This node among others: what it publishes of what it commits, what reaches it, and
//! how it finds out what has not.
//!
//! Nothing here is needed for a message to be safe: other nodes are told so that they
//! need not look. Whenever telling may have failed, they look ([`recovery`]).

mod audience;
mod budget;
pub(crate) mod envelope;
mod inbound;
mod isolation;
mod presence;
mod publish;
mod recovery;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use parlance_core::{RoomId, UserId};
use parlance_registry::{Health, Registry};
use parlance_store::Store;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::Instant;

use self::audience::Audiences;
use self::budget::Budget;
pub(crate) use self::publish::SignalRoom;
pub use self::recovery::Recovery;
use crate::departure;
use crate::hub::Hub;
use crate::limits::{LOST_NODE_SLACK, MAX_UNTOLD_USERS, RECOVERY_BURST, Sizes, WRITTEN_KEPT};
use crate::map::Map;

/// See the [module](self) documentation.
pub(crate) struct Cluster {
    registry: Arc<dyn Registry>,
    store: Arc<dyn Store>,
    hub: Arc<Hub>,
    audiences: Audiences,
    /// Rooms that were written here lately or could not be published.
    written: Map<RoomId, Written>,
    health: watch::Receiver<Health>,
    /// Reads of the store that are spent on looking for what was missed.
    reads: Budget,
    /// Head hints that are followed up at the same time.
    hints: Arc<Semaphore>,
    missed: Missed,
    /// Whether other nodes reach the registry and this one does not.
    alone: watch::Sender<bool>,
    /// How long a node that is alone in being cut off keeps its sessions.
    isolation: Duration,
    /// How long someone whose node is gone counts as online.
    presence_grace: Duration,
    /// How long a node that is lost may go on writing.
    lost_node_writes: Duration,
    sizes: &'static Sizes,
}

/// How fast a node looks after others, and they after it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) reads_per_second: u32,
    pub(crate) isolation: Duration,
    pub(crate) reconnect_spread: Duration,
    pub(crate) presence_grace: Duration,
}

/// A room that was written here.
#[derive(Debug, Clone)]
struct Written {
    at: Instant,
    /// What other nodes could not be told.
    untold: Option<Untold>,
}

/// Where a room is, as other nodes do not know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Untold {
    head: u64,
    /// Users whose membership may have changed. Later chunks are not published to removed users.
    users: BTreeSet<UserId>,
}

impl Written {
    /// Other nodes were told that the room is at `head`, and `users` of their membership.
    fn told(&mut self, head: u64, users: &BTreeSet<UserId>) {
        self.at = Instant::now();
        if let Some(untold) = &mut self.untold {
            untold.users.retain(|user| !users.contains(user));
            if untold.users.is_empty() && untold.head <= head {
                self.untold = None;
            }
        }
    }

    fn not_told(&mut self, head: u64, users: BTreeSet<UserId>) {
        self.at = Instant::now();
        let untold = self.untold.get_or_insert_default();
        untold.head = untold.head.max(head);
        untold.users.extend(users);
    }
}

/// What has to be looked for.
#[derive(Default)]
struct Missed {
    state: std::sync::Mutex<MissedState>,
    wake: Notify,
    /// Rooms and users still to be compared with the store in this round.
    left: AtomicUsize,
}

#[derive(Default)]
struct MissedState {
    /// Counts what may have made hints go missing.
    asked: u64,
    /// When it last did.
    asked_at: Option<Instant>,
    /// The count up to which a whole round has been made since.
    done: u64,
    /// A node that was lost may still be writing: look again until then.
    again_until: Option<Instant>,
    /// Something was committed that others could not be told.
    unpublished: bool,
    /// Since when publishing has failed, until everything is published or others are informed.
    unpublished_since: Option<Instant>,
    /// The last round was cut short: the next one is not.
    cut_short: bool,
}

impl Cluster {
    pub(crate) fn new(
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
            hints: Arc::new(Semaphore::new(sizes.head_hints)),
            missed: Missed::default(),
            alone: watch::Sender::new(false),
            isolation: pace.isolation,
            presence_grace: pace.presence_grace,
            lost_node_writes: pace.isolation + departure::takes(pace.reconnect_spread) + LOST_NODE_SLACK,
            sizes,
        }
    }

    pub(crate) fn alone(&self) -> watch::Receiver<bool> {
        self.alone.subscribe()
    }

    /// Notes what became of telling other nodes of `room`. Returns whether more users wait to be
    /// told than are remembered.
    fn note_written(&self, room: &RoomId, note: impl FnOnce(&mut Written)) -> bool {
        let mut written =
            self.written.entry(room.clone()).or_insert_with(|| Written { at: Instant::now(), untold: None });
        note(&mut written);
        let untold = written.untold.as_mut().filter(|untold| untold.users.len() > MAX_UNTOLD_USERS);
        untold.map(|untold| untold.users.clear()).is_some()
    }

    fn is_away(&self) -> bool {
        *self.health.borrow() == Health::Away
    }

    /// Drops what was not used for a while.
    pub(crate) fn trim(&self) {
        self.audiences.trim();
        self.written.retain(|_, written| written.untold.is_some() || written.at.elapsed() < WRITTEN_KEPT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::user;

    fn users<const N: usize>(ids: [&str; N]) -> BTreeSet<UserId> {
        ids.into_iter().map(user).collect()
    }

    #[test]
    fn what_is_told_later_does_not_make_up_for_users_who_were_not_told() {
        let mut written = Written { at: Instant::now(), untold: None };
        written.not_told(4, users(["bob"]));
        written.told(5, &users([]));
        assert_eq!(written.untold, Some(Untold { head: 4, users: users(["bob"]) }));
        written.not_told(6, users(["carol"]));
        written.told(5, &users(["bob", "carol"]));
        assert_eq!(written.untold, Some(Untold { head: 6, users: users([]) }), "of an older head");
        written.told(6, &users([]));
        assert_eq!(written.untold, None);
    }
}
