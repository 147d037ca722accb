use std::sync::Arc;

use parlance_core::{Clock, ClockMonitor, SystemClock, TimeSource, Timestamp};
use parlance_faults::redis::RedisServer;
use parlance_registry::RedisOptions;

use crate::fixture::{Node, options};
use crate::support::until;

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
