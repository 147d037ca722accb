//! Bounds on reflection, which anyone may ask: an answer has 30 KiB, and one stream may ask for any number of them.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http::HeaderMap;
use hyper::body::Frame;
use parlance_peers::Budget;
use parlance_proto::error::Failure;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};
use tonic::{Code, Status};

use crate::limits::{REFLECTION_BYTES, REFLECTION_CHECK, REFLECTION_TIME, REFLECTIONS};

/// The streams of reflection that are open.
pub(crate) fn streams() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(REFLECTIONS))
}

/// Refuses streams of reflection beyond [`REFLECTIONS`], and bounds what the others hold.
pub(crate) async fn bound(State(streams): State<Arc<Semaphore>>, request: Request, next: Next) -> Response {
    if !request.uri().path().starts_with("/grpc.reflection.") {
        return next.run(request).await;
    }
    let Ok(permit) = streams.try_acquire_owned() else {
        let refused = Failure::new(Code::ResourceExhausted, "rate_limited", "too many calls of reflection");
        return Status::from(refused.retry_after(REFLECTION_TIME)).into_http();
    };
    let (unwritten, end) = (Budget::new(REFLECTION_BYTES), Some(Box::pin(sleep(REFLECTION_TIME))));
    next.run(request)
        .await
        .map(|body| Body::new(Bounded { body, unwritten, retry: None, end, _permit: permit }))
}

/// The answers on one stream. The next one is made when most of the others are written.
struct Bounded {
    body: Body,
    unwritten: Arc<Budget>,
    retry: Option<Pin<Box<Sleep>>>,
    end: Option<Pin<Box<Sleep>>>,
    _permit: OwnedSemaphorePermit,
}

impl HttpBody for Bounded {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        if this.end.as_mut().is_some_and(|end| end.as_mut().poll(cx).is_ready()) {
            this.end = None;
            let mut trailers = HeaderMap::new();
            // Fails only for text that is no header.
            let _ = Status::deadline_exceeded("reflection took too long").add_header(&mut trailers);
            this.body = Body::empty();
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        while this.unwritten.is_full() {
            let retry = this.retry.get_or_insert_with(|| Box::pin(sleep(REFLECTION_CHECK)));
            ready!(retry.as_mut().poll(cx));
            this.retry = None;
        }
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        let unwritten = &this.unwritten;
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(|bytes| unwritten.charge(bytes)))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}
