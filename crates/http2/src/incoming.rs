use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, RecvStream};
use http_body::{Body, Frame};

/// The body of a request.
pub(crate) struct Incoming {
    stream: RecvStream,
    /// Whether only trailers can follow.
    is_read: bool,
}

impl From<RecvStream> for Incoming {
    fn from(stream: RecvStream) -> Self {
        Self { stream, is_read: false }
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        if !self.is_read {
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(bytes)) => {
                    // The caller has taken the previous data: the peer may send as much again.
                    let released = self.stream.flow_control().release_capacity(bytes.len());
                    return Poll::Ready(Some(released.map(|()| Frame::data(bytes))));
                }
                // The peer no longer needs the response, or has it: treated as the end of the body.
                Some(Err(error)) if matches!(error.reason(), Some(Reason::NO_ERROR | Reason::CANCEL)) => {
                    return Poll::Ready(None);
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => self.is_read = true,
            }
        }
        let trailers = ready!(self.stream.poll_trailers(cx));
        Poll::Ready(trailers.map(|trailers| trailers.map(Frame::trailers)).transpose())
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }
}
