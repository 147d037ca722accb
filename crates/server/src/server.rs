use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use metrics_exporter_prometheus::PrometheusHandle;
use parlance_api::services::Services;
use parlance_api::{Api, Parts, SystemClock};
use parlance_bridge::Bridge;
use parlance_registry::{Local, NodeId};
use parlance_store::{Durability, Embedded, Options, Store};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{Config, Identity};
use crate::guard::Guard;
use crate::{admin, keys, listener, routes};

/// How long connections may take to end once they are asked to.
const DRAIN_DEADLINE: Duration = Duration::from_secs(10);

/// A running node.
pub struct Server {
    api: Arc<Api>,
    bridge: Bridge,
    store: Arc<Embedded>,
    readiness: admin::Readiness,
    health: tonic_health::server::HealthReporter,
    shutdown: CancellationToken,
    /// Ends what operators look at: last, so that they see the draining.
    operators: CancellationToken,
    connections: TaskTracker,
    address: SocketAddr,
    admin_address: SocketAddr,
}

impl Server {
    /// Opens the store, binds and serves. Ready when it returns.
    ///
    /// # Errors
    /// What went wrong, in words for whoever started the server.
    pub async fn start(config: &Config, metrics: Option<PrometheusHandle>) -> anyhow::Result<Self> {
        let auth = keys::auth(&config.identity, &config.data_dir)?;
        let bind = |address: SocketAddr| async move {
            TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
        };
        let listener = bind(config.listen).await?;
        let admin_listener = bind(config.admin_listen).await?;
        let (address, admin_address) = (listener.local_addr()?, admin_listener.local_addr()?);

        let durability = if config.sync { Durability::Synced } else { Durability::Buffered };
        let dir = config.data_dir.join("store");
        let open = move || Embedded::open(&dir, Options { durability, ..Options::default() });
        let store = Arc::new(tokio::task::spawn_blocking(open).await??);

        let shutdown = CancellationToken::new();
        let parts = Parts {
            store: store.clone(),
            registry: Arc::new(Local::new(NodeId::from_random(keys::random_bits()?))),
            auth,
            clock: Arc::new(SystemClock),
            user_rate: config.user_rate,
        };
        let api = Api::start(parts, shutdown.clone());
        let services = Services::new(api.clone());
        let (health, health_service) = tonic_health::server::health_reporter();
        health.set_service_status("parlance.v1.ChatService", tonic_health::ServingStatus::Serving).await;

        let readiness = admin::Readiness::default();
        let guard = match config.identity {
            Identity::Local => Guard::Local,
            Identity::Key { .. } => Guard::Origins(config.allowed_origins.clone().into()),
        };
        let (app, bridge) = routes::routes(&services, health_service, readiness.clone(), guard, &shutdown)?;
        let connections = TaskTracker::new();
        let max = config.max_connections;
        connections.spawn(listener::serve(listener, app, max, shutdown.clone(), connections.clone()));
        let operators = CancellationToken::new();
        let admin = admin::routes(readiness.clone(), metrics);
        // They look few at a time.
        tokio::spawn(listener::serve(admin_listener, admin, 64, operators.clone(), TaskTracker::new()));
        readiness.set(true);
        Ok(Self {
            api,
            bridge,
            store,
            readiness,
            health,
            shutdown,
            operators,
            connections,
            address,
            admin_address,
        })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where operators look.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin_address
    }

    /// Resolves if the store fails, with the reason. The process must end then.
    pub async fn failed(&self) -> String {
        self.store.failed().await
    }

    /// Sends everyone away politely, finishes what is under way, closes the store.
    pub async fn stop(self) {
        self.readiness.set(false);
        self.health
            .set_not_serving::<parlance_proto::server::chat_service_server::ChatServiceServer<Services>>()
            .await;
        self.shutdown.cancel();
        self.connections.close();
        let ended = async {
            self.connections.wait().await;
            self.bridge.finished().await;
        };
        if tokio::time::timeout(DRAIN_DEADLINE, ended).await.is_err() {
            tracing::warn!("connections that did not end in time are cut");
        }
        if tokio::time::timeout(DRAIN_DEADLINE, self.api.stop()).await.is_err() {
            tracing::warn!("rooms did not end in time");
        }
        self.store.close().await;
        self.operators.cancel();
    }
}
