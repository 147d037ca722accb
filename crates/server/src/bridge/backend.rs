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
use parlance_api::Error;
use parlance_bridge::{ChatBackend, Received};
use parlance_delivery::{Delivery, Outlet};
use parlance_peers::Peer;
use parlance_proto::codec::Encoded;
use parlance_proto::error::Failure;
use prost::Message;
use ring::rand::{SecureRandom, SystemRandom};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::client::Grpc;
use tonic::metadata::MetadataMap;
use tonic::{Code, Request, Response, Status};

use super::caller;
use super::frames::Frames;
use super::limits::{CALL_WITHIN, LOST_SPREAD, OPEN_WITHIN, READ_WITHIN};
use super::nodes::{Nodes, Route};
use super::parting::parting;

/// The stream behind every WebSocket.
const CHAT: &str = "/parlance.v1.ChatService/Chat";

/// The call that needs no token.
const GET_SERVER: &str = "/parlance.v1.ServerService/GetServer";

/// The nodes behind a bridge.
///
/// The bridge has left nothing of the headers but those of the contract and the client's address, which
/// the node believes of a bridge; the token among them is verified by the node.
pub(crate) struct Upstream {
    nodes: Nodes,
    frames: Arc<Frames>,
    shutdown: CancellationToken,
    /// The time over which clients' reconnects are spread.
    spread: Duration,
}

impl Upstream {
    pub(crate) fn new(nodes: Nodes, shutdown: CancellationToken, spread: Duration) -> Self {
        Self { nodes, frames: Arc::new(Frames::new()), shutdown, spread }
    }

    /// Makes a call over `route`, with a timeout for its answer.
    async fn call(&self, route: &Route, call: Call, limit: Duration) -> Result<Response<Bytes>, Status> {
        let mut request = Request::new(call.request);
        *request.metadata_mut() = MetadataMap::from_headers(call.headers);
        match timeout(limit, grpc(route).unary(request, call.path, Encoded)).await {
            Ok(answer) => answer,
            Err(elapsed) => Err(Status::from_error(elapsed.into())),
        }
    }
}

/// A unary call.
#[derive(Clone)]
struct Call {
    headers: HeaderMap,
    path: PathAndQuery,
    request: Bytes,
}

impl Call {
    /// Whether it changes nothing and may be repeated. Methods are named by what they do; clients retry the others
    /// themselves, with ids that make that safe.
    fn is_read(&self) -> bool {
        let method = self.path.path().rsplit('/').next().unwrap_or_default();
        ["Export", "Get", "List", "Search"].iter().any(|read| method.starts_with(read))
    }
}

fn grpc(route: &Route) -> Grpc<Route> {
    // Answers are bounded by the nodes.
    Grpc::new(route.clone()).max_decoding_message_size(usize::MAX)
}

#[async_trait]
impl ChatBackend for Upstream {
    async fn admit(
        &self,
        headers: &HeaderMap,
        path: &str,
        _: Option<&Peer>,
    ) -> Result<Option<String>, Status> {
        if path != GET_SERVER {
            signed(headers)?;
        }
        Ok(None)
    }

    async fn chat(
        &self,
        headers: HeaderMap,
        inbound: BoxStream<'static, Received>,
        _: Outlet,
        peer: Option<&Peer>,
    ) -> Result<BoxStream<'static, Result<Delivery, Status>>, Status> {
        signed(&headers)?;
        let finish = CancellationToken::new();
        let inbound = inbound.map(|received| Bytes::from(received.frame.encode_to_vec()));
        let mut call = Request::new(inbound.take_until(finish.clone().cancelled_owned()));
        *call.metadata_mut() = MetadataMap::from_headers(headers);
        let (route, path) = (self.nodes.route(None), PathAndQuery::from_static(CHAT));
        let opened = timeout(OPEN_WITHIN, grpc(&route).streaming(call, path, Encoded)).await;
        let answer = opened.unwrap_or_else(|elapsed| {
            route.blame();
            Err(Status::from_error(elapsed.into()))
        });
        let answer = answer.map_err(as_lost)?;
        if let Some(peer) = peer {
            caller::claim(peer, answer.metadata().as_ref()).map_err(Error::TooManyConnections)?;
        }
        let frames = self.frames.clone();
        let answer = answer.into_inner().map(move |frame| match frame {
            Ok(bytes) => Ok(frames.share(bytes)),
            Err(status) => Err(as_lost(status)),
        });
        let frames = parting(answer.boxed(), self.shutdown.clone(), finish, within(self.spread));
        Ok(frames.map(|frame| frame.map(Delivery::Frame)).boxed())
    }

    async fn unary(
        &self,
        headers: HeaderMap,
        path: &str,
        request: Bytes,
        peer: Option<&Peer>,
    ) -> Result<Bytes, Status> {
        let names_caller = path != GET_SERVER;
        if names_caller {
            signed(&headers)?;
        }
        let path = PathAndQuery::from_str(path).map_err(|error| Status::internal(error.to_string()))?;
        let call = Call { headers, path, request };
        let (route, is_read) = (self.nodes.route(None), call.is_read());
        let answered = match is_read {
            true => match self.call(&route, call.clone(), READ_WITHIN).await {
                Err(status) if status.source().is_some() => {
                    // One slow read says nothing about the node; its probes do.
                    let elsewhere = self.nodes.route(route.node());
                    self.call(&elsewhere, call, CALL_WITHIN).await
                }
                answered => answered,
            },
            false => self.call(&route, call, CALL_WITHIN).await,
        };
        let answer = answered.map_err(as_lost)?;
        if let Some(peer) = peer.filter(|_| names_caller) {
            // It was carried out; a connection too many stays one of nobody, of which there are few.
            let _ = caller::claim(peer, answer.metadata().as_ref());
        }
        Ok(answer.into_inner())
    }
}

/// Requires a token: nodes in local mode issue tokens to anyone on their machine, which a bridge would extend to the
/// whole world.
fn signed(headers: &HeaderMap) -> Result<(), Status> {
    if headers.contains_key(AUTHORIZATION) {
        return Ok(());
    }
    Err(Failure::new(Code::Unauthenticated, "token_missing", "no bearer token").into())
}

/// Turns a connection failure into a retryable error, spread over a while, since the other clients of a lost node
/// reconnect too. Statuses from the node itself are unchanged.
fn as_lost(status: Status) -> Status {
    if status.source().is_none() {
        return status;
    }
    tracing::debug!(%status, "a stream to a node broke");
    let failure = Failure::new(Code::Unavailable, "node_lost", "the connection to the node broke; try again");
    failure.retry_after(within(LOST_SPREAD)).into()
}

/// A random time within `longest`.
fn within(longest: Duration) -> Duration {
    let mut bytes = [0; 4];
    // Without randomness all reconnect at once, which is tolerable.
    let _ = SystemRandom::new().fill(&mut bytes);
    longest.mul_f64(f64::from(u32::from_be_bytes(bytes)) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use http::uri::PathAndQuery;
    use parlance_proto::DESCRIPTOR;
    use prost::Message;

    use super::*;

    /// Every operation with such a name; a new one has to be classified by hand.
    #[test]
    fn reads_are_those_operations_that_change_nothing() {
        let files = prost_types::FileDescriptorSet::decode(DESCRIPTOR).unwrap();
        let mut reads = BTreeSet::new();
        for service in files.file.iter().flat_map(|file| &file.service) {
            for method in service.method.iter().filter(|method| !method.server_streaming()) {
                let path = format!("/parlance.v1.{}/{}", service.name(), method.name());
                let path = PathAndQuery::try_from(path).unwrap();
                let call = Call { headers: HeaderMap::new(), path, request: Bytes::new() };
                if call.is_read() {
                    reads.insert(method.name().to_owned());
                }
            }
        }
        let expected = [
            "ExportUser",
            "GetDirectRoom",
            "GetMessage",
            "GetPresence",
            "GetRoom",
            "GetServer",
            "GetUnreadTotal",
            "ListBans",
            "ListBlocked",
            "ListDirectory",
            "GetInvitationLink",
            "ListInvitationLinks",
            "ListJoinRequests",
            "GetUser",
            "GetUsers",
            "ListEvents",
            "ListInbox",
            "ListInvitations",
            "ListRoomInvitations",
            "ExportRoom",
            "ListMembers",
            "ListMessages",
            "ListReceipts",
            "ListReports",
            "ListRooms",
            "ListUsers",
            "SearchUsers",
        ];
        assert_eq!(reads, BTreeSet::from(expected.map(ToOwned::to_owned)));
    }
}
