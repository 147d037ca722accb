//! Connections of HTTP/1, which hyper drives: what it holds of answers is charged to their peer, and the answers that it
//! makes itself, to requests that it cannot read, have the headers of all others.

use std::convert::Infallible;
use std::io::{IoSlice, Result};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::http::{Request, Response, StatusCode, header};
use bytes::{Buf, Bytes};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use parlance_http2::has_too_many_fields;
use parlance_peers::{Budget, Charge, Peer, Reservation};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tower::{Service, ServiceExt};

use crate::limits::HTTP1_ENDING;

/// Serves `app` on a connection to its end.
pub(crate) async fn serve(
    stream: Stream<impl AsyncRead + AsyncWrite + Unpin + Send + 'static>,
    builder: &http1::Builder,
    app: Router,
    shutdown: CancellationToken,
) {
    let begun = Instant::now();
    let (peer, answering) = (stream.peer.clone(), stream.answering.clone());
    let of_request = peer.clone();
    let service = app.map_request(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(of_request.clone());
        request.map(Body::new)
    });
    let unwritten = Arc::downgrade(&stream.unwritten);
    let service = Answers { app: service, peer: peer.clone(), answering, unwritten };
    let service = TowerToHyperService::new(service);
    let connection = builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
    let mut connection = pin!(connection);
    // Boxed, since most connections end before the timer is needed.
    let mut anonymous = Box::pin(sleep(peer.ledger().anonymous_rest(Duration::ZERO)));
    let mut must_identify = true;
    let result = loop {
        tokio::select! {
            // The connection is polled first: a request received before shutdown is answered.
            biased;
            result = connection.as_mut() => break result,
            () = shutdown.cancelled() => {
                connection.as_mut().graceful_shutdown();
                break connection.await;
            }
            () = anonymous.as_mut(), if must_identify => {
                if peer.is_identified() {
                    must_identify = false;
                    continue;
                }
                let rest = peer.ledger().anonymous_rest(begun.elapsed());
                if !rest.is_zero() {
                    anonymous.as_mut().reset(Instant::now() + rest);
                    continue;
                }
                connection.as_mut().graceful_shutdown();
                match timeout(HTTP1_ENDING, connection.as_mut()).await {
                    Ok(result) => break result,
                    Err(_) => {
                        tracing::debug!("closing an unauthenticated connection");
                        return;
                    }
                }
            }
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection ended");
    }
}

/// The app's answers on one connection, one at a time.
#[derive(Clone)]
struct Answers<S> {
    app: S,
    peer: Arc<Peer>,
    answering: Arc<AtomicBool>,
    unwritten: Weak<()>,
}

impl<S> Service<Request<Incoming>> for Answers<S>
where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Charged>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = std::result::Result<Response<Charged>, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<std::result::Result<(), Infallible>> {
        self.app.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        if has_too_many_fields(request.headers()) {
            // Not as an answer of the app, so that it gets its headers.
            let mut answer = Response::new(Charged::nothing(self.peer.held().budget().clone()));
            *answer.status_mut() = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
            let wait = self.peer.pace(self.peer.client(request.headers())).unwrap_or_default();
            return Box::pin(async move {
                sleep(wait).await;
                Ok(answer)
            });
        }
        self.answering.store(true, Ordering::Relaxed);
        let (answer, peer, answering) = (self.app.call(request), self.peer.clone(), self.answering.clone());
        let unwritten = self.unwritten.clone();
        Box::pin(async move {
            let mut answer = answer.await?;
            let (budget, reserved) = peer.charged(answer.extensions_mut());
            // After an upgrade, what is written is no HTTP.
            let answering = (answer.status() != StatusCode::SWITCHING_PROTOCOLS).then_some(answering);
            Ok(answer.map(|body| Charged { body, budget, _reserved: reserved, answering, unwritten }))
        })
    }
}

/// The body of an answer, whose data is charged to the peer until it is written: hyper takes a piece as a whole.
struct Charged {
    body: Body,
    budget: Arc<Budget>,
    /// Room for it, if it may be large.
    _reserved: Option<Reservation>,
    /// Reset at the end.
    answering: Option<Arc<AtomicBool>>,
    /// Upgraded by each piece that was passed on.
    unwritten: Weak<()>,
}

/// A piece of a body that waits to be written: its peer is charged for it, and its connection is marked.
struct Unwritten {
    bytes: Bytes,
    _charge: Charge,
    _mark: Option<Arc<()>>,
}

impl AsRef<[u8]> for Unwritten {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Charged {
    /// An empty body.
    fn nothing(budget: Arc<Budget>) -> Self {
        Self { body: Body::empty(), budget, _reserved: None, answering: None, unwritten: Weak::new() }
    }
}

impl HttpBody for Charged {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let hold = |bytes| unwritten(bytes, &self.budget, &self.unwritten);
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(hold))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// `bytes`, which are not written until the last copy of them is dropped.
fn unwritten(bytes: Bytes, budget: &Arc<Budget>, mark: &Weak<()>) -> Bytes {
    let _charge = budget.hold(bytes.len());
    Bytes::from_owner(Unwritten { bytes, _charge, _mark: mark.upgrade() })
}

impl Drop for Charged {
    fn drop(&mut self) {
        if let Some(answering) = &self.answering {
            answering.store(false, Ordering::Relaxed);
        }
    }
}

/// The byte stream of a connection, which adds headers to the answers that hyper makes itself.
pub(crate) struct Stream<S> {
    io: S,
    peer: Arc<Peer>,
    /// Whether the app's answer is being made or read.
    answering: Arc<AtomicBool>,
    /// Each piece of a body that waits to be written has a clone. What it is charged to says nothing: behind a proxy that
    /// is not this connection.
    unwritten: Arc<()>,
    headers: Bytes,
    /// The rest of an answer with headers.
    pending: Bytes,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream<S> {
    /// The connection to `peer`; `headers` are lines of a head.
    pub(crate) fn new(io: S, peer: Arc<Peer>, headers: Bytes) -> Self {
        Self {
            io,
            peer,
            answering: Arc::default(),
            unwritten: Arc::default(),
            headers,
            pending: Bytes::new(),
        }
    }

    /// The answer that `bytes` begin with, with headers, if it is not the app's. Bodies are never changed: while one is
    /// made or waits to be written, nothing is.
    fn completed(&self, bytes: &[u8]) -> Option<Bytes> {
        let is_error = bytes.starts_with(b"HTTP/1.1 4");
        let is_of_app = self.answering.load(Ordering::Relaxed) || Arc::strong_count(&self.unwritten) > 1;
        if !is_error || is_of_app {
            return None;
        }
        let head = bytes.windows(4).position(|end| end == b"\r\n\r\n")? + 2;
        let marker = header::X_CONTENT_TYPE_OPTIONS;
        let is_of_app = bytes[..head].split(|byte| *byte == b'\n').any(|line| {
            line.get(..marker.as_str().len())
                .is_some_and(|name| name.eq_ignore_ascii_case(marker.as_str().as_bytes()))
        });
        (!is_of_app).then(|| [&bytes[..head], &self.headers, &bytes[head..]].concat().into())
    }

    fn poll_pending(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        while !self.pending.is_empty() {
            let written = ready!(Pin::new(&mut self.io).poll_write(cx, &self.pending))?;
            if written == 0 {
                return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into()));
            }
            self.pending.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        ready!(self.poll_pending(cx))?;
        // Without vectors, pieces of bodies would be copied, and not be charged as long as they wait.
        if let Some(first) = bufs.iter().find(|buf| !buf.is_empty())
            && self.io.is_write_vectored()
            && let Some(completed) = self.completed(first)
        {
            self.pending = completed;
            let _ = self.poll_pending(cx)?;
            return Poll::Ready(Ok(first.len()));
        }
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        ready!(self.poll_pending(cx))?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        ready!(self.poll_pending(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use parlance_peers::{Ledger, Limits, Proxies};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const ERROR: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";

    /// What the peer reads of `written`, with the state that `prepare` leaves.
    async fn read(
        written: &[u8],
        prepare: impl FnOnce(&Stream<tokio::io::DuplexStream>) -> Option<Bytes>,
    ) -> Vec<u8> {
        let ledger = Ledger::new(Limits::production(10), Proxies::default());
        let address = Ipv4Addr::LOCALHOST.into();
        let peer = Peer::new(address, ledger.connect(address).unwrap());
        let (io, mut other) = duplex(1_000);
        assert!(io.is_write_vectored());
        let mut stream = Stream::new(io, peer, Bytes::from_static(b"x-content-type-options: nosniff\r\n"));
        let kept = prepare(&stream);
        stream.write_all(written).await.unwrap();
        stream.shutdown().await.unwrap();
        drop((stream, kept));
        let mut all = Vec::new();
        other.read_to_end(&mut all).await.unwrap();
        all
    }

    #[tokio::test]
    async fn answers_are_charged_until_they_are_written() {
        const BODY: usize = 100_000;
        let ledger = Ledger::new(Limits::production(10), Proxies::default());
        let address = Ipv4Addr::LOCALHOST.into();
        let peer = Peer::new(address, ledger.connect(address).unwrap());
        let (io, mut client) = duplex(1_000);
        let stream = Stream::new(io, peer, Bytes::new());
        let app = Router::new().fallback(async || "x".repeat(BODY));
        let serving = tokio::spawn(async move {
            serve(stream, &http1::Builder::new(), app, CancellationToken::new()).await;
        });
        client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
        while ledger.held() < BODY {
            tokio::task::yield_now().await;
        }
        let mut all = Vec::new();
        client.read_to_end(&mut all).await.unwrap();
        assert!(all.len() > BODY);
        serving.await.unwrap();
        assert_eq!(ledger.held(), 0);
    }

    #[tokio::test]
    async fn only_answers_that_are_not_of_the_app_get_headers() {
        let completed =
            b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nx-content-type-options: nosniff\r\n\r\n";
        assert_eq!(read(ERROR, |_| None).await, completed);
        for unchanged in [&completed[..], b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 400 in a frame", b"\x81\0"] {
            assert_eq!(read(unchanged, |_| None).await, unchanged);
        }
    }

    /// Somebody could write a message that looks like one.
    #[tokio::test]
    async fn bodies_that_look_like_answers_are_not_changed() {
        let making = |stream: &Stream<_>| {
            stream.answering.store(true, Ordering::Relaxed);
            None
        };
        assert_eq!(read(ERROR, making).await, ERROR);
        // Behind a proxy it is charged to a user.
        let waiting = |stream: &Stream<_>| {
            assert_eq!(stream.peer.held().bytes(), 0);
            let (rest, of_user) = (Bytes::from_static(b"rest of a body"), Budget::new(100));
            Some(unwritten(rest, &of_user, &Arc::downgrade(&stream.unwritten)))
        };
        assert_eq!(read(ERROR, waiting).await, ERROR);
    }
}
