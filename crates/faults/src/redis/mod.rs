//! Redis servers that live as long as a test: a single server, a master with replicas under Sentinel, a cluster.
//! Requires Debian's `redis-server` and `redis-sentinel`.

mod cluster;
mod sentinel;
mod server;

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io;
use std::net::TcpListener;
use std::time::Duration;

use tokio::time::Instant;

pub use cluster::RedisCluster;
pub use sentinel::RedisSentinel;
pub use server::RedisServer;

/// A free port that is not used by chance: below the range of outgoing connections, so that a server can be restarted
/// on it.
#[expect(clippy::disallowed_methods, reason = "of a test, which nothing is to repeat")]
pub(crate) fn free_port() -> io::Result<u16> {
    let random = RandomState::new();
    (0..1_000_u32)
        .map(|number| 10_000 + (random.hash_one(number) % 20_000) as u16)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .ok_or_else(|| io::Error::other("there is no free port"))
}

/// Polls until the answer is true.
pub(crate) async fn until(what: &str, mut asked: impl AsyncFnMut() -> bool) -> io::Result<()> {
    let started = Instant::now();
    while !asked().await {
        if started.elapsed() > Duration::from_secs(30) {
            return Err(io::Error::new(io::ErrorKind::TimedOut, format!("waited 30 s until {what}")));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
