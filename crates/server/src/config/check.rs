use super::{Config, Role, StoreConfig, Topic, Webhooks};
use crate::{cluster, data_dir, keys, tls};

impl Config {
    /// Checks the referenced files and addresses, as at a start before anything is opened: keys, certificates, the
    /// address of Redis, the data directory.
    ///
    /// # Errors
    /// The errors that would prevent a start.
    pub async fn check(&self) -> anyhow::Result<()> {
        if let Some(files) = &self.tls {
            tls::check(files).await?;
        }
        let outlets = match &self.role {
            Role::Node(node) => (&node.webhooks, &node.kafka),
            Role::Worker(worker) => (&worker.webhooks, &worker.kafka),
            Role::Bridge(_) => (&None, &None),
        };
        if let Some(webhooks) = outlets.0 {
            Webhooks::read(webhooks)?;
        }
        if let Some(kafka) = outlets.1 {
            Topic::read(kafka)?;
        }
        let Role::Node(node) = &self.role else { return Ok(()) };
        keys::configured(&node.identity)?;
        if let Some(redis) = &node.redis {
            cluster::check_redis(redis)?;
        }
        if matches!(node.store, StoreConfig::Embedded { .. }) {
            data_dir::inspect(&node.data_dir)?;
        }
        Ok(())
    }
}
