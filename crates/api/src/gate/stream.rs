use futures::{Stream, StreamExt, stream};
use parlance_delivery::Delivery;
use parlance_identity::Live;
use tonic::Status;
use tracing::{Instrument, Span};

use crate::Error;

/// `frames`, polled in `span`, until the token that they were requested with is revoked.
pub(super) fn revocable(
    frames: impl Stream<Item = Result<Delivery, Status>> + Send + 'static,
    live: Live,
    span: Span,
) -> impl Stream<Item = Result<Delivery, Status>> + Send + 'static {
    let open = Some((Box::pin(frames), live));
    stream::unfold(open, move |open| {
        let next = async move {
            let (mut frames, mut live) = open?;
            tokio::select! {
                biased;
                () = live.revoked() => Some((Err(Error::TokenRevoked.into()), None)),
                frame = frames.next() => Some((frame?, Some((frames, live)))),
            }
        };
        next.instrument(span.clone())
    })
}
