//! The registry in Redis: the contract on a single server, Sentinel and a cluster,
//! and failures of Redis and of the network.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../contract/mod.rs"]
mod contract;
#[path = "../support/mod.rs"]
mod support;

mod clock;
mod deployments;
mod fixture;
mod fleets;
mod losses;
mod metrics;
mod node_trouble;
mod slowness;
mod traffic;
mod trouble;

/// A single server.
mod single {
    use parlance_faults::redis::RedisServer;

    use crate::fixture::{nodes, options};
    use crate::support::AnyRegistry;

    async fn one() -> (Vec<AnyRegistry>, RedisServer) {
        let server = RedisServer::start().await.unwrap();
        (nodes(1, &options(server.url())).await, server)
    }

    async fn three() -> (Vec<AnyRegistry>, RedisServer) {
        let server = RedisServer::start().await.unwrap();
        (nodes(3, &options(server.url())).await, server)
    }

    mod alone {
        crate::contract::contract!(super::one, alone);
    }
    mod fleet {
        crate::contract::contract!(super::three, fleet);
        crate::contract::contract!(super::three, rates);
    }
}
