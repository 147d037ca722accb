use std::sync::Arc;

use futures::{Stream, StreamExt, stream};
use parlance_delivery::{Delivery, Outlet};
use parlance_proto::v1;
use parlance_sessions::{Inbound, Session, StreamParts};
use tonic::Status;
use v1::client_frame::Operation;

use crate::Api;
use crate::gate::Admitted;

impl Api {
    /// A session that carries out the frames of `inbound`. `number` is that of its stream at the gate.
    pub(crate) fn chat(
        self: &Arc<Self>,
        caller: Admitted,
        number: u64,
        inbound: Inbound,
        outlet: Option<Outlet>,
    ) -> impl Stream<Item = Result<Delivery, Status>> + Send + 'static {
        self.session(caller, number, inbound, false, outlet)
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
        self.session(caller, number, stream::iter([Ok(hello)]).boxed(), true, outlet)
    }

    fn session(
        self: &Arc<Self>,
        caller: Admitted,
        number: u64,
        inbound: Inbound,
        subscribe_only: bool,
        outlet: Option<Outlet>,
    ) -> impl Stream<Item = Result<Delivery, Status>> + Send + 'static {
        let (sessions, operations) = (self.sessions().clone(), self.clone());
        let parts = StreamParts { caller: caller.into(), number, subscribe_only, outlet };
        Session::stream(sessions, operations, parts, inbound)
    }
}
