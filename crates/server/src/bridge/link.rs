use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use http::uri::{Authority, Scheme, Uri};
use http::{Request, Response};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::client::conn::http2::{Builder, Connection, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tonic::body::Body;
use tower::BoxError;

use super::limits::{CONNECT_TIMEOUT, CONNECTION_WINDOW, PING_EVERY, PING_TIMEOUT, STREAM_WINDOW};

/// An HTTP/2 connection to a node.
#[derive(Clone)]
pub(crate) struct Link {
    pub(crate) address: SocketAddr,
    sender: SendRequest<Body>,
    streams: Arc<AtomicUsize>,
}

/// Drives a [`Link`] until it ends.
pub(crate) type Driver = Connection<TokioIo<TcpStream>, Body, TokioExecutor>;

/// The outcome of a request.
pub(crate) enum Sent {
    /// It was answered.
    Answered(Response<Answer>),
    /// It was never sent, and may go elsewhere.
    Unsent(Request<Body>),
    /// It may or may not have arrived.
    Lost(hyper::Error),
}

/// The body of an answer, counted as a stream of its link.
pub(crate) struct Answer {
    body: Incoming,
    _counted: Counted,
}

struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Link {
    /// Connects to `address`.
    pub(crate) async fn connect(address: SocketAddr) -> anyhow::Result<(Self, Driver)> {
        let connect = async {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let handshake = Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .initial_stream_window_size(STREAM_WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW)
                .keep_alive_interval(PING_EVERY)
                .keep_alive_timeout(PING_TIMEOUT)
                .keep_alive_while_idle(true)
                .handshake(TokioIo::new(stream));
            anyhow::Ok(handshake.await?)
        };
        let (sender, driver) = timeout(CONNECT_TIMEOUT, connect).await??;
        Ok((Self { address, sender, streams: Arc::default() }, driver))
    }

    /// The number of open streams.
    pub(crate) fn streams(&self) -> usize {
        self.streams.load(Ordering::Relaxed)
    }

    /// Whether it accepts no further streams. Open ones may continue.
    pub(crate) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Whether this is the same link.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.streams, &other.streams)
    }

    /// Sends a request. Dropping the result resets the stream.
    pub(crate) async fn send(mut self, request: Request<Body>) -> Sent {
        self.streams.fetch_add(1, Ordering::Relaxed);
        let counted = Counted(self.streams.clone());
        match self.sender.try_send_request(request).await {
            Ok(response) => Sent::Answered(response.map(|body| Answer { body, _counted: counted })),
            Err(mut error) => match error.take_message() {
                Some(request) => Sent::Unsent(request),
                None => Sent::Lost(error.into_error()),
            },
        }
    }
}

impl hyper::body::Body for Answer {
    type Data = bytes::Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Sets the request's authority.
pub(super) fn address(request: &mut Request<Body>, node: SocketAddr) -> Result<(), BoxError> {
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(Authority::try_from(node.to_string())?);
    *request.uri_mut() = Uri::from_parts(parts)?;
    Ok(())
}
