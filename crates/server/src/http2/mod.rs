//! HTTP/2, with what is new for a client written past the tasks.
//!
//! hyper drives a connection in a task and each response in another, and both are woken for
//! whatever a response has to send. A stream of gRPC that waits for the next message of its
//! room is most of what there is to do here, so that whoever delivers the message sends it, and
//! writes to the socket, where the tasks have nothing to do: see [`parlance_delivery::Push`].

mod bell;
mod incoming;
mod link;
mod response;
#[cfg(test)]
mod tests;

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Waker};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use h2::server::{Builder, SendResponse};
use h2::{Error, Ping, PingPong, RecvStream, SendStream};
use http::{HeaderName, Request, header};
use http_body::Body as _;
use parlance_delivery::{Outlet, Push};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use self::incoming::Incoming;
use self::link::{Accepted, Counted, Link};
use self::response::Response;
use crate::first_bytes::Heard;
use crate::routes::is_native_grpc;

/// Headers that speak of an HTTP/1 connection, and may not be said in HTTP/2.
const OF_CONNECTIONS: [HeaderName; 5] = [
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// Of a peer that says nothing: when it is asked whether it is there, and how long it has to
/// answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeepAlive {
    pub(crate) after: Duration,
    pub(crate) timeout: Duration,
}

/// A connection whose ends have agreed on how they speak. Apart from serving it, so that
/// nothing of how it came about is held as long as it is there.
pub(crate) struct Connection<S> {
    link: Arc<Link<S>>,
    pings: Option<PingPong>,
}

impl<S> Connection<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    pub(crate) async fn open(stream: S, builder: &Builder) -> Result<Self, Error> {
        let mut connection = builder.handshake(stream).await?;
        let pings = connection.ping_pong();
        Ok(Self { link: Link::new(connection), pings })
    }

    /// Serves it to its end.
    ///
    /// # Errors
    /// What broke it off.
    pub(crate) async fn serve(
        self,
        heard: Arc<Heard>,
        keep_alive: &KeepAlive,
        app: Router,
        shutdown: CancellationToken,
    ) -> Result<(), Error> {
        let Self { link, mut pings } = self;
        let mut shutdown = pin!(shutdown.cancelled_owned());
        let mut clock = pin!(sleep_until(Instant::now() + keep_alive.after));
        let (mut is_shut_down, mut is_asked) = (false, false);
        // Those of requests that are under way; what is left of them ends with the connection.
        let mut answers = JoinSet::new();
        let ended = loop {
            tokio::select! {
                biased;
                () = shutdown.as_mut(), if !is_shut_down => {
                    is_shut_down = true;
                    link.shut_down();
                }
                accepted = link.accept() => match accepted {
                    Some(Ok(accepted)) => {
                        answers.spawn(answer(accepted, app.clone(), link.count()));
                    }
                    Some(Err(error)) => break Err(error),
                    None => break Ok(()),
                },
                Some(ended) = answers.join_next(), if !answers.is_empty() => {
                    // Its stream is reset; the others go on.
                    if let Err(error) = ended {
                        tracing::error!(%error, "a request ended without an answer");
                    }
                }
                () = clock.as_mut() => {
                    let is_there = heard.take();
                    if is_asked && !is_there {
                        tracing::debug!("the peer does not answer a ping");
                        break Ok(());
                    }
                    is_asked = !is_there;
                    if let Some(pings) = pings.as_mut().filter(|_| is_asked)
                        && let Err(error) = ask(pings)
                    {
                        break Err(error);
                    }
                    let next = if is_asked { keep_alive.timeout } else { keep_alive.after };
                    clock.as_mut().reset(Instant::now() + next);
                }
            }
        };
        // Whatever is still under way ends with it.
        link.close();
        ended
    }
}

/// Sends a ping. That the peer is heard is answer enough.
fn ask(pings: &mut PingPong) -> Result<(), Error> {
    // The pong of the one before is taken, or none can follow it.
    let _ = pings.poll_pong(&mut Context::from_waker(Waker::noop()));
    pings.send_ping(Ping::opaque())
}

/// Calls the app for one request, and sends what it answers.
///
/// No `async fn`: a stream that is open for hours need not hold room for how it was opened.
fn answer<S>(
    (request, respond): Accepted,
    app: Router,
    counted: Counted<S>,
) -> impl Future<Output = ()> + Send
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let outlet = is_native_grpc(request.headers()).then(Outlet::default);
    let call = Box::pin(call(request, respond, app, outlet.clone()));
    async move {
        let begun = call.await;
        let sent = match begun {
            Some(Ok((stream, Some(body)))) => {
                let response = Response::new(stream, body, counted);
                if let Some(outlet) = outlet {
                    outlet.connect(Arc::downgrade(&response) as Weak<dyn Push>);
                }
                response.send().await
            }
            Some(begun) => begun.map(drop),
            None => return,
        };
        if let Err(error) = sent {
            tracing::debug!(%error, "a response was not sent to its end");
        }
    }
}

/// Has the app answer, if the peer still wants it, and begins to send that: the body is
/// still to come, if there is one.
async fn call(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    app: Router,
    outlet: Option<Outlet>,
) -> Option<Result<(SendStream<Bytes>, Option<Body>), Error>> {
    let mut request = request.map(|body| Body::new(Incoming::from(body)));
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
    let body = (!body.is_end_stream()).then_some(body);
    let stream = respond.send_response(http::Response::from_parts(head, ()), body.is_none());
    Some(stream.map(|stream| (stream, body)))
}
