use std::future::poll_fn;
use std::sync::{Arc, Weak};

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Error, RecvStream, SendStream};
use http::{HeaderName, Request, header};
use http_body::Body as _;
use parlance_delivery::grpc::is_native;
use parlance_delivery::{Outlet, Push};
use parlance_peers::{Budget, HeaderCharge, Peer, Reservation};
use tokio::io::{AsyncRead, AsyncWrite};
use tower::ServiceExt;

use crate::headers::header_bytes;
use crate::incoming::Incoming;
use crate::link::{Accepted, Counted};
use crate::response::Response;

/// Headers of HTTP/1 connections that HTTP/2 forbids.
const OF_CONNECTIONS: [HeaderName; 5] = [
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// Calls the app for one request, and sends its response.
///
/// Not an `async fn`: a stream that is open for hours must not reserve memory for how it was opened (docs/memory.md).
pub(crate) fn answer<S>(
    (mut request, respond): Accepted,
    app: Router,
    counted: Counted<S>,
    peer: Arc<Peer>,
) -> impl Future<Output = ()> + Send
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let outlet = is_native(request.headers()).then(Outlet::default);
    // From here on, not from when its task is polled: many are accepted before the first is.
    let headers = HeaderCharge::new(&peer.budget_of(None), header_bytes(&request));
    request.extensions_mut().insert(headers);
    let call = Box::pin(call(request, respond, app, outlet.clone(), peer.clone()));
    async move {
        let begun = call.await;
        let sent = match begun {
            Some(Ok((stream, Some((body, budget, reserved))))) => {
                let response = Response::new(stream, body, counted, peer, budget, reserved);
                if let Some(outlet) = outlet {
                    outlet.connect(Arc::downgrade(&response) as Weak<dyn Push>);
                }
                response.send().await
            }
            Some(begun) => begun.map(drop),
            None => return,
        };
        if let Err(error) = sent {
            tracing::debug!(%error, "a response was not sent completely");
        }
    }
}

/// A body, what it is charged to, and the room that was reserved for it.
type Sized = (Body, Arc<Budget>, Option<Reservation>);

/// Calls the app, if the peer still wants the response, and sends the headers; a body may follow.
async fn call(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    app: Router,
    outlet: Option<Outlet>,
    peer: Arc<Peer>,
) -> Option<Result<(SendStream<Bytes>, Option<Sized>), Error>> {
    let mut request = request.map(|body| Body::new(Incoming::from(body)));
    request.extensions_mut().insert(peer.clone());
    if let Some(outlet) = outlet {
        request.extensions_mut().insert(outlet);
    }
    let answer = tokio::select! {
        biased;
        answer = app.oneshot(request) => answer,
        _ = poll_fn(|cx| respond.poll_reset(cx)) => return None,
    };
    let Ok(answer) = answer;
    let (mut head, body) = answer.into_parts();
    for name in OF_CONNECTIONS {
        head.headers.remove(name);
    }
    let (budget, reserved) = peer.charged(&mut head.extensions);
    let body = (!body.is_end_stream()).then_some((body, budget, reserved));
    let stream = respond.send_response(http::Response::from_parts(head, ()), body.is_none());
    Some(stream.map(|stream| (stream, body)))
}
