//! Other servers under the same load: started with folders and ports of their own, measured
//! from outside, ended. None of them does all that this one does; what each leaves out is
//! said where it is driven.

mod ejabberd;
mod listeners;
mod nats;
mod process;
mod socketio;
mod websocket;

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use tokio::time::{Instant, timeout};

use ejabberd::Ejabberd;
use nats::Nats;
use process::Process;
use socketio::SocketIo;

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

/// A server to measure.
#[derive(Debug)]
pub(crate) enum Peer {
    Nats(Nats),
    SocketIo(SocketIo),
    Ejabberd(Ejabberd),
}

impl Peer {
    /// Starts NATS from what `tools/install-peers` installed.
    pub(crate) async fn nats(installed: &Path) -> Result<Self> {
        Nats::start(installed).await.map(Self::Nats)
    }

    /// Starts Socket.IO and its Redis.
    pub(crate) async fn socket_io(installed: &Path) -> Result<Self> {
        SocketIo::start(installed).await.map(Self::SocketIo)
    }

    /// Starts ejabberd and its `PostgreSQL`.
    pub(crate) async fn ejabberd(installed: &Path) -> Result<Self> {
        Ejabberd::start(installed).await.map(Self::Ejabberd)
    }

    /// Brings messages to everyone in one room. Counts deliveries.
    pub(crate) async fn fan_out(&self, load: FanOut) -> Result<Round> {
        ensure!(load.pipeline > 0, "nothing is sent with a pipeline of 0");
        match self {
            Self::Nats(peer) => peer.fan_out(load).await,
            Self::SocketIo(peer) => peer.fan_out(load).await,
            Self::Ejabberd(peer) => peer.fan_out(load).await,
        }
    }

    /// `senders` spread over `rooms`, whose only members they are, each with one message on
    /// its way at a time, `each` in all. Counts acknowledged sends.
    pub(crate) async fn sends(
        &self,
        senders: usize,
        rooms: usize,
        each: u64,
        payload: usize,
    ) -> Result<Round> {
        match self {
            Self::Ejabberd(peer) => peer.sends(senders, rooms, each, payload).await,
            Self::Nats(_) | Self::SocketIo(_) => bail!("it stores nothing: its sends say nothing"),
        }
    }

    pub(crate) async fn stop(self) -> Result<()> {
        match self {
            Self::Nats(peer) => peer.stop().await,
            Self::SocketIo(peer) => peer.stop().await,
            Self::Ejabberd(peer) => peer.stop().await,
        }
    }
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
async fn measured(servers: &[&Process], work: impl Future<Output = Result<u64>>) -> Result<Round> {
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
async fn connected<T, F: Future<Output = Result<T>>>(
    numbers: std::ops::Range<usize>,
    connect: impl Fn(usize) -> F,
) -> Result<Vec<T>> {
    stream::iter(numbers.map(connect)).buffered(HANDSHAKES).try_collect().await
}
