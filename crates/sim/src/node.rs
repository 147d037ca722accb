use std::sync::Arc;
use std::time::Duration;

use parlance_api::identity::Auth;
use parlance_api::services::Services;
use parlance_api::{Api, PRESENCE_GRACE, Parts, RECOVERY_READS, Sizes, Usage};
use parlance_core::{ClockMonitor, UserId};
use parlance_registry::{NodeId, Registry as _};
use parlance_runtime::BoundedClock;
use tokio_util::sync::CancellationToken;

use crate::clock::{BEGIN, SimulatedClock};
use crate::fence::Fence;
use crate::mesh::{Mesh, NodeRegistry};
use crate::store::{MemoryStore, NodeStore};
use crate::weather::Weather;

/// Nobody outside the simulation sees a token of it.
const SECRET: &[u8] = b"the secret of all simulated nodes";

/// Tokens that never end.
const TOKEN: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Longer than a lease, and shorter than some nodes are cut off.
const ISOLATION: Duration = Duration::from_secs(7);

/// A running node.
#[derive(Clone)]
pub struct Node {
    /// Its id.
    pub id: NodeId,
    /// The way into it.
    pub services: Services,
    /// Between it and the world.
    pub fence: Arc<Fence>,
    api: Arc<Api>,
    registry: Arc<NodeRegistry>,
    shutdown: CancellationToken,
    /// What it held when it had just started.
    idle: Usage,
}

impl Node {
    /// Starts a node; its clock is `skew_ms` ahead.
    pub fn start(
        memory: &MemoryStore,
        mesh: &Arc<Mesh>,
        weather: &Arc<Weather>,
        skew_ms: i64,
        sizes: &'static Sizes,
    ) -> Self {
        let id = NodeId::from_random(weather.dice().bits());
        let fence = Arc::new(Fence::new());
        let registry = mesh.join(id.clone(), fence.clone());
        let shutdown = CancellationToken::new();
        let room_ids = memory.tables().room_ids.clone();
        let clock = SimulatedClock::new(weather.trace().start(), skew_ms);
        let monitor = Arc::new(ClockMonitor::new(Arc::new(clock)));
        let store = NodeStore::new(memory.clone(), fence.clone(), weather.clone(), monitor.clone());
        // A node asks its store for much before it serves.
        store.compare_clocks();
        let parts = Parts {
            room_ids,
            store: parlance_planted::store(Arc::new(store)),
            registry: parlance_planted::registry(registry.clone()),
            auth: Arc::new(Auth::local(SECRET)),
            clock: Arc::new(BoundedClock::new(monitor)),
            user_rate: None,
            screen: None,
            reconnect_spread: Duration::from_secs(2),
            isolation: ISOLATION,
            recovery_reads: RECOVERY_READS,
            presence_grace: PRESENCE_GRACE,
            sizes,
        };
        let api = Api::start(parts, shutdown.clone());
        let idle = api.usage();
        weather.trace().line(format_args!("{id} starts"));
        Self { id, services: Services::new(api.clone()), fence, api, registry, shutdown, idle }
    }

    /// Kills it, from one moment to the next.
    pub fn crash(&self) {
        self.fence.crash();
        // Nothing that it does from here on can be seen; let it end what it can.
        self.shutdown.cancel();
    }

    /// What it holds.
    pub fn usage(&self) -> parlance_api::Usage {
        self.api.usage()
    }

    /// What it still holds that it did not hold at the start, although nobody is there; `None` if
    /// there is nothing.
    pub fn leftovers(&self) -> Option<String> {
        let usage = self.api.usage();
        (usage != self.idle).then(|| format!("{usage:?}, at first {:?}", self.idle))
    }

    /// Sends its sessions away.
    pub fn drain(&self) {
        self.shutdown.cancel();
    }

    /// Ends it once its sessions are gone.
    pub async fn stop(&self) {
        self.api.stop(Duration::from_secs(3_600)).await;
        self.registry.close().await;
    }
}

/// What goes into the `authorization` of `user`.
pub fn authorization(user: &UserId) -> String {
    let token = Auth::local(SECRET).mint(user, TOKEN, BEGIN).unwrap_or_default();
    format!("Bearer {token}")
}
