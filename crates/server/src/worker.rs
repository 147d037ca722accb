//! A process that delivers events, and serves no clients.

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use parlance_core::{Clock, ClockMonitor, SystemClock};
use parlance_registry::NodeId;
use parlance_runtime::BoundedClock;
use parlance_store::Store;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cluster::Tables;
use crate::consumers::{self, Consumers};
use crate::readiness::{Readiness, watch_clock, watch_store};
use crate::seams::Seams;
use crate::{cluster, config, keys};

/// A running worker.
pub(crate) struct Worker {
    store: Arc<dyn Store>,
    consumers: Arc<Consumers>,
    watches: TaskTracker,
    end: CancellationToken,
}

impl Worker {
    /// Opens the tables and starts the consumers.
    pub(crate) async fn start(
        config: &config::Worker,
        readiness: &Readiness,
        seams: Seams,
    ) -> anyhow::Result<Self> {
        let monitor = Arc::new(ClockMonitor::new(Arc::new(SystemClock)));
        let clock: Arc<dyn Clock> = Arc::new(BoundedClock::new(monitor.clone()));
        let opening = cluster::open_tables(&config.table_prefix, None, &monitor, &clock);
        let Tables { store, source, .. } = opening.await?;
        let source = source.map_err(|missing| anyhow!("no events can leave: {missing}"))?;
        let planned = consumers::planned(config.webhooks.as_deref(), config.kafka.as_deref(), &clock)?;
        let own = NodeId::from_random(keys::random_bits()?);
        let consumers = Arc::new(Consumers::start(planned, source, own.as_str(), seams).await?);
        let (watches, end) = (TaskTracker::new(), CancellationToken::new());
        watches.spawn(end.clone().run_until_cancelled_owned(watch_clock(monitor, readiness.clone())));
        let watch = watch_store(store.clone(), readiness.clone());
        watches.spawn(end.clone().run_until_cancelled_owned(watch));
        Ok(Self { store, consumers, watches, end })
    }

    /// The consumers.
    pub(crate) fn consumers(&self) -> Arc<Consumers> {
        self.consumers.clone()
    }

    /// Resolves if the store fails, with the reason.
    pub(crate) async fn failed(&self) -> String {
        self.store.failed().await
    }

    /// Waits for deliveries in flight, and releases the leases.
    pub(crate) async fn stop(&self, deadline: Duration) {
        self.consumers.stop(deadline).await;
        self.end.cancel();
        self.watches.close();
        self.watches.wait().await;
    }
}
