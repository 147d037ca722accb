//! The bodies of gRPC streams.
//!
//! tonic copies every message of a stream into a per-stream buffer, which keeps its largest size. A session's frames
//! are already encoded, and shared: they are passed to HTTP/2 unchanged, and an idle stream has no buffer at all.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures::future::MapOk;
use futures::stream::Empty;
use futures::{StreamExt, TryFutureExt, stream};
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body::{Body as HttpBody, Frame};
use parlance_proto::error::with_details;
use parlance_proto::v1;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::server::NamedService;

use crate::Deliveries;
use crate::limits::GATHER_BYTES;

/// The empty stream that tonic is given to send.
pub type Nothing = Empty<Result<v1::ServerFrame, Status>>;

/// An extension of the response: what is sent instead.
#[derive(Clone)]
struct Opened(Arc<Mutex<Option<Deliveries>>>);

/// The response to a call that opened a session.
pub fn opened(session: Deliveries) -> tonic::Response<Nothing> {
    let mut response = tonic::Response::new(stream::empty());
    response.extensions_mut().insert(Opened(Arc::new(Mutex::new(Some(session)))));
    response
}

/// Whether this is native gRPC, not grpc-web, which has another encoding.
pub fn is_native(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    kind == b"application/grpc" || kind.starts_with(b"application/grpc+")
}

/// Wraps a tonic server; the bodies of its streams are sent from here.
#[derive(Clone)]
pub struct Streaming<S>(S);

impl<S> Streaming<S> {
    /// Sends the deliveries of the streams of `server`.
    pub fn new(server: S) -> Self {
        Self(server)
    }
}

impl<S: NamedService> NamedService for Streaming<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for Streaming<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = MapOk<S::Future, fn(Response<Body>) -> Response<Body>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.0.call(request).map_ok(with_deliveries as fn(_) -> _)
    }
}

fn with_deliveries(mut response: Response<Body>) -> Response<Body> {
    let opened = response.extensions_mut().remove::<Opened>();
    let session = opened.and_then(|opened| opened.0.lock().unwrap_or_else(PoisonError::into_inner).take());
    match session {
        Some(session) => response.map(|_| Body::new(Outgoing::Open(session))),
        None => response,
    }
}

/// The body of a response: a session's deliveries, then its status.
enum Outgoing {
    Open(Deliveries),
    Ended(Status),
    Done,
}

impl HttpBody for Outgoing {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let mut gathered = Gathered::default();
        loop {
            match &mut *self {
                Self::Open(session) => match session.poll_next_unpin(cx) {
                    Poll::Ready(Some(Ok(delivery))) => gathered.push(delivery.grpc()),
                    Poll::Ready(Some(Err(status))) => *self = Self::Ended(with_details(status)),
                    Poll::Ready(None) => *self = Self::Ended(Status::ok("")),
                    Poll::Pending if gathered.is_empty() => return Poll::Pending,
                    Poll::Pending => return Poll::Ready(Some(Ok(gathered.into()))),
                },
                _ if !gathered.is_empty() => return Poll::Ready(Some(Ok(gathered.into()))),
                Self::Ended(status) => {
                    let mut trailers = HeaderMap::new();
                    let added = status.add_header(&mut trailers);
                    *self = Self::Done;
                    return Poll::Ready(Some(added.map(|()| Frame::trailers(trailers))));
                }
                Self::Done => return Poll::Ready(None),
            }
            if gathered.len() >= GATHER_BYTES {
                return Poll::Ready(Some(Ok(gathered.into())));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Done)
    }
}

/// The ready frames as one piece, because HTTP/2 makes a system call per piece. Copied only if there is more than
/// one.
#[derive(Default)]
struct Gathered {
    first: Bytes,
    all: BytesMut,
}

impl Gathered {
    fn push(&mut self, bytes: &Bytes) {
        if self.is_empty() {
            self.first = bytes.clone();
            return;
        }
        if self.all.is_empty() {
            self.all.reserve((self.first.len() + bytes.len()) * 2);
            self.all.extend_from_slice(&self.first);
        }
        self.all.extend_from_slice(bytes);
    }

    fn len(&self) -> usize {
        self.first.len().max(self.all.len())
    }

    fn is_empty(&self) -> bool {
        self.first.is_empty()
    }
}

impl From<Gathered> for Frame<Bytes> {
    fn from(gathered: Gathered) -> Self {
        let bytes = if gathered.all.is_empty() { gathered.first } else { gathered.all.freeze() };
        Self::data(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;

    use super::*;
    use crate::{Delivery, SharedFrame, SharedRun};

    fn frame(text: &str) -> SharedFrame {
        SharedFrame::from_encoded(text.as_bytes())
    }

    /// The pieces that are sent, and the status.
    async fn sent(deliveries: Vec<Result<Delivery, Status>>) -> (Vec<Bytes>, Option<Status>) {
        let mut body = pin!(Outgoing::Open(stream::iter(deliveries).boxed()));
        let (mut pieces, mut status) = (Vec::new(), None);
        while let Some(Ok(frame)) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
            match frame.into_data() {
                Ok(piece) => pieces.push(piece),
                Err(frame) => status = frame.trailers_ref().and_then(Status::from_header_map),
            }
        }
        (pieces, status)
    }

    #[tokio::test]
    async fn ready_frames_are_sent_as_one_piece() {
        let run = Delivery::Run(SharedRun::new([frame("b"), frame("c")]));
        let (pieces, status) = sent(vec![Ok(frame("a").into()), Ok(run), Ok(frame("d").into())]).await;
        let expected = ["a", "b", "c", "d"].map(|text| [&[0, 0, 0, 0, 1], text.as_bytes()].concat()).concat();
        assert_eq!(pieces, [expected]);
        assert_eq!(status.map(|status| status.code()), Some(tonic::Code::Ok));
    }

    #[tokio::test]
    async fn single_piece_is_shared_and_large_piece_ends_gathering() {
        let large = frame(&"x".repeat(GATHER_BYTES));
        let refused = Status::unauthenticated("too late");
        let (pieces, status) =
            sent(vec![Ok(large.clone().into()), Ok(frame("a").into()), Err(refused)]).await;
        assert_eq!(pieces.len(), 2);
        assert_eq!(pieces[0].as_ptr(), large.grpc().as_ptr());
        let status = status.expect("trailers");
        assert_eq!((status.code(), status.message()), (tonic::Code::Unauthenticated, "too late"));
    }
}
