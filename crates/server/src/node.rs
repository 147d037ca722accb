use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use parlance_api::identity::Auth;
use parlance_api::services::Services;
use parlance_api::{Api, Parts};
use parlance_cluster::Departure;
use parlance_core::{Clock, ClockMonitor, SystemClock};
use parlance_registry::{Health, Local, NodeId, Registry};
use parlance_runtime::BoundedClock;
use parlance_store::revocations::RevocationList;
use parlance_store::{Durability, Embedded, Store};
use parlance_stream::log::StoreLog;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cluster::{Tables, TablesClaim};
use crate::config::{self, Identity, StoreConfig};
use crate::consumers::{self, Consumers, Source};
use crate::descriptors::Descriptors;
use crate::limits::ENDED_EVERYWHERE;
use crate::readiness::{Readiness, watch_clock, watch_registry, watch_store, watch_warning};
use crate::revoking::Revoking;
use crate::seams::Seams;
use crate::{cluster, data_dir, keys};

/// A running node: rooms, sessions and the store.
pub(crate) struct Node {
    api: Arc<Api>,
    store: Arc<dyn Store>,
    embedded: Option<Arc<Embedded>>,
    registry: Arc<dyn Registry>,
    claim: Option<Arc<TablesClaim>>,
    /// The consumers that deliver events to webhooks and Kafka.
    consumers: Arc<Consumers>,
    revoking: Arc<Revoking>,
    /// Background tasks.
    watches: TaskTracker,
    end: CancellationToken,
}

impl Node {
    /// Opens the store and joins the cluster.
    pub(crate) async fn start(
        config: &config::Node,
        readiness: &Readiness,
        shutdown: &CancellationToken,
        spread: Duration,
        seams: Seams,
    ) -> anyhow::Result<(Self, Services)> {
        if matches!(config.store, StoreConfig::Embedded { .. }) {
            data_dir::report(&config.data_dir)?;
        }
        let auth = Arc::new(keys::auth(&config.identity, &config.data_dir)?);
        report_tokens(&auth, &config.identity);
        let monitor = Arc::new(ClockMonitor::new(Arc::new(SystemClock)));
        let clock: Arc<dyn Clock> = Arc::new(BoundedClock::new(monitor.clone()));
        let (watches, end) = (TaskTracker::new(), CancellationToken::new());
        let Opened { store, embedded, claim, source, revocations } =
            open_store(config, &monitor, &clock).await?;
        let (refused, others) = (auth.revocations().clone(), end_elsewhere(&config.store));
        let revoking = Revoking::new(revocations, refused, others, config.identity.tokens_last());
        revoking.catch_up().await.context("cannot read the revoked tokens")?;
        revoking.record_lives().await.context("cannot record how long tokens live")?;
        watches.spawn(end.clone().run_until_cancelled_owned(revoking.clone().follow()));
        watches.spawn(end.clone().run_until_cancelled_owned(revoking.clone().keep_trimmed()));
        if let Identity::Keys(files) = &config.identity {
            let follow = keys::follow(files.as_ref().clone(), auth.clone());
            watches.spawn(end.clone().run_until_cancelled_owned(follow));
        }
        if let Some(jwks) = auth.jwks() {
            watches.spawn(end.clone().run_until_cancelled_owned(jwks.clone().keep()));
            if !jwks.settled().await {
                tracing::warn!("no key of the issuer is known yet: tokens are refused until it answers");
            }
        }
        let store = (seams.store)(store);
        let identity = store.identity().await.context("cannot read or create the identity of the store")?;
        let room_ids = store.room_ids().await.context("cannot read the key of room ids")?;
        tracing::info!(%identity, "the store is open");
        if let Some(claim) = &claim {
            claim.start().await?;
        }
        let registry = join(config, &identity, room_ids.key.as_bytes(), &auth, &monitor).await?;
        let registry = (seams.registry)(registry);
        let parts = Parts {
            store: store.clone(),
            room_ids,
            registry: registry.clone(),
            auth,
            clock,
            limits: config.limits,
            screen: None,
            room_memory: config.room_memory,
            reconnect_spread: spread,
            isolation: config.redis.as_ref().map_or(parlance_api::ISOLATION, |redis| redis.isolation),
            recovery_reads: parlance_api::RECOVERY_READS,
            presence_grace: parlance_api::PRESENCE_GRACE,
            profiles: config.profiles,
            image_origins: config.image_origins.sources(),
            additions: config.additions,
            permissions: config.permissions,
            end_sessions: Some(revoking.clone()),
            sizes: &parlance_api::Sizes::PRODUCTION,
        };
        let api = Api::start(parts, shutdown.clone());
        if config.redis.is_some() {
            let watch = watch_warning(registry.clone(), readiness.clone());
            watches.spawn(end.clone().run_until_cancelled_owned(watch));
            let watch = watch_registry(registry.clone(), api.is_alone(), readiness.clone());
            watches.spawn(end.clone().run_until_cancelled_owned(watch));
        }
        if let Some(claim) = claim.clone() {
            watches.spawn(end.clone().run_until_cancelled_owned(claim.keep(readiness.clone())));
        }
        watches.spawn(end.clone().run_until_cancelled_owned(watch_clock(monitor, readiness.clone())));
        let watch = watch_store(store.clone(), readiness.clone());
        watches.spawn(end.clone().run_until_cancelled_owned(watch));
        let feed = source.as_ref().ok().map(|source| source.feed.clone());
        let consumers = match source {
            Ok(source) => {
                let planned =
                    consumers::planned(config.webhooks.as_deref(), config.kafka.as_deref(), &source.clock)?;
                Consumers::start(planned, source, registry.node().as_str(), seams).await?
            }
            Err(missing) => {
                ensure!(
                    config.webhooks.is_none() && config.kafka.is_none(),
                    "no events can leave: {missing}"
                );
                Consumers::default()
            }
        };
        let consumers = Arc::new(consumers);
        let services = Services::new(api.clone()).with_feed(feed);
        Ok((Self { api, store, embedded, registry, claim, consumers, revoking, watches, end }, services))
    }

    /// Revokes tokens.
    pub(crate) fn revoking(&self) -> &Arc<Revoking> {
        &self.revoking
    }

    /// Sends clients to other nodes.
    pub(crate) fn departure(&self) -> Departure {
        self.api.departure().clone()
    }

    /// The consumers that deliver events to webhooks and Kafka.
    pub(crate) fn consumers(&self) -> Arc<Consumers> {
        self.consumers.clone()
    }

    /// Resolves if the store fails, with the reason.
    pub(crate) async fn failed(&self) -> String {
        self.store.failed().await
    }

    /// Waits for operations in flight and closes the store. Call it once no listener accepts any more.
    pub(crate) async fn stop(&self, deadline: Duration) {
        if !self.api.stop(deadline).await {
            tracing::warn!("rooms did not stop in time");
        }
        self.consumers.stop(deadline).await;
        self.end.cancel();
        self.watches.close();
        self.watches.wait().await;
        // Without the registry the node cannot know whether others are left.
        let knows_others = *self.registry.health().borrow() == Health::Connected;
        self.registry.close().await;
        // After leaving, so that the list of remaining nodes does not include this one.
        if let Some(claim) = self.claim.as_ref().filter(|_| knows_others) {
            claim.stop(self.registry.as_ref()).await;
        }
        if let Some(store) = &self.embedded {
            store.close().await;
        }
    }
}

fn report_tokens(auth: &Auth, identity: &Identity) {
    match identity {
        Identity::Local => tracing::info!("local mode: issuing tokens to anyone on this machine"),
        Identity::Keys(keys) => {
            let (algorithms, any) = (auth.algorithms(), "any");
            let (audience, issuer) = (keys.audience.as_deref(), keys.issuer.as_deref());
            let (audience, issuer) = (audience.unwrap_or(any), issuer.unwrap_or(any));
            let jwks = keys.jwks.as_ref().map(ToString::to_string);
            tracing::info!(
                algorithms,
                jwks,
                audience,
                issuer,
                "tokens are verified with the configured keys"
            );
        }
    }
}

/// An opened store, with the parts that depend on its engine.
struct Opened {
    store: Arc<dyn Store>,
    embedded: Option<Arc<Embedded>>,
    claim: Option<Arc<TablesClaim>>,
    /// The source of events, or why there is none.
    source: Result<Source, String>,
    revocations: Arc<dyn RevocationList>,
}

async fn open_store(
    config: &config::Node,
    monitor: &Arc<ClockMonitor>,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Opened> {
    match &config.store {
        StoreConfig::Embedded { sync } => {
            let durability = if *sync { Durability::Synced } else { Durability::Buffered };
            let dir = config.data_dir.join(data_dir::STORE);
            let open_files = Descriptors::raised().of_store();
            let options =
                parlance_store::Options { durability, open_files, ..parlance_store::Options::default() };
            let open = move || Embedded::open(&dir, options);
            let store = Arc::new(tokio::task::spawn_blocking(open).await??);
            let source = Source {
                feed: store.clone(),
                table: store.clone(),
                log: Arc::new(StoreLog(store.clone())),
                clock: clock.clone(),
                leases: None,
                // Progress is in the same directory, but not that of consumers that are younger than the backup.
                restored: store.is_restored(),
            };
            let (embedded, revocations) = (Some(store.clone()), store.clone());
            Ok(Opened { store, embedded, claim: None, source: Ok(source), revocations })
        }
        StoreConfig::Dynamodb { table_prefix } => {
            if config.redis.is_none() {
                tracing::warn!("no redis configured: writes of other nodes are noticed only by polling");
            }
            let Tables { store, claim, source, revocations } =
                cluster::open_tables(table_prefix, config.redis.as_ref(), monitor, clock).await?;
            Ok(Opened { store, embedded: None, claim, source, revocations })
        }
    }
}

/// How long other nodes may take to end the sessions of a user. Only one process opens an embedded store.
fn end_elsewhere(store: &StoreConfig) -> Duration {
    match store {
        StoreConfig::Embedded { .. } => Duration::ZERO,
        StoreConfig::Dynamodb { .. } => ENDED_EVERYWHERE,
    }
}

async fn join(
    config: &config::Node,
    store_identity: &str,
    secret: &[u8],
    auth: &Arc<Auth>,
    clock: &Arc<ClockMonitor>,
) -> anyhow::Result<Arc<dyn Registry>> {
    let node = NodeId::from_random(keys::random_bits()?);
    match &config.redis {
        None => Ok(Arc::new(Local::new(node))),
        Some(redis) => {
            let auth = auth.clone();
            let token_keys = move || auth.key_fingerprints();
            cluster::join(node, redis, store_identity, secret, token_keys, clock).await
        }
    }
}
