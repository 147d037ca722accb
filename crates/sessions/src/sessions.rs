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

/// What sessions are served with.
pub struct Parts {
    /// Where everything is kept.
    pub store: Arc<dyn Store>,
    /// What wakes them.
    pub hub: Arc<Hub>,
    /// What other nodes are told with.
    pub cluster: Arc<Cluster>,
    /// Who is online.
    pub registry: Arc<dyn Registry>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// What sends them to other nodes.
    pub departure: Departure,
    /// What must outlive a session runs there.
    pub tasks: TaskTracker,
    /// Ends what sessions rest on, once they are gone.
    pub end: CancellationToken,
    /// Over which time a node that ends spreads their reconnects.
    pub reconnect_spread: Duration,
    /// How long someone counts as online after their last session has ended.
    pub presence_grace: Duration,
    /// Sizes of pages and of concurrent work.
    pub sizes: &'static Sizes,
}

/// What the sessions of a node share.
pub struct Sessions {
    parts: Parts,
    marks: Arc<Marks>,
    /// Turns for opening one.
    opening: Semaphore,
}

impl Deref for Sessions {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.parts
    }
}

impl Sessions {
    /// No sessions yet.
    pub fn new(parts: Parts) -> Arc<Self> {
        let marks = Marks::new(parts.store.clone(), parts.cluster.clone(), parts.tasks.clone());
        let (marks, opening) = (Arc::new(marks), Semaphore::new(parts.sizes.opening));
        Arc::new(Self { parts, marks, opening })
    }

    /// What moves members' cursors.
    pub fn marks(&self) -> &Arc<Marks> {
        &self.marks
    }

    /// How many are being opened.
    pub fn being_opened(&self) -> usize {
        self.sizes.opening - self.opening.available_permits()
    }

    /// A turn for opening a session, until it is dropped. To be waited for in a task of its
    /// own.
    pub(crate) async fn opening(&self) -> Option<SemaphorePermit<'_>> {
        self.opening.acquire().await.ok()
    }

    /// Waits until someone without a session is offline. When the node ends, that is as soon as they have
    /// had the time to open one on another node.
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
