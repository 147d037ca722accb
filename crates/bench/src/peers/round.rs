//! One measurement of a server.

use std::time::Duration;

use anyhow::{Result, bail};
use futures::{StreamExt, TryStreamExt, stream};
use tokio::time::{Instant, timeout};

use super::process::Process;

/// How long one measurement may take before something must have been lost.
const ROUND_DEADLINE: Duration = Duration::from_secs(300);

/// Handshakes at a time: enough to keep a server busy, few enough for any accept queue.
const HANDSHAKES: usize = 32;

/// What was measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Round {
    /// Deliveries, or acknowledged sends.
    pub(crate) count: u64,
    /// From the first message on, connections and rooms being there.
    pub(crate) elapsed: Duration,
    /// What the servers, their databases included, spent meanwhile.
    pub(crate) cpu: Duration,
}

/// One sender, until each message has come to every listener.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FanOut {
    pub(crate) listeners: usize,
    pub(crate) messages: u64,
    /// Messages on their way at a time.
    pub(crate) pipeline: usize,
    /// Bytes of a message.
    pub(crate) payload: usize,
}

impl Round {
    /// How many a second.
    pub(crate) fn rate(self) -> f64 {
        self.count as f64 / self.elapsed.as_secs_f64()
    }

    /// Microseconds of the servers' time for each.
    pub(crate) fn cost(self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.count as f64
    }
}

/// Runs `work`, which knows how much it counted, against the clocks.
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

/// `connect` for each of `numbers`, some at a time.
pub(super) async fn connected<T, F: Future<Output = Result<T>>>(
    numbers: std::ops::Range<usize>,
    connect: impl Fn(usize) -> F,
) -> Result<Vec<T>> {
    stream::iter(numbers.map(connect)).buffered(HANDSHAKES).try_collect().await
}
