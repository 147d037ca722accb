//! gRPC by a client library, as used by apps: the subject is the memory that it occupies
//! in the server.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures::future::BoxFuture;
use parlance_proto::codec::Encoded;
use parlance_proto::v1;
use prost::Message;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Streaming};

use super::grpc::{EVENT, PATH, WELCOME};
use super::tally::Tally;

pub(super) struct Listener {
    frames: Streaming<Bytes>,
    /// The stream ends with its sending half.
    _requests: mpsc::Sender<Bytes>,
}

/// A connection.
pub(super) async fn connect(address: &str) -> Result<Channel> {
    Ok(Endpoint::from_shared(format!("http://{address}"))?.tcp_nodelay(true).connect().await?)
}

/// Opens a `Chat` stream.
pub(super) async fn open(channel: Channel, token: &str, hello: v1::ClientFrame) -> Result<Listener> {
    let (requests, queue) = mpsc::channel(1);
    requests.send(hello.encode_to_vec().into()).await?;
    let mut request = Request::new(ReceiverStream::new(queue));
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse()?);
    let mut client = Grpc::new(channel);
    client.ready().await?;
    let path = PathAndQuery::from_static(PATH);
    let mut frames = client.streaming(request, path, Encoded).await?.into_inner();
    let first = frames.message().await?.context("no welcome")?;
    ensure!(first.first() == Some(&WELCOME), "no welcome: {first:?}");
    Ok(Listener { frames, _requests: requests })
}

impl Listener {
    /// Counts events until the stream ends.
    pub(super) fn count(self, tally: Arc<Tally>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            // Captures the whole value, not only the field in use.
            let mut listener = self;
            while let Ok(Some(frame)) = listener.frames.message().await {
                if frame.first() == Some(&EVENT) {
                    tally.add(1);
                }
            }
        })
    }
}
