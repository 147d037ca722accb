//! Fleets that share a prefix by mistake, and a Redis that has lost their records.

use std::time::Duration;

use parlance_faults::redis::RedisServer;
use parlance_registry::{ConnectError, Difference, FleetTag, Health, Notice, Redis, RedisOptions, Registry};

use crate::fixture::{Node, all_recover, options, started};
use crate::support::node_id;

/// Options of a fleet on another store with the same prefix.
fn foreign(own: &RedisOptions) -> RedisOptions {
    RedisOptions { fleet: FleetTag::of("foreign", &own.prefix), ..own.clone() }
}

/// Options of the fleet that holds the prefix. Newcomers wait long enough for it to be first even on a
/// busy machine.
fn holder(url: String) -> RedisOptions {
    RedisOptions { newcomer_wait: Duration::from_secs(4), ..options(url) }
}

fn stranger(options: &RedisOptions) -> ConnectError {
    ConnectError::Stranger {
        prefix: options.prefix.clone(),
        different: vec![Difference::Store],
        lease: options.lease,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wiped_prefix_stays_with_the_fleet_that_held_it() {
    let server = RedisServer::start().await.unwrap();
    let own = holder(server.url());
    let mut nodes = started(2, &own).await;
    // The newcomer connects before the others have renewed their leases.
    server.flushall().await.unwrap();
    let refused = Redis::connect(node_id(), foreign(&own)).await;
    assert_eq!(refused.err(), Some(stranger(&own)));
    all_recover(&mut nodes).await;
    assert!(nodes.iter().all(|node| node.health() == Health::Connected));
}

/// A restart without persistence, observed by nodes of both fleets.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn empty_redis_goes_to_the_fleet_that_held_it_before_the_restart() {
    let mut server = RedisServer::start().await.unwrap();
    let own = holder(server.url());
    let mut node = Node::start(&own).await;
    server.kill().await.unwrap();
    node.becomes(Health::Away).await;
    // By then the backoff between its attempts has reached its maximum.
    tokio::time::sleep(own.lease).await;
    let intruder = Redis::connect(node_id(), foreign(&own)).await.unwrap();
    server.restart().await.unwrap();
    node.says(Notice::Missed).await;
    assert_eq!(node.health(), Health::Connected);
    assert_eq!(*intruder.health().borrow(), Health::Away);
    assert_eq!(intruder.nodes().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_fleets_gets_an_empty_redis() {
    let server = RedisServer::start().await.unwrap();
    let own = options(server.url());
    let other = foreign(&own);
    let (first, second) =
        tokio::join!(Redis::connect(node_id(), own.clone()), Redis::connect(node_id(), other.clone()));
    let (holder, refused) = match (first, second) {
        (Ok(holder), Err(refused)) | (Err(refused), Ok(holder)) => (holder, refused),
        both => panic!("{both:?}"),
    };
    assert_eq!(refused, stranger(&own));
    assert_eq!(*holder.health().borrow(), Health::Connected);
}
