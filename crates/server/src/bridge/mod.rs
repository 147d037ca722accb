//! The bridge tier: WebSocket, REST and the web page in front of nodes, which it calls over gRPC. It keeps no data
//! and has no keys: tokens are forwarded, and the nodes verify them.
//!
//! The path of a frame: bridge -> [`backend`] -> a [`link`] of [`nodes`] selected by [`choice`] from the results of
//! each [`probe`] -> node, and back through [`frames`], where all recipients of the same bytes share one frame, and
//! [`parting`], which sends clients elsewhere when the bridge itself shuts down.

mod backend;
pub(crate) mod caller;
mod choice;
mod frames;
pub(crate) mod limits;
mod link;
mod nodes;
mod parting;
mod probe;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::readiness::Readiness;

pub(crate) use backend::Upstream;
use nodes::Nodes;

/// A running bridge.
pub(crate) struct RunningBridge {
    end: CancellationToken,
    tasks: TaskTracker,
}

impl RunningBridge {
    /// Connects to the nodes at `authorities`, `host:port` each, for its lifetime.
    pub(crate) fn start(
        authorities: &[String],
        readiness: &Readiness,
        shutdown: &CancellationToken,
        spread: Duration,
    ) -> (Self, Arc<Upstream>) {
        let (end, tasks) = (CancellationToken::new(), TaskTracker::new());
        let nodes = Nodes::new(readiness.clone());
        for authority in authorities {
            tasks.spawn(nodes::look_after(nodes.clone(), authority.clone(), end.clone(), tasks.clone()));
        }
        let upstream = Arc::new(Upstream::new(nodes, shutdown.clone(), spread));
        (Self { end, tasks }, upstream)
    }

    /// Disconnects from the nodes.
    pub(crate) async fn stop(&self) {
        self.end.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}
