//! `Chat` and `Subscribe`: opened by plain HTTP routes and by the bridge in this process. The bodies that send them
//! are `parlance_delivery::grpc`'s.

use std::sync::Arc;

use bytes::Bytes;
use futures::{Stream, TryStreamExt};
use http::{HeaderMap, Request};
use http_body::Body;
use parlance_core::Caller;
use parlance_core::limits::MAX_FRAME_BYTES;
use parlance_delivery::{Deliveries, Outlet, grpc};
use parlance_peers::limits::UNCHARGED_BYTES;
use parlance_peers::{Charged, Peer};
use parlance_proto::error::Failure;
use parlance_proto::v1;
use parlance_sessions::Inbound;
use prost::Message as _;
use tonic::{Code, Status};

use crate::Error;
use crate::gate::{Call, Identified, Refresh, claim};
use crate::operations::streams::Transport;
use crate::receiving::Receiving;
use crate::services::{AS_USER, Services};
use crate::weighed::{Received, weighed};

impl Services {
    /// Opens the `Chat` stream that `request` asks for. Events may be pushed past it, through the [`Outlet`] in its
    /// extensions.
    ///
    /// # Errors
    /// UNAUTHENTICATED, or UNIMPLEMENTED if its body is compressed.
    pub async fn chat_stream<B>(&self, request: Request<B>) -> Result<Deliveries, Status>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let peer = request.extensions().get::<Arc<Peer>>().cloned();
        let (caller, outlet, request) = self.stream_caller::<Inbound, _>(request).await?;
        let answers = peer.map(|peer| peer.budget_of(Some(caller.subject().as_str())));
        let budget = answers.clone();
        let request = request.map(|body| Receiving::new(body, budget.clone()));
        let frames = grpc::messages::<v1::ClientFrame, _>(request, MAX_FRAME_BYTES)?;
        let received = frames.map_ok(move |(frame, cost)| {
            let bytes = frame.encoded_len();
            let budget = budget.as_ref().filter(|_| cost > UNCHARGED_BYTES);
            (Charged { value: frame, charge: budget.map(|budget| budget.hold(cost)) }, bytes)
        });
        let inbound = weighed(&self.0, &caller, received);
        let open =
            |caller, inbound, number| self.0.chat(caller, number, inbound, Transport { outlet, answers });
        Ok(self.0.gate.open(caller, inbound, Refresh::Possible, open))
    }

    /// Opens the `Subscribe` stream that `request` asks for, likewise.
    ///
    /// # Errors
    /// Likewise, or INVALID_ARGUMENT if its message is unreadable.
    pub async fn subscribe_stream<B>(&self, request: Request<B>) -> Result<Deliveries, Status>
    where
        B: Body + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (caller, outlet, request) = self.stream_caller::<v1::SubscribeRequest, _>(request).await?;
        let mut messages = grpc::messages::<v1::SubscribeRequest, _>(request, MAX_FRAME_BYTES)?;
        let missing = || Failure::new(Code::InvalidArgument, "malformed_frame", "the request has no message");
        let (request, _) = messages.try_next().await?.ok_or_else(missing)?;
        self.0.gate.weigh_call(&caller, request.encoded_len());
        let open = |caller, request, number| self.0.subscribe(caller, number, request, outlet);
        Ok(self.0.gate.open(caller, request, Refresh::Impossible, open))
    }

    /// Opens a `Chat` stream on the connection `peer` for the caller that `headers` identify, with frames and the bytes in
    /// which they came. Events may be pushed past it, through `outlet`, and large answers are made as far as the
    /// connection has room.
    ///
    /// # Errors
    /// UNAUTHENTICATED.
    pub async fn open(
        &self,
        headers: &HeaderMap,
        inbound: impl Stream<Item = Result<Received, Status>> + Send + 'static,
        outlet: Option<Outlet>,
        peer: Option<&Peer>,
    ) -> Result<Deliveries, Status> {
        let caller = self.0.gate.identify(headers).await?;
        if let Some(peer) = peer {
            claim(&caller, peer)?;
        }
        let answers = peer.map(|peer| peer.budget_of(Some(caller.subject().as_str())));
        self.refuse_as_user::<Inbound>(&caller, headers)?;
        let inbound = weighed(&self.0, &caller, inbound);
        let open =
            |caller, inbound, number| self.0.chat(caller, number, inbound, Transport { outlet, answers });
        Ok(self.0.gate.open(caller, inbound, Refresh::Possible, open))
    }

    /// The caller of a stream, its connection if that supports pushing, and the rest of its request.
    async fn stream_caller<Q: Call, B>(
        &self,
        request: Request<B>,
    ) -> Result<(Caller, Option<Outlet>, Request<B>), Error> {
        let (mut parts, body) = request.into_parts();
        let identified = parts.extensions.remove::<Identified>();
        let caller = self.0.gate.identified(identified, &parts.headers).await?;
        self.refuse_as_user::<Q>(&caller, &parts.headers)?;
        let outlet = parts.extensions.remove::<Outlet>();
        Ok((caller, outlet, Request::from_parts(parts, body)))
    }

    /// A stream belongs to its caller; its frames may name a user each.
    fn refuse_as_user<Q: Call>(&self, caller: &Caller, headers: &HeaderMap) -> Result<(), Error> {
        let Some(named) = headers.get(AS_USER) else { return Ok(()) };
        let message = "a stream always belongs to its caller; name the user in each frame instead";
        let refused = Error::Field("as_user".to_owned(), message.to_owned());
        Err(self.0.gate.refused::<Q>(caller, named.to_str().unwrap_or_default(), refused))
    }
}
