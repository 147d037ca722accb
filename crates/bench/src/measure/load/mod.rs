//! Listeners that cost as little as can be, so that what is measured is the server: frames
//! are counted and never decoded.

pub(super) mod bare;
mod channel;
mod grpc;
mod talker;
mod trust;
mod websocket;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};
use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt};
use parlance_proto::v1;
use parlance_proto::v1::client_frame::Operation;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;
use tonic::transport::Channel;

pub(crate) use bare::Bare;
pub(super) use bare::{BareSender, BareServer};
pub(super) use talker::Talker;
pub(super) use trust::Trust;

/// Connections that are opened at a time.
const AT_ONCE: usize = 64;

/// How long deliveries may take that are waited for.
const DEADLINE: Duration = Duration::from_secs(180);

/// What a listener listens to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Grpc,
    WebSocketJson,
    WebSocketBinary,
    /// A server that writes bytes to everyone and does nothing else.
    Bare(Bare),
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Grpc => f.write_str("gRPC"),
            Self::WebSocketJson => f.write_str("WebSocket (JSON)"),
            Self::WebSocketBinary => f.write_str("WebSocket (binary)"),
            Self::Bare(bare) => bare.fmt(f),
        }
    }
}

/// Where a server is, and whom to trust that it is the one: without, it speaks no TLS.
#[derive(Debug, Clone, Copy)]
pub(super) struct At<'a> {
    pub(super) address: &'a str,
    pub(super) trust: Option<&'a Trust>,
}

/// A connection to it.
type Socket = Either<TcpStream, Box<TlsStream<TcpStream>>>;

impl At<'_> {
    async fn connect(self) -> Result<Socket> {
        let socket = TcpStream::connect(self.address).await?;
        socket.set_nodelay(true)?;
        Ok(match self.trust {
            None => Either::Left(socket),
            Some(trust) => Either::Right(Box::new(trust.connect(socket).await?)),
        })
    }
}

impl<'a> From<&'a str> for At<'a> {
    fn from(address: &'a str) -> Self {
        Self { address, trust: None }
    }
}

/// Events that have come to all listeners together.
#[derive(Debug, Default)]
pub(super) struct Tally {
    events: AtomicU64,
    /// Whoever waits is told once this many have come.
    wanted: AtomicU64,
    reached: Notify,
}

impl Tally {
    fn add(&self, events: u64) {
        let now = self.events.fetch_add(events, Ordering::AcqRel) + events;
        let wanted = self.wanted.load(Ordering::Acquire);
        if now >= wanted && now - events < wanted {
            self.reached.notify_one();
        }
    }

    pub(super) fn events(&self) -> u64 {
        self.events.load(Ordering::Acquire)
    }

    /// Waits until this many events have come since the beginning. One waits at a time.
    pub(super) async fn reach(&self, wanted: u64) -> Result<()> {
        self.wanted.store(wanted, Ordering::Release);
        let waited = timeout(DEADLINE, async {
            // A permit may be left of an earlier wait.
            while self.events() < wanted {
                let _ = timeout(Duration::from_millis(100), self.reached.notified()).await;
            }
        });
        if waited.await.is_err() {
            bail!("{} of {wanted} deliveries within {} s", self.events(), DEADLINE.as_secs());
        }
        Ok(())
    }
}

/// What to say at first: with `from`, that everything up to there is known.
pub(super) fn hello(from: Option<&v1::Cursor>) -> v1::ClientFrame {
    let cursors = from.into_iter().cloned().collect();
    let operation = Some(Operation::Hello(v1::Hello { cursors, ..Default::default() }));
    v1::ClientFrame { request_id: "hello".to_owned(), operation, as_user: String::new() }
}

/// Opens a connection that is welcomed, and counts what comes when it is polled. Without
/// `from`, what happened before may come, too.
pub(super) async fn open(
    way: Way,
    at: At<'_>,
    token: &str,
    from: Option<&v1::Cursor>,
    tally: Arc<Tally>,
) -> Result<BoxFuture<'static, ()>> {
    let hello = hello(from);
    Ok(match way {
        Way::Grpc | Way::Bare(Bare::Grpc) => Box::pin(grpc::open(at, token, &hello)).await?.count(tally),
        Way::WebSocketJson | Way::Bare(Bare::WebSocket) => {
            Box::pin(websocket::open(at, token, &hello, false)).await?.count(tally)
        }
        Way::WebSocketBinary => Box::pin(websocket::open(at, token, &hello, true)).await?.count(tally),
        Way::Bare(Bare::Tcp) => bare::tcp::listen(at.address).await?.count(tally),
    })
}

/// Connections that listen until this is dropped.
pub(super) struct Listeners {
    tasks: JoinSet<()>,
    pub(super) tally: Arc<Tally>,
}

impl Listeners {
    /// A connection for each token, with what is known there; all of them open and welcomed.
    pub(super) async fn open(
        way: Way,
        at: At<'_>,
        people: impl IntoIterator<Item = (&String, Option<&v1::Cursor>)>,
    ) -> Result<Self> {
        let tally = Arc::new(Tally::default());
        let opened =
            futures::stream::iter(people).map(|(token, from)| open(way, at, token, from, tally.clone()));
        let opened: Vec<_> = opened.buffer_unordered(AT_ONCE).try_collect().await?;
        let mut tasks = JoinSet::new();
        for counting in opened {
            tasks.spawn(counting);
        }
        Ok(Self { tasks, tally })
    }

    /// A gRPC stream for each token, by a client library: each on a connection of its own, or
    /// spread over these.
    pub(super) async fn open_streams(
        address: &str,
        tokens: &[String],
        channels: Option<&[Channel]>,
    ) -> Result<(Self, Vec<Channel>)> {
        let tally = Arc::new(Tally::default());
        let opened = tokens.iter().enumerate().map(|(number, token)| async move {
            let channel = match channels {
                Some(channels) => channels[number % channels.len()].clone(),
                None => channel::connect(address).await?,
            };
            let listener = channel::open(channel.clone(), token, hello(None)).await?;
            anyhow::Ok((listener, channel))
        });
        // Streams of one connection one after the other: all at once they would fill its buffers.
        let at_once = if channels.is_some() { 1 } else { AT_ONCE };
        let mut opened = futures::stream::iter(opened).buffer_unordered(at_once);
        let (mut tasks, mut used) = (JoinSet::new(), Vec::with_capacity(tokens.len()));
        // Read at once: what is not read holds up the others of its connection.
        while let Some((listener, channel)) = opened.try_next().await? {
            tasks.spawn(listener.count(tally.clone()));
            used.push(channel);
        }
        Ok((Self { tasks, tally }, used))
    }

    /// Closes all of them before it returns: their descriptors are needed again.
    pub(super) async fn close(mut self) {
        self.tasks.shutdown().await;
    }

    /// Those whose connection has not ended.
    pub(super) fn open_still(&mut self) -> usize {
        while self.tasks.try_join_next().is_some() {}
        self.tasks.len()
    }

    pub(super) fn len(&self) -> usize {
        self.tasks.len()
    }
}

/// Sockets that say hello and then read nothing, until they are dropped.
pub(super) async fn stalled(address: &str, tokens: &[String]) -> Result<Vec<impl Sized + use<>>> {
    let opened = futures::stream::iter(tokens)
        .map(|token| async { websocket::open(address.into(), token, &hello(None), false).await });
    opened.buffer_unordered(AT_ONCE).try_collect().await
}
