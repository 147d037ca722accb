use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use axum::Router;
use bytes::Bytes;
use h2::server::{Builder, SendResponse};
use h2::{Error, Ping, PingPong, Reason};
use http::{Response, StatusCode};
use parlance_peers::Peer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::answer::answer;
use crate::first_bytes::Heard;
use crate::headers::has_too_many_fields;
use crate::limits::ENDING;
use crate::link::Link;
use crate::metered::{Metered, Reading};
use crate::suppressible_waker::{SuppressibleWaker, Unsuppressed};
use crate::trust::Trust;

/// When a silent peer is pinged, and how long it has to answer.
#[derive(Debug, Clone, Copy)]
pub struct KeepAlive {
    /// Silence before a ping.
    pub after: Duration,
    /// Timeout for the answer.
    pub timeout: Duration,
}

/// A connection after its handshake. Separate from serving it, so that no memory of the handshake is kept while it
/// lasts.
pub struct Connection<S> {
    link: Arc<Link<S>>,
    pings: Option<PingPong>,
    trust: Trust,
}

impl<S> Connection<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    /// Performs the handshake.
    ///
    /// # Errors
    /// The peer's handshake is invalid.
    pub async fn open(stream: S, builder: &Builder, trust: Trust) -> Result<Self, Error> {
        let (wakeups, reading) = (Arc::new(SuppressibleWaker::default()), Arc::new(Reading::default()));
        // Until it is served, this task is woken.
        poll_fn(|cx| {
            wakeups.register(cx.waker());
            Poll::Ready(())
        })
        .await;
        let woken = Waker::from(Arc::new(Unsuppressed(wakeups.clone())));
        let stream = Metered::new(stream, reading.clone(), woken, trust);
        let mut connection = builder.handshake(stream).await?;
        let pings = connection.ping_pong();
        Ok(Self { link: Link::new(connection, wakeups, reading), pings, trust })
    }

    /// Serves the connection to its end.
    ///
    /// # Errors
    /// The error that ended it.
    pub async fn serve(
        self,
        heard: Arc<Heard>,
        peer: Arc<Peer>,
        keep_alive: &KeepAlive,
        app: Router,
        shutdown: CancellationToken,
    ) -> Result<(), Error> {
        let Self { link, mut pings, trust } = self;
        let mut shutdown = pin!(shutdown.cancelled_owned());
        let mut clock = pin!(sleep_until(Instant::now() + keep_alive.after));
        let begun = Instant::now();
        let mut unused = pin!(sleep_until(begun + peer.ledger().anonymous_rest(Duration::ZERO)));
        let (mut is_shut_down, mut is_asked) = (false, false);
        // Since when no request is in flight.
        let mut quiet_since = begun;
        // Tasks of requests in flight; the remaining ones end with the connection.
        let mut answers = JoinSet::new();
        let ended = loop {
            tokio::select! {
                biased;
                () = shutdown.as_mut(), if !is_shut_down => {
                    is_shut_down = true;
                    link.shut_down();
                }
                accepted = link.accept() => match accepted {
                    Some(Ok((request, respond))) if has_too_many_fields(request.headers()) => {
                        metrics::counter!("parlance_refused_streams_total").increment(1);
                        refuse_fields(respond);
                    }
                    Some(Ok((_, mut respond))) if is_too_much(&peer, trust, answers.len()) => {
                        metrics::counter!("parlance_refused_streams_total").increment(1);
                        respond.send_reset(Reason::REFUSED_STREAM);
                    }
                    Some(Ok(accepted)) => {
                        answers.spawn(answer(accepted, app.clone(), link.count(), peer.clone()));
                    }
                    Some(Err(error)) => break Err(error),
                    None => break Ok(()),
                },
                Some(ended) = answers.join_next(), if !answers.is_empty() => {
                    // Its stream is reset; others continue.
                    if let Err(error) = ended {
                        tracing::error!(%error, "a request ended without a response");
                    }
                    quiet_since = Instant::now();
                }
                () = unused.as_mut(), if trust != Trust::Full => {
                    let idle = peer.ledger().limits().idle;
                    let rest = match peer.is_identified() {
                        true if !answers.is_empty() => idle,
                        true => idle.saturating_sub(quiet_since.elapsed()),
                        false => peer.ledger().anonymous_rest(begun.elapsed()),
                    };
                    if !rest.is_zero() {
                        unused.as_mut().reset(Instant::now() + rest);
                    } else if is_shut_down {
                        tracing::debug!("closing: no caller was identified in time, or no request came for long");
                        break Ok(());
                    } else {
                        is_shut_down = true;
                        link.shut_down();
                        unused.as_mut().reset(Instant::now() + ENDING);
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
        // Requests still in flight end with it.
        link.close();
        ended
    }
}

/// Whether one more request is refused because of what the peer holds or because it is unauthenticated.
fn is_too_much(peer: &Peer, trust: Trust, under_way: usize) -> bool {
    let is_anonymous = || !peer.is_identified() && under_way >= peer.ledger().limits().anonymous_streams;
    trust == Trust::Bounded && (peer.held().is_full() || is_anonymous())
}

/// Answers a request of too many fields, as HTTP/2 answers one whose fields are too large.
fn refuse_fields(mut respond: SendResponse<Bytes>) {
    let mut answer = Response::new(());
    *answer.status_mut() = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    if let Err(error) = respond.send_response(answer, true) {
        tracing::debug!(%error, "a request of too many fields was not answered");
    }
}

/// Sends a ping. Anything received from the peer counts as the answer.
fn ask(pings: &mut PingPong) -> Result<(), Error> {
    // Takes the previous pong; otherwise no further ping can be sent.
    let _ = pings.poll_pong(&mut Context::from_waker(Waker::noop()));
    pings.send_ping(Ping::opaque())
}
