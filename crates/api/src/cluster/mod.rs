//! This node among others: what it publishes of what it commits, what reaches it, and
//! how it finds out what has not.
//!
//! Nothing here is needed for a message to be safe: other nodes are told so that they
//! need not look. Whenever telling may have failed, they look ([`recovery`]).

mod audience;
mod budget;
pub(crate) mod envelope;
mod inbound;
mod publish;
mod recovery;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use parlance_core::RoomId;
use parlance_registry::{Health, Registry};
use parlance_store::Store;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::Instant;

use self::audience::Audiences;
use self::budget::Budget;
pub(crate) use self::publish::SignalRoom;
pub use self::recovery::Recovery;
use crate::hub::Hub;
use crate::limits::{RECOVERY_BURST, Sizes, WRITTEN_KEPT};
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
    sizes: &'static Sizes,
}

/// A room that was written here.
#[derive(Debug, Clone, Copy)]
struct Written {
    at: Instant,
    published: bool,
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
        reads_per_second: u32,
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
            reads: Budget::new(reads_per_second, RECOVERY_BURST),
            hints: Arc::new(Semaphore::new(sizes.head_hints)),
            missed: Missed::default(),
            sizes,
        }
    }

    fn is_away(&self) -> bool {
        *self.health.borrow() == Health::Away
    }

    /// Drops what was not used for a while.
    pub(crate) fn trim(&self) {
        self.audiences.trim();
        self.written.retain(|_, written| !written.published || written.at.elapsed() < WRITTEN_KEPT);
    }
}
