//! Stubs for [`cluster`](crate::cluster) in builds without it. The configuration refuses everything that
//! needs it, and so does each of these.

use std::sync::Arc;

use parlance_core::{Clock, ClockMonitor};
use parlance_registry::{NodeId, Registry};
use parlance_store::Store;
use parlance_store::revocations::RevocationList;

use crate::config::RedisConfig;
use crate::consumers::Source;
use crate::features::not_built_in;
use crate::readiness::Readiness;

/// A claim that cannot exist.
pub(crate) enum TablesClaim {}

impl TablesClaim {
    pub(crate) async fn start(&self) -> anyhow::Result<()> {
        match *self {}
    }

    pub(crate) async fn keep(self: Arc<Self>, _readiness: Readiness) {
        match *self {}
    }

    pub(crate) async fn stop(&self, _registry: &dyn Registry) {
        match *self {}
    }
}

/// The tables shared by all nodes.
pub(crate) struct Tables {
    pub(crate) store: Arc<dyn Store>,
    /// Set with Redis: claims them.
    pub(crate) claim: Option<Arc<TablesClaim>>,
    /// The source of events, or why there is none.
    pub(crate) source: Result<Source, String>,
    pub(crate) revocations: Arc<dyn RevocationList>,
}

pub(crate) async fn open_tables(
    _table_prefix: &str,
    _redis: Option<&RedisConfig>,
    _monitor: &Arc<ClockMonitor>,
    _clock: &Arc<dyn Clock>,
) -> anyhow::Result<Tables> {
    Err(not_built_in("DynamoDB"))
}

pub(crate) fn check_redis(_redis: &RedisConfig) -> anyhow::Result<()> {
    Err(not_built_in("Redis"))
}

pub(crate) async fn join(
    _node: NodeId,
    _redis: &RedisConfig,
    _store_identity: &str,
    _secret: &[u8],
    _token_keys: impl Fn() -> Vec<String> + Send + Sync + 'static,
    _clock: &Arc<ClockMonitor>,
) -> anyhow::Result<Arc<dyn Registry>> {
    Err(not_built_in("Redis"))
}
