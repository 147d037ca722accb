//! Compares the resources of nodes, once all clients have left, with a node that never had any.

use std::time::Duration;

use anyhow::Result;
use tokio::time::{Instant, interval};

use parlance_testbed::Cluster;
use parlance_testbed::Node;

/// Rooms stay loaded for a minute, store connections are kept for a minute and a half, and the
/// slowest trim timer is ten seconds.
const WITHIN: Duration = Duration::from_secs(150);

/// Allowed above the control: kept store connections, and a scrape of the metrics.
const DESCRIPTORS: u64 = 16;

/// Allowed above the control, bytes: what the allocator keeps of a run's peak.
const RESIDENT: u64 = 48 * 1024 * 1024;

/// One node's resources.
#[derive(Debug, Clone, Copy)]
struct Account {
    sessions: f64,
    tasks: f64,
    descriptors: u64,
    resident: u64,
}

impl Account {
    async fn of(node: &Node) -> Result<Self> {
        Ok(Self {
            sessions: node.metric("parlance_sessions").await?,
            tasks: node.metric("parlance_tasks").await?,
            descriptors: node.descriptors()?,
            resident: node.resident_bytes()?,
        })
    }

    fn is_back_at(&self, control: &Self) -> bool {
        self.sessions == 0.0
            && self.tasks <= control.tasks
            && self.descriptors <= control.descriptors + DESCRIPTORS
            && self.resident <= control.resident + RESIDENT
    }
}

/// Waits until every node holds no more than one that never had a client. Returns those that do.
pub(super) async fn check(cluster: &Cluster) -> Result<Vec<String>> {
    let mut control = Box::pin(cluster.start_like_the_others()).await?;
    let deadline = Instant::now() + WITHIN;
    let mut again = interval(Duration::from_secs(1));
    let leftovers = loop {
        again.tick().await;
        let at_rest = Account::of(&control).await?;
        let mut leftovers = Vec::new();
        for (index, node) in cluster.nodes.iter().enumerate() {
            let account = Account::of(&*node.lock().await).await?;
            if !account.is_back_at(&at_rest) {
                leftovers
                    .push(format!("node {index} still holds {account:?}; one without clients {at_rest:?}"));
            }
        }
        if leftovers.is_empty() || Instant::now() >= deadline {
            break leftovers;
        }
    };
    control.end().await?;
    Ok(leftovers)
}
