//! `/ws`: a WebSocket is one `Chat` stream.

mod close;
mod connection;
mod form;
mod frame_meter;
mod handshake;
mod inbound;
mod link;
mod outbound;
mod session;
mod socket;
mod subprotocol;
mod timers;

#[cfg(test)]
mod tests;

use std::sync::{Arc, Weak};

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use hyper_util::rt::TokioIo;
use parlance_delivery::{Outlet, Push};
use parlance_peers::Peer;

use self::inbound::Inbound;
use self::link::Link;
use self::socket::Socket;
use crate::shared::Shared;

/// Upgrades a request to a stream; rejections by the backend are sent before the upgrade, with the HTTP status of
/// their reason.
pub(crate) async fn upgrade(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    // Held from here, so that `Bridge::finished` does not miss a stream that is about to begin.
    let begun = shared.connections.token();
    let peer = request.extensions().get::<Arc<Peer>>().cloned();
    let handshake = match handshake::check(request, peer.as_deref()) {
        Ok(handshake) => handshake,
        Err(refusal) => return refusal.into_response(),
    };
    let outlet = Outlet::default();
    let opening = handshake::open(&shared, handshake.metadata, outlet.clone(), peer.as_deref());
    let (session, inbound) = match opening.await {
        Ok(opened) => opened,
        Err(refusal) => return refusal.into_response(),
    };
    let serving = Arc::clone(&shared);
    shared.connections.spawn(async move {
        let _open = serving.meters.open();
        // Counts as a connection as long as it is open.
        let _peer = peer.clone();
        // The response below is sent at once or never.
        let upgraded = tokio::time::timeout(serving.options.request_timeout, handshake.upgrade).await;
        let Ok(Ok(upgraded)) = upgraded else {
            tracing::debug!("a websocket disconnected before its upgrade");
            return;
        };
        let socket = Socket::new(TokioIo::new(upgraded));
        let shutdown = serving.shutdown.child_token();
        let link = Link::new(socket, session, peer.clone(), serving.meters.clone());
        outlet.connect(Arc::downgrade(&link) as Weak<dyn Push>);
        let inbound = Inbound::new(inbound, peer);
        connection::serve(link, inbound, &serving.options, handshake.unknown, shutdown).await;
    });
    drop(begun);
    handshake.response
}
