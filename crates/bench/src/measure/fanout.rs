//! Deliveries a second to many listeners of one room.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use parlance_client::transport::{Connection, Door};
use parlance_proto::v1::server_frame::Frame;
use parlance_proto::{SharedFrame, v1};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval};

use super::bare::Broadcast;
use super::raw::{Creator, acknowledged, connect, connect_all, create_users, message};
use super::raw_websocket;
use super::series::Series;
use super::{Effort, progress, text};
use crate::server_process::ServerProcess;

/// Messages that the sender has unacknowledged at a time.
const IN_FLIGHT: usize = 32;

/// How long one round may take.
const DEADLINE: Duration = Duration::from_secs(180);

/// How the listeners listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Grpc,
    WebSocket,
    /// Bytes over TCP, each payload a write of its own.
    Bare,
    /// Bytes over TCP, one write for what waits, as far as the others would let it wait.
    BareGathered,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Grpc => "gRPC",
            Self::WebSocket => "WebSocket (JSON)",
            Self::Bare => "bare TCP, a write each",
            Self::BareGathered => "bare TCP, gathered",
        })
    }
}

/// One room full of listeners.
struct Room {
    address: String,
    id: String,
    sender: String,
    listeners: Vec<String>,
}

pub(super) async fn measure(effort: &Effort) -> Result<()> {
    let server = Box::pin(ServerProcess::start(&effort.server, &[])).await?;
    let room = Box::pin(Room::fill(server.address(), effort.listeners)).await?;
    let mut results =
        [Way::Grpc, Way::WebSocket, Way::Bare, Way::BareGathered].map(|way| (way, Series::default()));
    for round in 0..effort.rounds {
        progress("deliveries", round, effort.rounds);
        for (way, series) in &mut results {
            series.push(Box::pin(room.round(*way, effort, round)).await?);
        }
    }
    println!(
        "deliveries a second to {} listeners of one room ({} bytes of text)",
        effort.listeners,
        text().len()
    );
    let [_, _, (_, bare), (_, gathered)] = &results;
    println!("{:<24} {:<26} {:>16} {:>14}", "", "", "of a write each", "of gathered");
    for (way, series) in &results {
        println!("{way:<24} {series:<26} {:>16} {:>14}", series.ratio(bare), series.ratio(gathered));
    }
    println!();
    server.stop().await
}

impl Room {
    async fn fill(address: &str, listeners: usize) -> Result<Self> {
        let ids: Vec<_> = (0..=listeners).map(|user| format!("fan:{user}")).collect();
        let mut tokens = create_users(address, &ids).await?;
        let id = Creator::new(address).await?.room("fan-out", &ids).await?;
        let sender = tokens.pop().context("there is a sender")?;
        Ok(Self { address: address.to_owned(), id, sender, listeners: tokens })
    }

    /// Sends all messages and waits until they have come to everyone.
    async fn round(&self, way: Way, effort: &Effort, round: usize) -> Result<f64> {
        let received = Arc::new(AtomicU64::new(0));
        let expected = effort.messages * self.listeners.len() as u64;
        let mut listening = JoinSet::new();
        match way {
            Way::Grpc => {
                for connection in connect_all(&self.address, Door::Grpc, &self.listeners).await? {
                    listening.spawn(count(connection, Arc::clone(&received)));
                }
            }
            Way::WebSocket => {
                for socket in raw_websocket::open_all(&self.address, &self.listeners).await? {
                    listening.spawn(raw_websocket::count_events(socket, Arc::clone(&received)));
                }
            }
            Way::Bare => return bare_round(effort, 1, &received, expected).await,
            Way::BareGathered => return bare_round(effort, IN_FLIGHT, &received, expected).await,
        }
        let sender = connect(&self.address, Door::Grpc, &self.sender).await?;
        let began = Instant::now();
        let sent = self.send(sender, effort.messages, format!("{way:?}-{round}-"));
        let (sent, all) = tokio::join!(Box::pin(sent), wait_for(&received, expected));
        sent?;
        all?;
        Ok(expected as f64 / began.elapsed().as_secs_f64())
    }

    async fn send(&self, mut sender: Connection, messages: u64, prefix: String) -> Result<()> {
        let text = text();
        let mut unanswered = VecDeque::new();
        let mut head = None;
        for number in 0..messages {
            sender.send(message(&self.id, &format!("{prefix}{number}"), &text, head)).await?;
            unanswered.push_back(number);
            while unanswered.len() >= IN_FLIGHT || (number + 1 == messages && !unanswered.is_empty()) {
                let frame = sender.recv().await?.context("the stream ended")?;
                if let Some(seq) = acknowledged(frame)? {
                    unanswered.pop_front();
                    head = head.max(Some(seq));
                }
            }
        }
        Ok(())
    }
}

async fn bare_round(
    effort: &Effort,
    gathered: usize,
    received: &Arc<AtomicU64>,
    expected: u64,
) -> Result<f64> {
    let event = v1::Event {
        room_id: format!("r{:032}", 1),
        seq: 1_000,
        actor_id: "fan:1000".to_owned(),
        request_id: "Bare-0-100".to_owned(),
        message_count: 1_000,
        body: Some(v1::event::Body::Message(v1::Message { text: text(), ..Default::default() })),
        ..Default::default()
    };
    let payload = SharedFrame::from(Frame::Event(event)).proto().clone();
    let queue = effort.messages as usize;
    let broadcast = Broadcast::start(effort.listeners, payload.len(), queue, gathered, received).await?;
    let began = Instant::now();
    for _ in 0..effort.messages {
        broadcast.send(payload.clone());
    }
    wait_for(received, expected).await?;
    Ok(expected as f64 / began.elapsed().as_secs_f64())
}

/// Counts events until the connection ends.
async fn count(mut connection: Connection, received: Arc<AtomicU64>) {
    while let Ok(Some(frame)) = connection.recv().await {
        if matches!(frame.frame, Some(Frame::Event(_))) {
            received.fetch_add(1, Ordering::Relaxed);
        }
    }
}

async fn wait_for(received: &AtomicU64, expected: u64) -> Result<()> {
    let deadline = Instant::now() + DEADLINE;
    let mut look = interval(Duration::from_millis(1));
    loop {
        look.tick().await;
        let so_far = received.load(Ordering::Relaxed);
        if so_far >= expected {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("{so_far} of {expected} deliveries within {} s", DEADLINE.as_secs());
        }
    }
}
