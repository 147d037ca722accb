use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::sync::broadcast;

use super::Tally;

/// What the bare server writes to each listener, bytes: a 200-byte message as an event.
const PAYLOAD: usize = 300;

/// Payloads that may wait for a listener.
const QUEUE: usize = 16 * 1024;

const LISTENER: u8 = b'L';
const SENDER: u8 = b'S';

/// What a server cannot do without: bytes come in, and go out to everyone. In a process of
/// its own, as the others are.
pub(in crate::measure) struct BareServer {
    child: Child,
    address: String,
}

impl BareServer {
    /// Starts it.
    pub(in crate::measure) async fn start() -> Result<Self> {
        let program = std::env::current_exe()?;
        let mut child =
            Command::new(program).arg("bare").stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let output = child.stdout.take().context("its output is piped")?;
        let address = BufReader::new(output).lines().next_line().await?.context("no address")?;
        Ok(Self { child, address })
    }

    pub(in crate::measure) fn address(&self) -> &str {
        &self.address
    }

    pub(in crate::measure) fn pid(&self) -> Result<u32> {
        self.child.id().context("the bare server has ended")
    }

    /// A connection that sends.
    pub(in crate::measure) async fn sender(&self) -> Result<BareSender> {
        let mut socket = TcpStream::connect(&self.address).await?;
        socket.set_nodelay(true)?;
        socket.write_u8(SENDER).await?;
        Ok(BareSender(socket))
    }
}

pub(in crate::measure) struct BareSender(TcpStream);

impl BareSender {
    /// Has it written to everyone.
    pub(in crate::measure) async fn send(&mut self) -> Result<()> {
        Ok(self.0.write_all(&[b'x'; PAYLOAD]).await?)
    }
}

/// Serves until it is killed: what the hidden command does.
pub(in crate::measure) async fn serve() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    let (payloads, _) = broadcast::channel(QUEUE);
    loop {
        let (mut socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        let payloads = payloads.clone();
        tokio::spawn(async move {
            match socket.read_u8().await {
                Ok(LISTENER) => write(socket, payloads.subscribe()).await,
                Ok(SENDER) => read(socket, payloads).await,
                _ => Ok(()),
            }
        });
    }
}

async fn write(mut socket: TcpStream, mut payloads: broadcast::Receiver<Bytes>) -> Result<()> {
    // It is subscribed.
    socket.write_u8(LISTENER).await?;
    loop {
        socket.write_all(&payloads.recv().await?).await?;
    }
}

async fn read(mut socket: TcpStream, payloads: broadcast::Sender<Bytes>) -> Result<()> {
    let mut payload = [0; PAYLOAD];
    loop {
        socket.read_exact(&mut payload).await?;
        let _ = payloads.send(Bytes::copy_from_slice(&payload));
    }
}

pub(super) struct Listener(TcpStream);

pub(super) async fn listen(address: &str) -> Result<Listener> {
    let mut socket = TcpStream::connect(address).await?;
    socket.write_u8(LISTENER).await?;
    ensure!(socket.read_u8().await? == LISTENER, "not a bare server");
    Ok(Listener(socket))
}

impl Listener {
    pub(super) fn count(mut self, tally: Arc<Tally>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let mut buffer = vec![0; 16 * 1024];
            let mut rest = 0;
            while let Ok(read @ 1..) = self.0.read(&mut buffer).await {
                rest += read;
                let events = rest / PAYLOAD;
                rest %= PAYLOAD;
                if events > 0 {
                    tally.add(events as u64);
                }
            }
        })
    }
}
