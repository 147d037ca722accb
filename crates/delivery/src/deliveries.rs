use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::{Stream, StreamExt};
use tonic::Status;

use crate::{Delivery, SharedFrame, SharedRun};

/// What a session delivers to its client.
pub type Deliveries = Pin<Box<dyn Stream<Item = Result<Delivery, Status>> + Send>>;

/// The same as single frames, for a client in the same process.
pub struct Frames {
    deliveries: Deliveries,
    /// The current run, and how many of its frames were returned.
    run: Option<(SharedRun, usize)>,
}

impl From<Deliveries> for Frames {
    fn from(deliveries: Deliveries) -> Self {
        Self { deliveries, run: None }
    }
}

impl Stream for Frames {
    type Item = Result<SharedFrame, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some((run, out)) = &mut self.run {
                if let Some(frame) = run.frames().get(*out).cloned() {
                    *out += 1;
                    return Poll::Ready(Some(Ok(frame)));
                }
                self.run = None;
            }
            match ready!(self.deliveries.poll_next_unpin(cx)) {
                Some(Ok(Delivery::Frame(frame))) => return Poll::Ready(Some(Ok(frame))),
                Some(Ok(Delivery::Run(run))) => self.run = Some((run, 0)),
                Some(Err(status)) => return Poll::Ready(Some(Err(status))),
                None => return Poll::Ready(None),
            }
        }
    }
}
