//! The bodies of `Chat` and `Subscribe`, which are served as plain HTTP routes.
//!
//! tonic's own server copies every message of a stream into a per-stream buffer, which keeps its largest size. A session's frames
//! are already encoded, and shared: they are passed to HTTP/2 unchanged, and an idle stream has no buffer at all.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body::{Body as HttpBody, Frame};
use parlance_proto::codec::CostDecoder;
use parlance_proto::error::with_details;
use prost::{Message, Name};
use tonic::metadata::MetadataValue;
use tonic::{Status, Streaming};

use crate::Deliveries;
use crate::limits::GATHER_BYTES;

/// Whether this is native gRPC, not grpc-web, which has another encoding.
pub fn is_native(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    kind == b"application/grpc" || kind.starts_with(b"application/grpc+")
}

/// The messages in the body of `request`, of at most `max_bytes` each, with what they take in memory.
///
/// # Errors
/// UNIMPLEMENTED if they are compressed.
pub fn messages<M, B>(request: Request<B>, max_bytes: usize) -> Result<Streaming<(M, usize)>, Status>
where
    M: Message + Name + Default + Send + 'static,
    B: HttpBody + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    if let Some(encoding) = request.headers().get("grpc-encoding").filter(|encoding| *encoding != "identity")
    {
        let mut status = Status::unimplemented(format!("the encoding {encoding:?} is not supported"));
        status.metadata_mut().insert("grpc-accept-encoding", MetadataValue::from_static("identity"));
        return Err(status);
    }
    Ok(Streaming::new_request(CostDecoder::<M>::default(), request.into_body(), None, Some(max_bytes)))
}

/// The response that sends the deliveries of `session`.
pub fn response(session: Deliveries) -> Response<DeliveryBody> {
    let mut response = Response::new(DeliveryBody::Open(session));
    response.headers_mut().insert(header::CONTENT_TYPE, tonic::metadata::GRPC_CONTENT_TYPE);
    response
}

/// The body of a response: a session's deliveries, then its status.
pub enum DeliveryBody {
    /// More may follow.
    Open(Deliveries),
    /// The status follows.
    Ended(Status),
    /// All was sent.
    Done,
}

impl HttpBody for DeliveryBody {
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

    use futures::stream;

    use super::*;
    use crate::{Delivery, SharedFrame, SharedRun};

    fn frame(text: &str) -> SharedFrame {
        SharedFrame::from_encoded(text.as_bytes())
    }

    /// The pieces that are sent, and the status.
    async fn sent(deliveries: Vec<Result<Delivery, Status>>) -> (Vec<Bytes>, Option<Status>) {
        let mut body = pin!(DeliveryBody::Open(stream::iter(deliveries).boxed()));
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
