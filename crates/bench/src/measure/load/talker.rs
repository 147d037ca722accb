use anyhow::{Context, Result, bail};
use futures::{StreamExt, TryStreamExt, stream};
use parlance_proto::v1;
use parlance_proto::v1::reply::Result as Answer;
use parlance_proto::v1::server_frame::Frame;
use prost::Message;

use super::grpc::REPLY;
use super::hello::{AT_ONCE, hello};
use super::way::Way;
use super::{grpc, websocket};

/// A sending connection, as cheap as the listeners: only answers are decoded.
pub(in crate::measure) struct Talker {
    ends: Ends,
    /// The last received answer.
    answer: Option<v1::ServerFrame>,
}

enum Ends {
    Grpc(Box<grpc::Listener>),
    WebSocket(Box<websocket::Listener>),
}

impl Talker {
    /// Opens a connection.
    async fn open(way: Way, address: &str, token: &str, from: &v1::Cursor) -> Result<Self> {
        let (at, hello) = (address.into(), hello(Some(from)));
        let ends = match way {
            Way::Grpc => Ends::Grpc(Box::new(grpc::open(at, token, &hello).await?)),
            Way::WebSocketBinary => {
                Ends::WebSocket(Box::new(websocket::open(at, token, &hello, true).await?))
            }
            other => bail!("nobody talks by {other}"),
        };
        Ok(Self { ends, answer: None })
    }

    /// Opens a connection for each token, in order, with the known cursor.
    pub(in crate::measure) async fn open_all(
        way: Way,
        address: &str,
        people: impl IntoIterator<Item = (&String, &v1::Cursor)>,
    ) -> Result<Vec<Self>> {
        let opened = people.into_iter().map(|(token, from)| Box::pin(Self::open(way, address, token, from)));
        stream::iter(opened).buffered(AT_ONCE).try_collect().await
    }

    pub(in crate::measure) async fn send(&mut self, frame: &v1::ClientFrame) -> Result<()> {
        match &mut self.ends {
            Ends::Grpc(ends) => ends.send(frame).await,
            Ends::WebSocket(ends) => ends.send(frame).await,
        }
    }

    /// Reads some bytes. Cancel-safe: they are kept.
    pub(in crate::measure) async fn read(&mut self) -> Result<()> {
        let Self { ends, answer } = self;
        let mut failed = None;
        let visit = |message: &[u8]| {
            if message.first() == Some(&REPLY) {
                match v1::ServerFrame::decode(message) {
                    Ok(frame) => *answer = Some(frame),
                    Err(error) => failed = Some(error),
                }
            }
        };
        match ends {
            Ends::Grpc(ends) => ends.read(visit).await?,
            Ends::WebSocket(ends) => ends.read(visit).await?,
        }
        failed.map_or(Ok(()), |error| Err(error.into()))
    }

    /// The seq in the answer to the sent message.
    pub(in crate::measure) async fn seq(&mut self) -> Result<u64> {
        loop {
            if let Some(answer) = self.answer.take() {
                let Frame::Reply(reply) = answer.frame.context("an empty frame")? else { continue };
                match reply.result {
                    Some(Answer::SendMessage(response)) => return Ok(response.seq),
                    other => bail!("the answer to a message is {other:?}"),
                }
            }
            self.read().await?;
        }
    }
}
