//! Measures of several nodes, with their own Redis and DynamoDB API.

pub(super) mod soak;
pub(super) mod spread;
pub(super) mod storm;

use std::time::Duration;

use anyhow::{Context, Result};

use super::effort::Effort;
use crate::processes;
use parlance_testbed::{Cluster, Options};

pub(super) async fn start(effort: &Effort, nodes: u8) -> Result<Cluster> {
    let options =
        Options { program: &effort.server, nodes, embedded: false, plant: None, arguments: Vec::new() };
    Box::pin(Cluster::start(&options)).await
}

/// Processor time of Redis and of the first `nodes`, so far. The DynamoDB API is a
/// stand-in and not included.
#[derive(Debug, Clone, Copy)]
struct Spent {
    redis: Duration,
    nodes: Duration,
}

impl Spent {
    async fn now(cluster: &Cluster, nodes: usize) -> Result<Self> {
        let shared = cluster.shared.as_ref().context("nodes share a Redis")?;
        let redis = shared.redis.lock().await.info("process_id").await?;
        let mut spent = Self { redis: processes::cpu(u32::try_from(redis)?)?, nodes: Duration::ZERO };
        for node in &cluster.nodes[..nodes] {
            spent.nodes += processes::cpu(node.lock().await.pid()?)?;
        }
        Ok(spent)
    }

    fn since(self, before: Self) -> Self {
        Self { redis: self.redis - before.redis, nodes: self.nodes - before.nodes }
    }

    fn all(self) -> Duration {
        self.redis + self.nodes
    }
}
