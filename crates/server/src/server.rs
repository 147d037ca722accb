use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use metrics_exporter_prometheus::PrometheusHandle;
use parlance_bridge::Bridge;
use parlance_cluster::Departure;
use parlance_peers::{Ledger, Limits, Proxies};
use parlance_runtime::rate::Rate;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::answer_headers::AnswerHeaders;
use crate::bridge::RunningBridge;
use crate::config::{Config, Identity, Role};
use crate::descriptors::Descriptors;
use crate::guard::Guard;
use crate::limits::{
    ANONYMOUS_BURST, OPERATORS, OPERATORS_DEADLINE, OTHER_RATE, OTHER_RATE_OF_CONNECTION, REPORT_EVERY,
    ROOMS_DEADLINE,
};
use crate::listener::{Entrance, Peers};
use crate::node::Node;
use crate::readiness::{Readiness, follow_health};
use crate::routes::{Common, NodeRoutes};
use crate::seams::Seams;
use crate::tls::Tls;
use crate::worker::Worker;
use crate::{admin, listener, routes};

/// A running process: a node, a bridge or a worker.
pub struct Server {
    running: Running,
    bridge: Option<Bridge>,
    readiness: Readiness,
    drain: Duration,
    shutdown: CancellationToken,
    /// Stops the admin listener: last, so that operators can observe the draining.
    operators: CancellationToken,
    /// Tasks that run until then, the admin listener among them.
    helpers: TaskTracker,
    connections: TaskTracker,
    address: SocketAddr,
    admin_address: SocketAddr,
    bridge_address: Option<SocketAddr>,
}

enum Running {
    Node(Box<Node>),
    Bridge(RunningBridge),
    Worker(Worker),
}

/// Bound listeners, not yet served.
struct Listeners {
    clients: TcpListener,
    operators: TcpListener,
    bridges: Option<TcpListener>,
}

impl Server {
    /// Opens the store, binds and serves. Ready when it returns, unless
    /// `/readyz` says what is missing.
    ///
    /// # Errors
    /// The reason, for the operator.
    pub async fn start(
        config: &Config,
        metrics: Option<PrometheusHandle>,
        seams: Seams,
    ) -> anyhow::Result<Self> {
        let descriptors = Descriptors::raised();
        let max_connections = descriptors.capped(config.max_connections);
        let listeners = Listeners::bind(config).await?;
        let address = listeners.clients.local_addr()?;
        let admin_address = listeners.operators.local_addr()?;
        let bridge_address = listeners.bridges.as_ref().map(TcpListener::local_addr).transpose()?;
        let (readiness, shutdown) = (Readiness::new(), CancellationToken::new());
        let operators = CancellationToken::new();
        let helpers = TaskTracker::new();
        let tls = match &config.tls {
            Some(files) => Some(Tls::follow(files, operators.clone(), &helpers).await?),
            None => None,
        };
        let allowed = config.allowed_origins.clone().into();
        let guard = Guard::Origins { allowed, is_tls: tls.is_some() };
        let bridge = parlance_bridge::Options { shutdown_grace: config.drain, ..Default::default() };
        // A page of local mode is on a machine where other servers have no TLS.
        let is_local = matches!(&config.role, Role::Node(node) if matches!(node.identity, Identity::Local));
        let headers = AnswerHeaders::new(tls.is_some(), if is_local { 0 } else { config.hsts_seconds });
        let common = Common {
            readiness: readiness.clone(),
            guard,
            headers: headers.clone(),
            image_origins: config.image_origins.sources(),
            shutdown: shutdown.clone(),
            bridge,
        };
        // Clients are told to leave over the first half of the time; the second half is for those that have not.
        let spread = config.drain / 2;
        // Bridges and operators keep their connections: they poll readiness.
        let stays = Departure::new(shutdown.clone(), spread);
        let (running, app, for_bridges, bridge) = match &config.role {
            Role::Node(node) => {
                let starting = Box::pin(Node::start(node, &readiness, &shutdown, spread, seams));
                let (running, services) = starting.await?;
                let (reporter, health) = tonic_health::server::health_reporter();
                helpers.spawn(
                    operators.clone().run_until_cancelled_owned(follow_health(readiness.clone(), reporter)),
                );
                let common = if is_local { Common { guard: Guard::Local, ..common } } else { common };
                let NodeRoutes { app, for_bridges, bridge } =
                    routes::node(&services, health, node.serves_browsers, common)?;
                (Running::Node(Box::new(running)), app, for_bridges, bridge)
            }
            Role::Bridge(nodes) => {
                let (tier, upstream) = RunningBridge::start(nodes, &readiness, &shutdown, spread);
                let (app, bridge) = routes::bridge(upstream, common)?;
                (Running::Bridge(tier), app, Router::new(), Some(bridge))
            }
            Role::Worker(worker) => {
                let worker = Box::pin(Worker::start(worker, &readiness, seams)).await?;
                (Running::Worker(worker), routes::worker(common), Router::new(), None)
            }
        };
        let consumers = match &running {
            Running::Node(node) => Some(node.consumers()),
            Running::Worker(worker) => Some(worker.consumers()),
            Running::Bridge(_) => None,
        };
        let departure = match &running {
            Running::Node(node) => node.departure(),
            Running::Bridge(_) | Running::Worker(_) => stays.clone(),
        };
        let revoking = match &running {
            Running::Node(node) => Some(node.revoking().clone()),
            Running::Bridge(_) | Running::Worker(_) => None,
        };
        let connections = TaskTracker::new();
        let serve = |entrance| {
            let (shutdown, tracker) = (shutdown.clone(), connections.clone());
            connections.spawn(listener::serve(entrance, shutdown, tracker));
        };
        let anonymous = |times: u32| {
            let rate = config.anonymous_rate?.get().saturating_mul(times);
            Some(Rate::per_second(rate, rate.saturating_mul(ANONYMOUS_BURST)))
        };
        let limits = Limits {
            anonymous_answers: anonymous(1),
            other_requests: anonymous(OTHER_RATE),
            other_requests_of_connection: anonymous(OTHER_RATE_OF_CONNECTION),
            ..Limits::production(max_connections)
        };
        let ledger = Ledger::new(limits, config.trusted_proxies.clone());
        // They forward their clients' addresses.
        let of_bridges = ledger.beside(limits_of_operator(max_connections), Proxies::everyone());
        let reporting = report(ledger.clone(), of_bridges.clone());
        helpers.spawn(operators.clone().run_until_cancelled_owned(reporting));
        let clients = Entrance {
            listener: listeners.clients,
            tls,
            app,
            headers,
            peers: Peers::Clients,
            proxy_protocol: config.proxy_protocol,
            max_connections,
            ledger,
            departure,
        };
        if let Some(listener) = listeners.bridges {
            serve(Entrance {
                listener,
                tls: None,
                app: for_bridges,
                headers: AnswerHeaders::default(),
                peers: Peers::Bridges,
                proxy_protocol: false,
                max_connections,
                ledger: of_bridges,
                departure: stays,
            });
        }
        serve(clients);
        let looking = Entrance {
            listener: listeners.operators,
            tls: None,
            app: admin::routes(
                readiness.clone(),
                metrics,
                consumers,
                revoking,
                admin_address.ip().is_loopback(),
            ),
            headers: AnswerHeaders::default(),
            peers: Peers::Clients,
            proxy_protocol: false,
            max_connections: OPERATORS,
            // Separate, so that operators can look while clients hold all that they may.
            ledger: Ledger::new(limits_of_operator(OPERATORS), Proxies::default()),
            departure: Departure::new(operators.clone(), spread),
        };
        helpers.spawn(listener::serve(looking, operators.clone(), helpers.clone()));
        Ok(Self {
            running,
            bridge,
            readiness,
            drain: config.drain,
            shutdown,
            operators,
            helpers,
            connections,
            address,
            admin_address,
            bridge_address,
        })
    }

    /// Address of the listener for clients.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Address of the admin listener.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin_address
    }

    /// Address of the listener for bridges.
    pub fn bridge_address(&self) -> Option<SocketAddr> {
        self.bridge_address
    }

    /// Resolves if the store fails, with the reason. The process must end then.
    pub async fn failed(&self) -> String {
        match &self.running {
            Running::Node(node) => node.failed().await,
            Running::Worker(worker) => worker.failed().await,
            Running::Bridge(_) => std::future::pending().await,
        }
    }

    /// Drains: tells clients to reconnect elsewhere, waits for operations in flight, closes the store.
    pub async fn stop(self) {
        self.readiness.drain();
        self.shutdown.cancel();
        self.connections.close();
        let ended = async {
            self.connections.wait().await;
            if let Some(bridge) = &self.bridge {
                bridge.finished().await;
            }
        };
        if timeout(self.drain, ended).await.is_err() {
            tracing::warn!("closing connections that did not end in time");
        }
        match &self.running {
            Running::Node(node) => node.stop(ROOMS_DEADLINE).await,
            Running::Bridge(bridge) => bridge.stop().await,
            Running::Worker(worker) => worker.stop(ROOMS_DEADLINE).await,
        }
        self.operators.cancel();
        self.helpers.close();
        if timeout(OPERATORS_DEADLINE, self.helpers.wait()).await.is_err() {
            tracing::debug!("closing admin connections that did not end in time");
        }
    }
}

/// Limits of listeners on the operator's own network: no limit per address.
fn limits_of_operator(max_connections: usize) -> Limits {
    Limits {
        anonymous_connections: max_connections,
        anonymous_in_all: max_connections,
        ..Limits::production(max_connections)
    }
}

/// Reports the resources held for peers as metrics: of clients, and of bridges.
async fn report(ledger: Arc<Ledger>, of_bridges: Arc<Ledger>) {
    let mut tick = tokio::time::interval(REPORT_EVERY);
    loop {
        tick.tick().await;
        ledger.trim();
        of_bridges.trim();
        metrics::gauge!("parlance_held_bytes").set(ledger.held() as f64);
        if let Some(used) = Descriptors::used() {
            metrics::gauge!("parlance_descriptors").set(used as f64);
        }
        metrics::gauge!("parlance_addresses").set(ledger.addresses() as f64);
        metrics::gauge!("parlance_anonymous_connections").set(ledger.anonymous() as f64);
    }
}

impl Listeners {
    async fn bind(config: &Config) -> anyhow::Result<Self> {
        let bind = |address: SocketAddr, option: &'static str| async move {
            let listener = TcpListener::bind(address).await;
            listener.with_context(|| format!("cannot listen on {address} (--{option})"))
        };
        let bridges = match &config.role {
            Role::Node(node) => node.edge_listen,
            Role::Bridge(_) | Role::Worker(_) => None,
        };
        let bridges = match bridges {
            Some(address) => Some(bind(address, "edge-listen").await?),
            None => None,
        };
        let clients = bind(config.listen, "listen").await?;
        let operators = bind(config.admin_listen, "admin-listen").await?;
        Ok(Self { clients, operators, bridges })
    }
}
