use std::sync::Arc;

use futures::{Stream, StreamExt, stream};
use parlance_delivery::{Delivery, Outlet};
use parlance_proto::v1;
use parlance_sessions::{Inbound, Session};
use tonic::Status;
use v1::client_frame::Operation;

use crate::Api;
use crate::gate::Admitted;

impl Api {
    /// A session that carries out the frames of `inbound`.
    pub(crate) fn chat(
        self: &Arc<Self>,
        caller: Admitted,
        inbound: Inbound,
        outlet: Option<Outlet>,
    ) -> impl Stream<Item = Result<Delivery, Status>> + Send + 'static {
        self.session(caller, inbound, false, outlet)
    }

    /// A session that only delivers.
    pub(crate) fn subscribe(
        self: &Arc<Self>,
        caller: Admitted,
        request: v1::SubscribeRequest,
        outlet: Option<Outlet>,
    ) -> impl Stream<Item = Result<Delivery, Status>> + Send + 'static {
        let operation = Some(Operation::Hello(request.hello.unwrap_or_default()));
        let hello = v1::ClientFrame { operation, ..Default::default() };
        self.session(caller, stream::iter([Ok(hello)]).boxed(), true, outlet)
    }

    fn session(
        self: &Arc<Self>,
        caller: Admitted,
        inbound: Inbound,
        subscribe_only: bool,
        outlet: Option<Outlet>,
    ) -> impl Stream<Item = Result<Delivery, Status>> + Send + 'static {
        let (sessions, operations) = (self.sessions().clone(), self.clone());
        Session::stream(sessions, operations, caller.into(), inbound, subscribe_only, outlet)
    }
}
