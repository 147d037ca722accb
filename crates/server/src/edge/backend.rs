use std::error::Error as _;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use http::uri::PathAndQuery;
use parlance_bridge::ChatBackend;
use parlance_proto::codec::Encoded;
use parlance_proto::error::Failure;
use parlance_proto::{Delivery, Outlet, v1};
use prost::Message;
use ring::rand::{SecureRandom, SystemRandom};
use tokio_util::sync::CancellationToken;
use tonic::client::Grpc;
use tonic::metadata::MetadataMap;
use tonic::{Code, Request, Status};

use super::frames::Frames;
use super::limits::LOST_SPREAD;
use super::nodes::Nodes;
use super::parting::parting;

/// The stream that every WebSocket becomes.
const CHAT: &str = "/parlance.v1.ChatService/Chat";

/// The nodes behind the bridge.
///
/// The bridge has left nothing of the headers but those of the contract; the token among
/// them is verified by the node, which is told nothing else of who calls. Addresses of
/// clients (`x-forwarded-for`) end here: nothing behind depends on them.
pub(crate) struct Upstream {
    nodes: Nodes,
    frames: Arc<Frames>,
    shutdown: CancellationToken,
    /// Over which time clients are sent elsewhere.
    spread: Duration,
}

impl Upstream {
    pub(crate) fn new(nodes: Nodes, shutdown: CancellationToken, spread: Duration) -> Self {
        Self { nodes, frames: Arc::new(Frames::new()), shutdown, spread }
    }

    fn grpc(&self) -> Grpc<Nodes> {
        // What the nodes answer is theirs to bound.
        Grpc::new(self.nodes.clone()).max_decoding_message_size(usize::MAX)
    }
}

#[async_trait]
impl ChatBackend for Upstream {
    async fn chat(
        &self,
        headers: HeaderMap,
        inbound: BoxStream<'static, v1::ClientFrame>,
        _: Outlet,
    ) -> Result<BoxStream<'static, Result<Delivery, Status>>, Status> {
        signed(&headers)?;
        let finish = CancellationToken::new();
        let inbound = inbound.map(|frame| Bytes::from(frame.encode_to_vec()));
        let mut call = Request::new(inbound.take_until(finish.clone().cancelled_owned()));
        *call.metadata_mut() = MetadataMap::from_headers(headers);
        let answer = self.grpc().streaming(call, PathAndQuery::from_static(CHAT), Encoded).await;
        let frames = self.frames.clone();
        let answer = answer.map_err(as_lost)?.into_inner().map(move |frame| match frame {
            Ok(bytes) => Ok(frames.share(bytes)),
            Err(status) => Err(as_lost(status)),
        });
        let frames = parting(answer.boxed(), self.shutdown.clone(), finish, within(self.spread));
        Ok(frames.map(|frame| frame.map(Delivery::Frame)).boxed())
    }

    async fn unary(&self, headers: HeaderMap, path: &str, request: Bytes) -> Result<Bytes, Status> {
        signed(&headers)?;
        let path = PathAndQuery::from_str(path).map_err(|error| Status::internal(error.to_string()))?;
        let mut call = Request::new(request);
        *call.metadata_mut() = MetadataMap::from_headers(headers);
        Ok(self.grpc().unary(call, path, Encoded).await.map_err(as_lost)?.into_inner())
    }
}

/// Nobody comes in without a token: nodes in local mode give them away to whoever is on
/// their machine, which an edge would be for the whole world.
fn signed(headers: &HeaderMap) -> Result<(), Status> {
    if headers.contains_key(AUTHORIZATION) {
        return Ok(());
    }
    Err(Failure::new(Code::Unauthenticated, "token_missing", "no bearer token").into())
}

/// What broke on the way becomes an invitation to try again, spread over a while, since
/// the other clients of a lost node come back too. What the node itself said stays.
fn as_lost(status: Status) -> Status {
    if status.source().is_none() {
        return status;
    }
    tracing::debug!(%status, "a stream to a node broke");
    let failure = Failure::new(Code::Unavailable, "node_lost", "the connection to the node broke; try again");
    failure.retry_after(within(LOST_SPREAD)).into()
}

/// Some time within `longest`.
fn within(longest: Duration) -> Duration {
    let mut bytes = [0; 4];
    // Without randomness all come at once, and that is all.
    let _ = SystemRandom::new().fill(&mut bytes);
    longest.mul_f64(f64::from(u32::from_be_bytes(bytes)) / f64::from(u32::MAX))
}
