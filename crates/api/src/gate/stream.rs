use futures::{Stream, StreamExt, stream};
use parlance_delivery::{Delivery, SharedFrame};
use parlance_identity::{Ending, Live};
use parlance_proto::v1;
use tokio::time::Instant;
use tonic::Status;
use tracing::{Instrument, Span};
use v1::server_frame::Frame;

use crate::Error;

/// Whether the client of a stream can send another token on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refresh {
    Possible,
    Impossible,
}

/// `frames`, polled in `span`, until the token that they were requested with is revoked. If there is time left then,
/// the client learns of it once it was welcomed.
pub(super) fn revocable(
    frames: impl Stream<Item = Result<Delivery, Status>> + Send + 'static,
    live: Live,
    span: Span,
    refresh: Refresh,
) -> impl Stream<Item = Result<Delivery, Status>> + Send + 'static {
    let open = Some((Box::pin(frames), live, false, None));
    stream::unfold(open, move |open| {
        let next = async move {
            let (mut frames, mut live, is_welcomed, mut untold) = open?;
            loop {
                if let Some(until) = untold.take_if(|_| is_welcomed) {
                    return Some((Ok(expiring(until)), Some((frames, live, is_welcomed, None))));
                }
                tokio::select! {
                    biased;
                    ending = live.ending() => match ending {
                        Ending::Now => return Some((Err(Error::TokenRevoked.into()), None)),
                        Ending::After(rest) if refresh == Refresh::Possible => {
                            untold = Some(Instant::now() + rest);
                        }
                        Ending::After(_) => {}
                    },
                    frame = frames.next() => return Some((frame?, Some((frames, live, true, untold)))),
                }
            }
        };
        next.instrument(span.clone())
    })
}

fn expiring(until: Instant) -> Delivery {
    let expires_after = until.saturating_duration_since(Instant::now()).try_into().ok();
    let frame = Some(Frame::TokenExpiring(v1::TokenExpiring { expires_after }));
    SharedFrame::new(&v1::ServerFrame { frame }).into()
}
