//! Parts that only nodes of a cluster need: the store and the registry that they share.

mod tables_claim;

use std::sync::Arc;

use anyhow::{Context, bail};
use parlance_core::{Clock, ClockMonitor};
use parlance_registry::{FleetKey, FleetTag, NodeId, Redis, RedisOptions, Registry};
use parlance_store::revocations::RevocationList;
use parlance_store::{Dynamo, DynamoOptions, Store, StoreError};
use parlance_stream::log::StoreLog;

use crate::config::RedisConfig;
use crate::consumers::Source;
use crate::descriptors::Descriptors;

pub(crate) use tables_claim::TablesClaim;

/// The tables shared by all nodes.
pub(crate) struct Tables {
    pub(crate) store: Arc<dyn Store>,
    /// Set with Redis: claims them.
    pub(crate) claim: Option<Arc<TablesClaim>>,
    /// The source of events, or why there is none.
    pub(crate) source: Result<Source, String>,
    pub(crate) revocations: Arc<dyn RevocationList>,
}

/// Opens the store in DynamoDB, and with Redis prepares the claim to its tables.
pub(crate) async fn open_tables(
    table_prefix: &str,
    redis: Option<&RedisConfig>,
    monitor: &Arc<ClockMonitor>,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Tables> {
    let (table_prefix, monitor) = (table_prefix.to_owned(), monitor.clone());
    let open_requests = Descriptors::raised().of_store();
    let options = DynamoOptions { table_prefix, clock: monitor, open_requests, ..DynamoOptions::default() };
    let store = Dynamo::connect(&options).await?;
    let report = store.check_tables().await.context("cannot check the tables in dynamodb")?;
    for warning in &report.warnings {
        tracing::warn!("{warning}");
    }
    if !report.problems.is_empty() {
        let problems = report.problems.join("; ");
        bail!("the tables in dynamodb are not usable: {problems}. See `parlance tables create`");
    }
    let claim = redis.map(|redis| {
        let (store, prefix) = (store.clone(), redis.prefix.clone());
        Arc::new(TablesClaim { store, prefix, clock: clock.clone() })
    });
    let source = source(&store, clock).await?;
    let store = Arc::new(store);
    Ok(Tables { store: store.clone(), claim, source, revocations: store })
}

/// The source of events, or why there is none.
async fn source(store: &Dynamo, clock: &Arc<dyn Clock>) -> anyhow::Result<Result<Source, String>> {
    let feed = match store.feed(clock.clone()).await {
        Ok(feed) => Arc::new(feed),
        // Tables of an earlier version.
        Err(StoreError::Refused(missing)) => return Ok(Err(missing)),
        Err(error) => return Err(error).context("cannot check the streams of the tables"),
    };
    let restored = store.is_restored().await.context("cannot read the identity of the store")?;
    let table = Arc::new(store.clone());
    Ok(Ok(Source {
        feed,
        table: table.clone(),
        log: Arc::new(StoreLog(table.clone())),
        clock: clock.clone(),
        leases: Some(table),
        restored,
    }))
}

/// Validates the settings for Redis as far as possible without connecting.
pub(crate) fn check_redis(redis: &RedisConfig) -> anyhow::Result<()> {
    Ok(redis_options(redis).validate()?)
}

/// Joins the other nodes. `secret` is the store's, `token_keys` returns the fingerprints of the keys
/// for tokens.
pub(crate) async fn join(
    node: NodeId,
    redis: &RedisConfig,
    store_identity: &str,
    secret: &[u8],
    token_keys: impl Fn() -> Vec<String> + Send + Sync + 'static,
    clock: &Arc<ClockMonitor>,
) -> anyhow::Result<Arc<dyn Registry>> {
    let mut options = redis_options(redis);
    options.clock = clock.clone();
    options.token_keys = Some(Arc::new(token_keys));
    options.fleet = FleetTag::of(store_identity, &redis.prefix);
    options.key = FleetKey::derive(secret, options.fleet);
    Ok(Redis::connect(node, options).await?)
}

fn redis_options(redis: &RedisConfig) -> RedisOptions {
    let mut options = RedisOptions::new(&redis.url);
    options.prefix.clone_from(&redis.prefix);
    options.shards = redis.shards;
    options
}
