//! Listeners that cost as little as possible, so that the measurement reflects the server: frames
//! are counted but never decoded.

mod at;
pub(super) mod bare;
mod channel;
mod grpc;
mod hello;
mod talker;
mod tally;
mod trust;
mod way;
mod websocket;

use std::sync::Arc;

use anyhow::Result;
use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt};
use parlance_proto::v1;
use tokio::task::JoinSet;
use tonic::transport::Channel;

pub(super) use at::At;
pub(crate) use bare::Bare;
pub(super) use bare::{BareSender, BareServer};
pub(super) use hello::hello;
pub(super) use talker::Talker;
pub(super) use trust::Trust;
pub(super) use way::Way;

use hello::AT_ONCE;
use tally::Tally;

/// Opens a connection, and counts events when it is polled. Without `from`, past events may be
/// included.
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

/// Listening connections, until this is dropped.
pub(super) struct Listeners {
    tasks: JoinSet<()>,
    pub(super) tally: Arc<Tally>,
}

impl Listeners {
    /// Opens a connection for each token, with the known cursor; returns once all are welcomed.
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

    /// Opens a gRPC stream for each token, by a client library: each on its own connection, or
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
        // One stream of a connection after the other: all at once would fill its buffers.
        let at_once = if channels.is_some() { 1 } else { AT_ONCE };
        let mut opened = futures::stream::iter(opened).buffer_unordered(at_once);
        let (mut tasks, mut used) = (JoinSet::new(), Vec::with_capacity(tokens.len()));
        // Read immediately: unread data blocks the other streams of its connection.
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

    /// The number of connections that have not ended.
    pub(super) fn open_still(&mut self) -> usize {
        while self.tasks.try_join_next().is_some() {}
        self.tasks.len()
    }

    pub(super) fn len(&self) -> usize {
        self.tasks.len()
    }
}

/// Opens sockets that say hello and then read nothing, until they are dropped.
pub(super) async fn stalled(address: &str, tokens: &[String]) -> Result<Vec<impl Sized + use<>>> {
    let opened = futures::stream::iter(tokens)
        .map(|token| async { websocket::open(address.into(), token, &hello(None), false).await });
    opened.buffer_unordered(AT_ONCE).try_collect().await
}
