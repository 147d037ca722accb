use std::future::pending;
use std::time::Duration;

use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt};
use parlance_delivery::SharedFrame;
use parlance_proto::v1;
use parlance_proto::v1::server_frame::Frame;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tonic::Status;

/// Frames of a node for a client of a bridge that may shut down first.
struct Parting {
    frames: BoxStream<'static, Result<SharedFrame, Status>>,
    shutdown: CancellationToken,
    /// Ends the client's half of the stream.
    finish: CancellationToken,
    delay: Duration,
    told: bool,
    leave_at: Option<Instant>,
}

/// Forwards `frames`. On `shutdown` the client is told to reconnect after `delay`, and until then nothing else
/// changes; after that `finish` ends the client's half, so that the node answers operations in flight and ends the
/// stream.
pub(crate) fn parting(
    frames: BoxStream<'static, Result<SharedFrame, Status>>,
    shutdown: CancellationToken,
    finish: CancellationToken,
    delay: Duration,
) -> impl Stream<Item = Result<SharedFrame, Status>> + Send + 'static {
    let parting = Parting { frames, shutdown, finish, delay, told: false, leave_at: None };
    stream::unfold(parting, |mut parting| async move {
        let frame = parting.next().await?;
        Some((frame, parting))
    })
}

impl Parting {
    async fn next(&mut self) -> Option<Result<SharedFrame, Status>> {
        loop {
            tokio::select! {
                biased;
                () = self.shutdown.cancelled(), if !self.told => {
                    self.told = true;
                    self.leave_at = Some(Instant::now() + self.delay);
                    let draining = v1::Draining { reconnect_after: self.delay.try_into().ok() };
                    return Some(Ok(Frame::Draining(draining).into()));
                }
                () = at(self.leave_at) => {
                    self.leave_at = None;
                    self.finish.cancel();
                }
                frame = self.frames.next() => return frame,
            }
        }
    }
}

/// Waits until then; forever if `None`.
async fn at(then: Option<Instant>) {
    match then {
        Some(then) => sleep_until(then).await,
        None => pending().await,
    }
}
