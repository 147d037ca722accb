//! Measures what the registry costs Redis: bytes for each user online, and time. Starts a
//! server of its own.
//!
//! `cargo run --release -p parlance-registry --example redis_figures -- [users]`
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a tool for whoever measures")]

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use bytes::Bytes;
use futures::future::join_all;
use parlance_core::UserId;
use parlance_faults::redis::RedisServer;
use parlance_registry::{Health, NodeId, Notice, Redis, RedisOptions, Registry, To};

#[tokio::main]
async fn main() {
    let count: usize = std::env::args().nth(1).map_or(1_000_000, |count| count.parse().unwrap());
    let server = RedisServer::start().await.unwrap();
    let options =
        RedisOptions { command_timeout: Duration::from_secs(10), ..RedisOptions::new(server.url()) };
    let node = async |number| Redis::connect(NodeId::from_random(number), options.clone()).await.unwrap();
    let (one, other) = (node(1).await, node(2).await);
    // 20 bytes each.
    let users: Vec<UserId> =
        (0..count).map(|number| UserId::parse(&format!("user-{number:015}")).unwrap()).collect();

    let used = async || server.info("used_memory").await.unwrap() as f64;
    let before = used().await;
    let started = Instant::now();
    for some in users.chunks(50_000) {
        join_all(some.iter().map(|user| one.connect(user))).await;
    }
    let (took, after) = (started.elapsed(), used().await);
    println!("registered {count} users in {took:.1?}, {:.1} bytes each", (after - before) / count as f64);
    join_all(users.iter().take(count / 10).map(|user| other.connect(user))).await;
    println!("a tenth of them on a second node: {:.1} bytes each", (used().await - before) / count as f64);

    let asked = Instant::now();
    one.online(&users[..count.min(100_000)]).await.unwrap();
    println!("looked up {} users in {:.1?}", count.min(100_000), asked.elapsed());
    for members in [2, 50, 256] {
        let to = To { users: &users[..members], room: None };
        let sent = Instant::now();
        for _ in 0..2_000 {
            one.publish(to, Bytes::from_static(&[7; 300])).await.unwrap();
        }
        println!(
            "published to {members} members on two nodes: {:.0?} each, one after the other",
            sent.elapsed() / 2_000
        );
        let sent = Instant::now();
        for _ in 0..200 {
            let all = join_all((0..100).map(|_| one.publish(to, Bytes::from_static(&[7; 300])))).await;
            assert!(all.iter().all(Result::is_ok));
        }
        println!("  and {:.0} a second, 100 at once", 20_000.0 / sent.elapsed().as_secs_f64());
    }

    let mut notices = one.notices();
    while notices.try_recv().is_ok() {}
    server.flushall().await.unwrap();
    let wiped = Instant::now();
    let mut health = one.health();
    health.wait_for(|health| *health == Health::Away).await.unwrap();
    let noticed = wiped.elapsed();
    while notices.recv().await.unwrap() != Notice::Missed {}
    println!(
        "after a wipe: noticed in {noticed:.1?}, all registered again {:.1?} later",
        wiped.elapsed() - noticed
    );
    let closing = Instant::now();
    join_all([one, other].iter().map(Arc::clone).map(|node| async move { node.close().await })).await;
    println!("closed in {:.1?}", closing.elapsed());
}
