//! Baseline servers that only receive bytes and send them to everyone. In processes of
//! their own, like the servers compared.

mod grpc;
pub(super) mod tcp;
mod websocket;

use std::fmt;
use std::process::Stdio;

use anyhow::{Context, Result};
use bytes::Bytes;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::sync::broadcast;

use self::tcp::PAYLOAD;
use super::grpc::EVENT;

/// Queue length per listener.
const QUEUE: usize = 16 * 1024;

/// The framing of its bytes, by the library that users of Parlance would choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Bare {
    /// None.
    Tcp,
    /// WebSocket messages, by tokio-tungstenite.
    #[value(name = "websocket")]
    WebSocket,
    /// Pre-encoded messages of a gRPC stream, by tonic.
    Grpc,
}

impl Bare {
    /// The first bytes of Parlance's messages, by which listeners count them.
    fn beginning(self) -> &'static [u8] {
        match self {
            Self::Tcp => &[],
            Self::WebSocket => b"{\"event\"",
            Self::Grpc => &[EVENT],
        }
    }
}

impl fmt::Display for Bare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "bare TCP",
            Self::WebSocket => "bare tokio-tungstenite",
            Self::Grpc => "bare tonic",
        })
    }
}

pub(in crate::measure) struct BareServer {
    child: Child,
    /// The addresses for listeners and for the sender.
    address: String,
    control: String,
}

impl BareServer {
    /// Starts it.
    pub(in crate::measure) async fn start(bare: Bare) -> Result<Self> {
        let program = std::env::current_exe()?;
        let kind = clap::ValueEnum::to_possible_value(&bare).context("it has a name")?;
        let mut command = Command::new(program);
        command.args(["bare", kind.get_name()]).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let output = child.stdout.take().context("its output is piped")?;
        let mut lines = BufReader::new(output).lines();
        let address = lines.next_line().await?.context("no address")?;
        let control = lines.next_line().await?.context("no address of who sends")?;
        Ok(Self { child, address, control })
    }

    pub(in crate::measure) fn address(&self) -> &str {
        &self.address
    }

    pub(in crate::measure) fn pid(&self) -> Result<u32> {
        self.child.id().context("the bare server has ended")
    }

    /// A sending connection.
    pub(in crate::measure) async fn sender(&self) -> Result<BareSender> {
        let socket = TcpStream::connect(&self.control).await?;
        socket.set_nodelay(true)?;
        Ok(BareSender(socket))
    }
}

pub(in crate::measure) struct BareSender(TcpStream);

impl BareSender {
    /// Broadcasts the payload.
    pub(in crate::measure) async fn send(&mut self) -> Result<()> {
        Ok(self.0.write_all(&[b'x'; PAYLOAD]).await?)
    }
}

/// Serves until killed: implements the hidden command.
pub(in crate::measure) async fn serve(bare: Bare) -> Result<()> {
    let (listeners, senders) = (bind().await?, bind().await?);
    println!("{}\n{}", listeners.local_addr()?, senders.local_addr()?);
    let (payloads, _) = broadcast::channel(QUEUE);
    let listening = async {
        match bare {
            Bare::Tcp => tcp::serve(listeners, payloads.clone()).await,
            Bare::WebSocket => websocket::serve(listeners, payloads.clone()).await,
            Bare::Grpc => grpc::serve(listeners, payloads.clone()).await,
        }
    };
    let sending = async {
        loop {
            let (socket, _) = senders.accept().await?;
            tokio::spawn(read(socket, bare.beginning(), payloads.clone()));
        }
    };
    tokio::select! {
        ended = listening => ended,
        ended = sending => ended,
    }
}

async fn bind() -> Result<TcpListener> {
    Ok(TcpListener::bind("127.0.0.1:0").await?)
}

async fn read(mut socket: TcpStream, beginning: &[u8], payloads: broadcast::Sender<Bytes>) -> Result<()> {
    let mut payload = [0; PAYLOAD];
    loop {
        socket.read_exact(&mut payload).await?;
        payload[..beginning.len()].copy_from_slice(beginning);
        let _ = payloads.send(Bytes::copy_from_slice(&payload));
    }
}
