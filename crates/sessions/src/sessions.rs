use std::num::NonZeroU32;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use parlance_cluster::{Cluster, Departure};
use parlance_core::Clock;
use parlance_hub::Hub;
use parlance_registry::Registry;
use parlance_store::Store;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::limits::{MOVING, Sizes};
use crate::marks::Marks;

/// The dependencies of sessions.
pub struct Parts {
    /// Stores the rooms.
    pub store: Arc<dyn Store>,
    /// Wakes sessions for new events.
    pub hub: Arc<Hub>,
    /// Publishes to other nodes.
    pub cluster: Arc<Cluster>,
    /// Knows who is online.
    pub registry: Arc<dyn Registry>,
    /// The current time.
    pub clock: Arc<dyn Clock>,
    /// Sends sessions to other nodes.
    pub departure: Departure,
    /// Runs tasks that must outlive a session.
    pub tasks: TaskTracker,
    /// Ends what sessions depend on, once they are gone.
    pub end: CancellationToken,
    /// The time over which a node that shuts down spreads reconnects.
    pub reconnect_spread: Duration,
    /// How long a user counts as online after their last session has ended.
    pub presence_grace: Duration,
    /// Sessions of one user at the same time.
    pub sessions_of_user: Option<NonZeroU32>,
    /// Rooms of all sessions of one user, each counted in each session.
    pub subscriptions_of_user: Option<NonZeroU32>,
    /// Sizes of pages and of concurrent work.
    pub sizes: &'static Sizes,
}

/// State shared by the sessions of a node.
pub struct Sessions {
    parts: Parts,
    marks: Arc<Marks>,
    /// Permits for opening a session.
    opening: Semaphore,
}

impl Deref for Sessions {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.parts
    }
}

impl Sessions {
    /// Creates the state, without sessions.
    pub fn new(parts: Parts) -> Arc<Self> {
        let marks = Marks::new(parts.store.clone(), parts.cluster.clone(), parts.tasks.clone());
        let (marks, opening) = (Arc::new(marks), Semaphore::new(parts.sizes.opening));
        Arc::new(Self { parts, marks, opening })
    }

    /// Moves members' cursors.
    pub fn marks(&self) -> &Arc<Marks> {
        &self.marks
    }

    /// The number of sessions being opened.
    pub fn being_opened(&self) -> usize {
        self.sizes.opening - self.opening.available_permits()
    }

    /// A permit for opening a session. Must be awaited in its own task.
    pub(crate) async fn opening(&self) -> Option<SemaphorePermit<'_>> {
        self.opening.acquire().await.ok()
    }

    /// Waits until a user without a session counts as offline. On shutdown this is as soon as they have had time to
    /// open a session on another node.
    pub(crate) async fn presence_grace(&self) {
        let grace = self.parts.presence_grace;
        tokio::select! {
            biased;
            () = self.end.cancelled() => {
                if self.registry.is_shared() {
                    tokio::time::sleep(grace.min(MOVING)).await;
                }
            }
            () = tokio::time::sleep(grace) => {}
        }
    }
}
