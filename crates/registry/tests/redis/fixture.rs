use std::time::Duration;
use std::sync::Arc;

use parlance_registry::{Redis, RedisOptions};

use crate::support::{AnyRegistry, node_id};

/// Some times faster than in earnest, that tests need not wait.
pub(crate) fn options(url: String) -> RedisOptions {
    RedisOptions {
        lease: Duration::from_millis(2_500),
        heartbeat: Duration::from_millis(200),
        unheard: Duration::from_millis(1_000),
        connect_timeout: Duration::from_secs(1),
        ..RedisOptions::new(url)
    }
}

pub(crate) async fn node(options: &RedisOptions) -> Arc<Redis> {
    Redis::connect(node_id(), options.clone()).await.unwrap()
}

pub(crate) async fn nodes(count: usize, options: &RedisOptions) -> Vec<AnyRegistry> {
    let mut nodes: Vec<AnyRegistry> = Vec::new();
    for _ in 0..count {
        nodes.push(node(options).await);
    }
    nodes
}
