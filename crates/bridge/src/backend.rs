use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use http::HeaderMap;
use parlance_delivery::{Delivery, Outlet};
use parlance_peers::{Charge, Peer};
use parlance_proto::v1;
use tonic::Status;

/// A frame of a client, and the bytes in which it was received.
#[derive(Debug)]
pub struct Received {
    /// The frame. Boxed, since a channel reserves 32 slots at once, and a frame takes 300 bytes.
    pub frame: Box<v1::ClientFrame>,
    /// The size of the WebSocket message.
    pub bytes: usize,
    /// What its connection is charged for it, if it is large.
    pub charge: Option<Charge>,
}

/// A backend that serves the contract: the api in this process, or nodes behind a channel.
///
/// `headers` are those of the caller's HTTP request that concern the contract
/// (`authorization`, `traceparent`, `user-agent`); they become the call's metadata.
#[async_trait]
pub trait ChatBackend: Send + Sync + 'static {
    /// Opens a `Chat` stream. The response is polled only while the client keeps up, and `inbound` only
    /// while the backend does, so both sides apply back pressure. Events may also be pushed through
    /// `outlet`, in order with the response. Records whose connection `peer` is, and makes large answers as far as it has
    /// room for them, if that is known.
    ///
    /// # Errors
    /// The status of a refused stream, such as UNAUTHENTICATED, or RESOURCE_EXHAUSTED if the user has too many connections.
    async fn chat(
        &self,
        headers: HeaderMap,
        inbound: BoxStream<'static, Received>,
        outlet: Outlet,
        peer: Option<&Peer>,
    ) -> Result<BoxStream<'static, Result<Delivery, Status>>, Status>;

    /// Authenticates a call on the connection `peer` from its headers, before its body is read: records whose connection it
    /// is, and returns the user. A backend that cannot verify a token returns none, and refuses later.
    ///
    /// # Errors
    /// The status of a call that is refused regardless of its body, such as UNAUTHENTICATED.
    async fn admit(
        &self,
        _headers: &HeaderMap,
        _path: &str,
        _peer: Option<&Peer>,
    ) -> Result<Option<String>, Status> {
        Ok(None)
    }

    /// Executes a unary call: `path` is `/package.Service/Method`, request and response are encoded
    /// protobuf. Records whose connection `peer` is, if [`admit`](Self::admit) could not.
    ///
    /// # Errors
    /// The status of the call.
    async fn unary(
        &self,
        headers: HeaderMap,
        path: &str,
        request: Bytes,
        peer: Option<&Peer>,
    ) -> Result<Bytes, Status>;
}
