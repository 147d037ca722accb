//! NATS core without `JetStream`: a broker that stores nothing and confirms nothing to a
//! publisher. The pure cost of delivering a message to many connections.
//!
//! All options are at their defaults: the manual lists none for throughput. A connection may
//! buffer 64 MiB (`max_pending`) and block for 10 s (`write_deadline`) before it is closed,
//! which fails the measurement.

mod wire;

use std::cell::RefCell;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, ensure};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::process::Command;

use super::listeners::Listeners;
use super::process::{Process, folder, free_port};
use super::round::{FanOut, Round, connected, measured};
use wire::Counter;

const BUFFER: usize = 16 * 1024;

thread_local! {
    /// One buffer for all connections of a thread stays in its cache.
    static READ: RefCell<[u8; BUFFER]> = const { RefCell::new([0; BUFFER]) };
}

/// `verbose` would confirm each line with `+OK`.
const CONNECT: &[u8] =
    b"CONNECT {\"verbose\":false,\"pedantic\":false,\"lang\":\"rust\",\"version\":\"1\"}\r\n";

#[derive(Debug)]
pub(crate) struct Nats {
    server: Process,
    port: u16,
    rooms: AtomicU64,
}

impl Nats {
    pub(crate) async fn start(installed: &Path) -> Result<Self> {
        let port = free_port()?;
        let mut command = Command::new(installed.join("venv/bin/nats-server"));
        command.args(["--addr", "127.0.0.1", "--port", &port.to_string()]);
        let server = Process::start(folder(None).await?, command, port).await?;
        Ok(Self { server, port, rooms: AtomicU64::new(0) })
    }

    pub(crate) async fn fan_out(&self, load: FanOut) -> Result<Round> {
        let FanOut { listeners, messages, pipeline, payload } = load;
        let room = format!("room.{}", self.rooms.fetch_add(1, Ordering::Relaxed));
        let mut sender = Client::connect(self.port).await?;
        let readers = connected(0..listeners, async |_| {
            let mut listener = Client::connect(self.port).await?;
            listener.subscribe(&room).await?;
            Ok(listener)
        })
        .await?;
        let line = format!("PUB {room} {payload}\r\n{}\r\n", "x".repeat(payload));
        measured(&[&self.server], async {
            let readers = Listeners::spawn(readers, move |mut listener| async move {
                listener.read_until(messages).await?;
                Ok(listener)
            });
            tokio::try_join!(sender.publish(&line, messages, pipeline), readers.finish())?;
            Ok(messages * listeners as u64)
        })
        .await
    }

    pub(crate) async fn stop(self) -> Result<()> {
        self.server.stop().await
    }
}

struct Client {
    socket: TcpStream,
    seen: Counter,
}

impl Client {
    async fn connect(port: u16) -> Result<Self> {
        let socket = TcpStream::connect(("127.0.0.1", port)).await.context("cannot connect to NATS")?;
        socket.set_nodelay(true)?;
        let mut client = Self { socket, seen: Counter::default() };
        client.socket.write_all(CONNECT).await?;
        client.flush().await?;
        Ok(client)
    }

    async fn subscribe(&mut self, room: &str) -> Result<()> {
        self.socket.write_all(format!("SUB {room} 1\r\n").as_bytes()).await?;
        self.flush().await
    }

    /// Waits until the server has processed everything sent before.
    async fn flush(&mut self) -> Result<()> {
        self.send_and_flush(b"PING\r\n").await
    }

    /// Sends lines that end with a `PING`, and waits for its answer.
    async fn send_and_flush(&mut self, lines: &[u8]) -> Result<()> {
        let pongs = self.seen.pongs + 1;
        self.socket.write_all(lines).await?;
        self.read_while(|seen| seen.pongs < pongs).await
    }

    async fn publish(&mut self, line: &str, messages: u64, pipeline: usize) -> Result<()> {
        let mut left = messages;
        let mut lines = line.repeat(pipeline) + "PING\r\n";
        while left > 0 {
            let now = left.min(pipeline as u64);
            if now < pipeline as u64 {
                lines = line.repeat(usize::try_from(now)?) + "PING\r\n";
            }
            // In one write, like NATS's own buffering clients.
            self.send_and_flush(lines.as_bytes()).await?;
            left -= now;
        }
        Ok(())
    }

    async fn read_until(&mut self, messages: u64) -> Result<()> {
        self.read_while(|seen| seen.messages < messages).await?;
        ensure!(self.seen.messages == messages, "more messages came than were sent");
        Ok(())
    }

    async fn read_while(&mut self, wanting: impl Fn(&Counter) -> bool) -> Result<()> {
        while wanting(&self.seen) {
            self.socket.readable().await?;
            let seen = &mut self.seen;
            let read = READ.with_borrow_mut(|buffer| match self.socket.try_read(buffer) {
                Ok(0) => Err(anyhow::anyhow!("NATS has cut a connection off")),
                Ok(read) => seen.take(&buffer[..read]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(()),
                Err(error) => Err(error.into()),
            });
            read?;
            for _ in 0..std::mem::take(&mut self.seen.pings) {
                self.socket.write_all(b"PONG\r\n").await?;
            }
        }
        Ok(())
    }
}
