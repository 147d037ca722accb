//! Socket.IO: one node with the Redis adapter, as in a deployment of several. It stores
//! nothing. Its acknowledgement means that the node has forwarded the message, not that it
//! arrived anywhere.
//!
//! The client implements Engine.IO 4 and Socket.IO 5 itself. A packet starts with its kind in
//! the former (0 open, 2 ping, 3 pong, 4 message), and for a message in the latter (0 connect,
//! 2 event, 3 acknowledgement); then follow the id for the acknowledgement of an event, and
//! JSON.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Result, ensure};
use tokio::process::Command;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::listeners::Listeners;
use super::process::{Process, folder, free_port};
use super::round::{FanOut, Round, connected, measured};
use super::websocket::WebSocket;

const SERVER: &str = include_str!("socketio/server.js");

#[derive(Debug)]
pub(crate) struct SocketIo {
    node: Process,
    redis: Process,
    port: u16,
    rooms: AtomicU64,
}

impl SocketIo {
    pub(crate) async fn start(installed: &Path) -> Result<Self> {
        let redis_port = free_port()?.to_string();
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--port", &redis_port, "--save", "", "--appendonly", "no"]);
        let redis = Process::start(folder(None).await?, command, redis_port.parse()?).await?;

        let home = folder(None).await?;
        let script = home.path().join("server.js");
        std::fs::write(&script, SERVER)?;
        let port = free_port()?;
        let mut command = Command::new("node");
        command.arg(script).args([&port.to_string(), &redis_port]);
        command.env("NODE_PATH", installed.join("node_modules"));
        let node = Process::start(home, command, port).await?;
        Ok(Self { node, redis, port, rooms: AtomicU64::new(0) })
    }

    pub(crate) async fn fan_out(&self, load: FanOut) -> Result<Round> {
        let FanOut { listeners, messages, pipeline, payload } = load;
        let room = format!("room{}", self.rooms.fetch_add(1, Ordering::Relaxed));
        let mut sender = Client::connect(self.port).await?;
        let readers = connected(0..listeners, async |_| {
            let mut listener = Client::connect(self.port).await?;
            listener.emit(0, &format!(r#"["join","{room}"]"#)).await?;
            listener.acknowledgement().await?;
            Ok(listener)
        })
        .await?;
        let event = format!(r#"["send","{room}","{}"]"#, "x".repeat(payload));
        measured(&[&self.node, &self.redis], async {
            let readers = Listeners::spawn(readers, move |mut listener: Client| async move {
                listener.read_until(messages).await?;
                Ok(listener)
            });
            tokio::try_join!(sender.publish(&event, messages, pipeline as u64), readers.finish())?;
            Ok(messages * listeners as u64)
        })
        .await
    }

    pub(crate) async fn stop(self) -> Result<()> {
        self.node.stop().await?;
        self.redis.stop().await
    }
}

struct Client(WebSocket);

impl Client {
    async fn connect(port: u16) -> Result<Self> {
        let mut socket = WebSocket::connect(port, "/socket.io/?EIO=4&transport=websocket", None).await?;
        let opened = socket.next().await?;
        ensure!(opened.starts_with('0'), "Engine.IO opens with {opened}");
        socket.send("40").await?;
        let connected = socket.next().await?;
        ensure!(connected.starts_with("40{"), "Socket.IO connects with {connected}");
        Ok(Self(socket))
    }

    async fn emit(&mut self, number: u64, event: &str) -> Result<()> {
        self.0.send(format!("42{number}{event}")).await
    }

    async fn publish(&mut self, event: &str, messages: u64, pipeline: u64) -> Result<()> {
        let mut sent = 0;
        for acknowledged in 0..messages {
            while sent < messages.min(acknowledged + pipeline) {
                self.emit(sent, event).await?;
                sent += 1;
            }
            self.acknowledgement().await?;
        }
        Ok(())
    }

    async fn acknowledgement(&mut self) -> Result<()> {
        let packet = self.next().await?;
        ensure!(packet.starts_with("43"), "not an acknowledgement: {packet}");
        Ok(())
    }

    async fn read_until(&mut self, messages: u64) -> Result<()> {
        for _ in 0..messages {
            let packet = self.next().await?;
            ensure!(packet.starts_with("42["), "not an event: {packet}");
        }
        Ok(())
    }

    /// The next packet other than a ping. Pings are answered, or the server would hang up.
    async fn next(&mut self) -> Result<Utf8Bytes> {
        loop {
            let packet = self.0.next().await?;
            if packet != "2" {
                return Ok(packet);
            }
            self.0.send("3").await?;
        }
    }
}
