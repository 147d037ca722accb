use std::sync::Arc;
use std::time::Duration;

use parlance_core::{Clock, ClockMonitor, SystemClock, TimeSource, Timestamp};
use parlance_faults::redis::RedisServer;
use parlance_registry::{Rates, RedisOptions};
use parlance_runtime::rate::Rate;

use crate::fixture::{Node, options};
use crate::support::{DEADLINE, until};

/// A clock that is ten minutes behind.
struct Behind;

impl Clock for Behind {
    fn now(&self) -> Timestamp {
        Timestamp(SystemClock.now().0 - 600_000)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lease_reveals_clock_offset() {
    let server = RedisServer::start().await.unwrap();
    for (clock, expected) in
        [(Arc::new(Behind) as Arc<dyn Clock>, -600_000..-590_000), (Arc::new(SystemClock), -1_000..1_000)]
    {
        let clock = Arc::new(ClockMonitor::new(clock));
        let _node = Node::start(&RedisOptions { clock: clock.clone(), ..options(server.url()) }).await;
        until("the clocks are compared", async || clock.offset_ms(TimeSource::Registry).is_some()).await;
        let offset = clock.offset_ms(TimeSource::Registry).unwrap();
        assert!(expected.contains(&offset), "{offset}");
    }
}

/// The clock of Redis is set back, or another server with such a clock takes over: what it has stored is ahead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rates_go_on_after_the_clock_was_set_back() {
    let server = RedisServer::start().await.unwrap();
    let node = Node::start(&options(server.url())).await;
    let (key, rate) = ("parlance:rate:limit:alice", Rate::every(Duration::from_millis(20), 3));
    let ahead = ((SystemClock.now().0 + 600_000) * 1_000).to_string();
    server.command(&["SET", key, &ahead, "PX", "600000"]).await.unwrap();
    // The burst counts as used, once.
    assert!(node.registry.take("limit:alice", 1, rate).await.unwrap().is_err());
    until("a permit is there", async || node.registry.take("limit:alice", 1, rate).await == Ok(Ok(()))).await;
    let lasts: u64 = server.command(&["PTTL", key]).await.unwrap().parse().unwrap();
    assert!(lasts < 1_000, "{lasts}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_of_lost_nodes_end_after_the_clock_was_set_back() {
    let server = RedisServer::start().await.unwrap();
    let node = Node::start(&options(server.url())).await;
    let ahead = (SystemClock.now().0 + 600_000).to_string();
    for name in ["lost", "-left"] {
        server.command(&["ZADD", "parlance:nodes", &ahead, name]).await.unwrap();
    }
    until("they have ended", async || {
        let alive = server
            .command(&["ZRANGEBYSCORE", "parlance:nodes", &SystemClock.now().0.to_string(), "+inf"])
            .await;
        let alive = alive.unwrap();
        !alive.contains("lost") && !alive.contains("left")
    })
    .await;
    drop(node);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_of_others_limit_nobody() {
    let server = RedisServer::start().await.unwrap();
    let node = Node::start(&options(server.url())).await;
    let (key, rate) = ("parlance:rate:limit:alice", Rate::every(DEADLINE, 2));
    for value in ["inf", "-inf", "nan", "0x7fffffffffffffff", "1e300", "-1", "999999999999999999999", "", "x"]
    {
        server.command(&["SET", key, value]).await.unwrap();
        let mut taken = Vec::new();
        for _ in 0..3 {
            taken.push(node.registry.take("limit:alice", 1, rate).await.unwrap().is_ok());
        }
        assert_eq!(taken, [true, true, false], "{value}");
        assert_ne!(server.command(&["PTTL", key]).await.unwrap(), "-1", "{value}");
    }
}
