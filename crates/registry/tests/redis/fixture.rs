use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parlance_core::UserId;
use parlance_registry::{Health, NodeId, Notice, Redis, RedisOptions, Registry};
use tokio::sync::mpsc::Receiver;

use crate::metrics;
use crate::support::{AnyRegistry, DEADLINE, node_id, notice, payload, to_user, until, user};

/// Options with shorter times than in production, so that tests need not wait.
pub(crate) fn options(url: String) -> RedisOptions {
    RedisOptions {
        lease: Duration::from_millis(2_500),
        heartbeat: Duration::from_millis(200),
        unheard: Duration::from_millis(1_000),
        newcomer_wait: Duration::from_millis(700),
        connect_timeout: Duration::from_secs(1),
        // Few, so that cleanup is fast.
        buckets: 256,
        ..RedisOptions::new(url)
    }
}

pub(crate) async fn nodes(count: usize, options: &RedisOptions) -> Vec<AnyRegistry> {
    let mut nodes: Vec<AnyRegistry> = Vec::new();
    for _ in 0..count {
        nodes.push(Redis::connect(node_id(), options.clone()).await.unwrap());
    }
    nodes
}

/// A node with a user, and a receiver of its notices.
pub(crate) struct Node {
    pub(crate) registry: Arc<Redis>,
    pub(crate) user: UserId,
    pub(crate) notices: Receiver<Notice>,
}

impl Node {
    pub(crate) async fn start(options: &RedisOptions) -> Self {
        metrics::start_counting();
        let registry = Redis::connect(node_id(), options.clone()).await.unwrap();
        let node = Self { user: user(), notices: registry.notices(), registry };
        // It is counted even if Redis is unavailable.
        let _ = node.registry.connect(&node.user).await;
        node
    }

    pub(crate) fn id(&self) -> &NodeId {
        self.registry.node()
    }

    pub(crate) fn health(&self) -> Health {
        *self.registry.health().borrow()
    }

    pub(crate) async fn becomes(&self, wanted: Health) {
        let mut health = self.registry.health();
        let changed = health.wait_for(|health| *health == wanted);
        assert!(
            tokio::time::timeout(DEADLINE, changed).await.is_ok(),
            "waited in vain until it is {wanted:?}"
        );
    }

    pub(crate) async fn says(&mut self, wanted: Notice) {
        notice(&mut self.notices, &wanted).await;
    }

    /// Its user is found by `other`, and messages published by `other` arrive.
    pub(crate) async fn is_reached_by(&mut self, other: &Node) {
        let payload = self.published_by(other).await;
        self.says(Notice::Payload(payload)).await;
        let online = other.registry.online(std::slice::from_ref(&self.user)).await;
        assert_eq!(online, Ok(vec![true]));
    }

    /// Published once, although `other` may have to wait for Redis first.
    pub(crate) async fn published_by(&self, other: &Node) -> Bytes {
        let payload = payload();
        until("something is published", async || {
            other.becomes(Health::Connected).await;
            other.registry.publish(to_user(&self.user), payload.clone()).await.is_ok()
        })
        .await;
        payload
    }

    pub(crate) async fn sees(&self, other: &Node, online: bool) {
        until("a user is seen as they are", async || {
            self.registry.online(std::slice::from_ref(&other.user)).await == Ok(vec![online])
        })
        .await;
    }
}

/// Each reports missed messages, and each can reach every other one.
pub(crate) async fn all_recover(nodes: &mut [Node]) {
    for node in nodes.iter_mut() {
        node.says(Notice::Missed).await;
    }
    for at in 1..nodes.len() {
        let (before, rest) = nodes.split_at_mut(at);
        for node in before {
            node.is_reached_by(&rest[0]).await;
            rest[0].is_reached_by(node).await;
        }
    }
}

pub(crate) async fn started(count: usize, options: &RedisOptions) -> Vec<Node> {
    let mut nodes = Vec::new();
    for _ in 0..count {
        nodes.push(Node::start(options).await);
    }
    for node in &nodes {
        until("all know each other", async || node.registry.nodes().len() == count).await;
    }
    nodes
}
