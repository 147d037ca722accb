//! A fleet's claim to its tables: nodes under another prefix in Redis would miss these nodes' writes.

use std::sync::Arc;

use anyhow::{Context, bail};
use parlance_core::Clock;
use parlance_registry::Registry;
use parlance_store::{Dynamo, OtherFleet, StoreError};
use tokio::time::{MissedTickBehavior, interval};

use crate::limits::{TABLES_LEASE, TABLES_RENEW_EVERY};
use crate::readiness::{Need, Readiness};

/// Parameters of the claim.
pub(crate) struct TablesClaim {
    pub(crate) store: Dynamo,
    /// Prefix of the fleet's keys in Redis.
    pub(crate) prefix: String,
    pub(crate) clock: Arc<dyn Clock>,
}

impl TablesClaim {
    async fn renew(&self) -> Result<Option<OtherFleet>, StoreError> {
        self.store.claim_tables(&self.prefix, self.clock.now(), TABLES_LEASE).await
    }

    /// Claims the tables.
    pub(crate) async fn start(&self) -> anyhow::Result<()> {
        let other = self.renew().await.context("cannot see which fleet serves the tables")?;
        let Some(OtherFleet { prefix, until }) = other else { return Ok(()) };
        let seconds = until.since(self.clock.now()).div_ceil(1_000);
        bail!(
            "these tables are served by another fleet, whose keys in redis begin with `{prefix}`; nodes with \
             `{}` and those would not learn what the others write. Give this node --redis-prefix {prefix} \
             and the redis of those nodes, or tables of its own (--table-prefix). If that fleet has ended, \
             start again in {seconds} seconds",
            self.prefix
        )
    }

    /// Renews the claim. Never returns.
    pub(crate) async fn keep(self: Arc<Self>, readiness: Readiness) {
        let mut tick = interval(TABLES_RENEW_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            match self.renew().await {
                Ok(None) => readiness.there(Need::Tables),
                Ok(Some(OtherFleet { prefix, .. })) => {
                    let why = format!("claimed by a fleet whose keys in redis begin with `{prefix}`");
                    readiness.missing(Need::Tables, why);
                }
                Err(error) => tracing::debug!(%error, "cannot renew the claim to the tables"),
            }
        }
    }

    /// Ends the claim, if this is the last node of its fleet.
    pub(crate) async fn stop(&self, registry: &dyn Registry) {
        if registry.nodes() == [registry.node().clone()]
            && let Err(error) = self.store.release_tables(&self.prefix).await
        {
            tracing::debug!(%error, "cannot end the claim to the tables");
        }
    }
}
