//! One measurement of a server.

use std::time::Duration;

use anyhow::{Result, bail};
use futures::{StreamExt, TryStreamExt, stream};
use tokio::time::{Instant, timeout};

use super::process::Process;

/// Timeout of one measurement, after which something must have been lost.
const ROUND_DEADLINE: Duration = Duration::from_secs(300);

/// Concurrent handshakes: enough to keep a server busy, few enough for any accept
/// queue.
const HANDSHAKES: usize = 32;

/// The result of a measurement.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Round {
    /// Deliveries, or acknowledged sends.
    pub(crate) count: u64,
    /// From the first message on, with connections and rooms set up.
    pub(crate) elapsed: Duration,
    /// Processor time of the servers meanwhile, including their databases.
    pub(crate) cpu: Duration,
}

/// One sender, until each message has reached every listener.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FanOut {
    pub(crate) listeners: usize,
    pub(crate) messages: u64,
    /// Messages in flight.
    pub(crate) pipeline: usize,
    /// Message size in bytes.
    pub(crate) payload: usize,
}

impl Round {
    /// Messages per second.
    pub(crate) fn rate(self) -> f64 {
        self.count as f64 / self.elapsed.as_secs_f64()
    }

    /// Microseconds of the servers' processor time per message.
    pub(crate) fn cost(self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.count as f64
    }
}

/// Runs `work`, which returns its count, and measures time and cost.
pub(super) async fn measured(servers: &[&Process], work: impl Future<Output = Result<u64>>) -> Result<Round> {
    let cpu = || servers.iter().map(|server| server.cpu()).sum::<Result<Duration>>();
    let before = cpu()?;
    let start = Instant::now();
    let Ok(count) = timeout(ROUND_DEADLINE, work).await else {
        bail!("not all messages came within {} s", ROUND_DEADLINE.as_secs());
    };
    let elapsed = start.elapsed();
    Ok(Round { count: count?, elapsed, cpu: cpu()?.saturating_sub(before) })
}

/// Runs `connect` for each of `numbers`, some concurrently.
pub(super) async fn connected<T, F: Future<Output = Result<T>>>(
    numbers: std::ops::Range<usize>,
    connect: impl Fn(usize) -> F,
) -> Result<Vec<T>> {
    stream::iter(numbers.map(connect)).buffered(HANDSHAKES).try_collect().await
}
