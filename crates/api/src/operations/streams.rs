use std::sync::Arc;

use futures::{Stream, StreamExt, stream};
use parlance_delivery::{Delivery, Outlet};
use parlance_peers::Budget;
use parlance_proto::v1;
use parlance_sessions::{Inbound, Session, StreamParts};
use tonic::Status;
use v1::client_frame::Operation;

use crate::Api;
use crate::gate::Admitted;

/// What a stream has of its connection.
#[derive(Default)]
pub(crate) struct Transport {
    /// Where events can be pushed to.
    pub(crate) outlet: Option<Outlet>,
    /// Room for large answers.
    pub(crate) answers: Option<Arc<Budget>>,
}

impl Api {
    /// A session that carries out the frames of `inbound`. `number` is that of its stream at the gate.
    pub(crate) fn chat(
        self: &Arc<Self>,
        caller: Admitted,
        number: u64,
        inbound: Inbound,
        transport: Transport,
    ) -> impl Stream<Item = Result<Delivery, Status>> + Send + 'static {
        self.session(caller, number, inbound, false, transport)
    }

    /// A session that only delivers.
    pub(crate) fn subscribe(
        self: &Arc<Self>,
        caller: Admitted,
        number: u64,
        request: v1::SubscribeRequest,
        outlet: Option<Outlet>,
    ) -> impl Stream<Item = Result<Delivery, Status>> + Send + 'static {
        let operation = Some(Operation::Hello(request.hello.unwrap_or_default()));
        let hello = v1::ClientFrame { operation, ..Default::default() };
        let transport = Transport { outlet, answers: None };
        self.session(caller, number, stream::iter([Ok(hello.into())]).boxed(), true, transport)
    }

    fn session(
        self: &Arc<Self>,
        caller: Admitted,
        number: u64,
        inbound: Inbound,
        subscribe_only: bool,
        transport: Transport,
    ) -> impl Stream<Item = Result<Delivery, Status>> + Send + 'static {
        let (sessions, operations) = (self.sessions().clone(), self.clone());
        let Transport { outlet, answers } = transport;
        let parts = StreamParts { caller: caller.into(), number, subscribe_only, outlet, answers };
        Session::stream(sessions, operations, parts, inbound)
    }
}
