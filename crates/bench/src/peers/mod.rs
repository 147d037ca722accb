//! Other servers under the same load: started with their own folders and ports, measured
//! from outside, stopped. None of them offers everything that Parlance does; each module
//! says what is missing.

mod ejabberd;
mod listeners;
mod nats;
mod process;
mod round;
mod socketio;
mod websocket;

use std::path::Path;

use anyhow::{Result, bail, ensure};

use ejabberd::Ejabberd;
use nats::Nats;
pub(crate) use round::{FanOut, Round};
use socketio::SocketIo;

/// A server to measure.
#[derive(Debug)]
pub(crate) enum Peer {
    Nats(Nats),
    SocketIo(SocketIo),
    Ejabberd(Ejabberd),
}

impl Peer {
    /// Starts NATS as installed by `tools/install-peers`.
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

    /// Delivers messages to everyone in one room. Counts deliveries.
    pub(crate) async fn fan_out(&self, load: FanOut) -> Result<Round> {
        ensure!(load.pipeline > 0, "nothing is sent with a pipeline of 0");
        match self {
            Self::Nats(peer) => peer.fan_out(load).await,
            Self::SocketIo(peer) => peer.fan_out(load).await,
            Self::Ejabberd(peer) => peer.fan_out(load).await,
        }
    }

    /// `senders` spread over `rooms` without other members, each with one message in
    /// flight, `each` messages per sender. Counts acknowledged sends.
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
