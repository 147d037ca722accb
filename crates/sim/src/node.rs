use std::sync::Arc;
use std::time::Duration;

use parlance_api::identity::Auth;
use parlance_api::services::Services;
use parlance_api::{Api, PRESENCE_GRACE, Parts, PeopleLimits, RECOVERY_READS, ROOM_MEMORY, Sizes, Usage};
use parlance_core::{ClockMonitor, UserId};
use parlance_registry::{NodeId, Registry as _};
use parlance_runtime::BoundedClock;
use tokio_util::sync::CancellationToken;

use crate::clock::{BEGIN, SimulatedClock};
use crate::fence::Fence;
use crate::mesh::{Mesh, NodeRegistry};
use crate::store::{MemoryStore, NodeStore};
use crate::weather::Weather;

/// Its tokens never leave the simulation.
const SECRET: &[u8] = b"the secret of all simulated nodes";

/// Lifetime of tokens: they never expire.
const TOKEN: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Longer than a lease, and shorter than some nodes are cut off.
const ISOLATION: Duration = Duration::from_secs(7);

/// So little that rooms are dropped again and again, where pages are small too.
const SMALL_ROOM_MEMORY: usize = 16_000;

/// A running node.
#[derive(Clone)]
pub struct Node {
    /// Its id.
    pub id: NodeId,
    /// Its services.
    pub services: Services,
    /// Separates it from the world.
    pub fence: Arc<Fence>,
    api: Arc<Api>,
    registry: Arc<NodeRegistry>,
    shutdown: CancellationToken,
    /// Its resources right after the start.
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
        // A node makes many reads of its store before it serves.
        store.compare_clocks();
        let small = sizes.page_read < Sizes::PRODUCTION.page_read;
        let room_memory = if small { SMALL_ROOM_MEMORY } else { ROOM_MEMORY };
        let parts = Parts {
            room_ids,
            store: parlance_planted::store(Arc::new(store)),
            registry: parlance_planted::registry(registry.clone()),
            auth: Arc::new(Auth::local(SECRET)),
            clock: Arc::new(BoundedClock::new(monitor)),
            limits: PeopleLimits::NONE,
            screen: None,
            room_memory,
            reconnect_spread: Duration::from_secs(2),
            isolation: ISOLATION,
            recovery_reads: RECOVERY_READS,
            presence_grace: PRESENCE_GRACE,
            profiles: parlance_api::ProfileRules::default(),
            image_origins: Vec::new(),
            additions: parlance_api::Additions::default(),
            permissions: parlance_core::DefaultPermissions::default(),
            end_sessions: None,
            sizes,
        };
        let api = Api::start(parts, shutdown.clone());
        let idle = api.usage();
        weather.trace().line(format_args!("{id} starts"));
        Self { id, services: Services::new(api.clone()), fence, api, registry, shutdown, idle }
    }

    /// Kills it instantly.
    pub fn crash(&self) {
        self.fence.crash();
        // Nothing that it does from here on is visible; let its tasks end.
        self.shutdown.cancel();
    }

    /// Its current resources.
    pub fn usage(&self) -> parlance_api::Usage {
        self.api.usage()
    }

    /// Resources that it did not hold at the start, although no client is connected; `None` if
    /// there are none.
    pub fn leftovers(&self) -> Option<String> {
        let usage = self.api.usage();
        (usage != self.idle).then(|| format!("{usage:?}, at first {:?}", self.idle))
    }

    /// Drains its sessions.
    pub fn drain(&self) {
        self.shutdown.cancel();
    }

    /// Stops it once its sessions have ended.
    pub async fn stop(&self) {
        self.api.stop(Duration::from_secs(3_600)).await;
        self.registry.close().await;
    }
}

/// The `authorization` header value of `user`.
pub fn authorization(user: &UserId) -> String {
    let token = Auth::local(SECRET).mint(user, TOKEN, BEGIN).unwrap_or_default();
    format!("Bearer {token}")
}
