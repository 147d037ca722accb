use std::future::pending;
use std::time::Duration;

use parlance_proto::error::Failure;
use parlance_proto::v1;
use parlance_proto::v1::reply::Result as Answer;
use parlance_proto::v1::server_frame::Frame;
use prost::Message;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tonic::Code;

use super::Update;
use super::driver::{Driver, UPDATES_PER_FRAME};
use super::rooms::Verdict;
use crate::ClientError;
use crate::transport::{Connection, Receiver, Sender};

/// Why a connection is over.
pub(super) enum End {
    /// It broke, or the server ended it.
    Lost(Option<ClientError>),
    /// The server asked to connect again, and the time has come.
    Drained,
    /// Nobody wants the session any more.
    Finished,
}

/// A session while it is connected.
pub(super) struct Live<'a> {
    driver: &'a mut Driver,
    /// The sending half still takes frames. Once it does not, the receiving half tells why.
    writable: bool,
    max_in_flight: usize,
    max_frame_bytes: usize,
    /// When to leave a server that is draining.
    leave_at: Option<Instant>,
    /// An error that answers no call: over WebSocket, why the close that follows.
    last_words: Option<ClientError>,
}

type Permits<'a> = Option<mpsc::PermitIterator<'a, Update>>;

impl<'a> Live<'a> {
    /// Serves `connection` to its end.
    pub(super) async fn serve(driver: &'a mut Driver, connection: Connection, welcome: v1::Welcome) -> End {
        let (sender, mut receiver) = connection.split();
        driver.rooms.connected(&welcome);
        driver.outbox.reconnected();
        let limits = welcome.limits.unwrap_or_default();
        let allowed = |limit: u32| if limit == 0 { usize::MAX } else { limit as usize };
        let max_in_flight = driver.config.max_in_flight.min(allowed(limits.max_in_flight));
        let max_frame_bytes = allowed(limits.max_frame_bytes);
        driver.tell(Update::Connected(welcome)).await;
        let live =
            Self { driver, writable: true, max_in_flight, max_frame_bytes, leave_at: None, last_words: None };
        live.run(&sender, &mut receiver).await
    }

    async fn run(mut self, sender: &Sender, receiver: &mut Receiver) -> End {
        let updates = self.driver.updates.clone();
        loop {
            if self.driver.no_more_calls {
                self.driver.outbox.forget_abandoned();
                if self.driver.outbox.len() == 0 {
                    return End::Finished;
                }
            }
            let can_send = self.writable && self.leave_at.is_none() && self.driver.outbox.has_ready();
            let takes_calls = self.driver.takes_calls(self.max_in_flight);
            let due = self.driver.outbox.next_due();
            // Writing comes before reading, and is bounded by the operations in flight.
            tokio::select! {
                biased;
                () = at(self.leave_at) => return End::Drained,
                () = at(due) => self.driver.outbox.wake(Instant::now()),
                permit = sender.reserve(), if can_send => match permit {
                    Some(permit) => send_next(self.driver, self.max_frame_bytes, permit),
                    None => self.writable = false,
                },
                (permits, frame) = next_frame(&updates, receiver) => match frame {
                    Ok(Some(frame)) => self.take(frame, permits),
                    Ok(None) => return self.lost(None),
                    Err(error) => return self.lost(Some(error)),
                },
                call = self.driver.calls.recv(), if takes_calls => self.driver.accept(call),
            }
        }
    }

    fn take(&mut self, frame: v1::ServerFrame, permits: Permits<'_>) {
        let mut permits = permits.into_iter().flatten();
        let mut tell = |update| {
            if let Some(permit) = permits.next() {
                permit.send(update);
            }
        };
        let rooms = &mut self.driver.rooms;
        match frame.frame {
            Some(Frame::Reply(v1::Reply { request_id, result: Some(Answer::Error(error)) }))
                if request_id.is_empty() =>
            {
                self.last_words = Some(error.into());
            }
            Some(Frame::Reply(reply)) => self.driver.outbox.answered(reply, rooms),
            Some(Frame::Event(event)) => {
                let Verdict { violation, deliver } = rooms.event(&event);
                violation.map(Update::Violation).map(&mut tell);
                deliver.then(|| tell(Update::Event(event)));
            }
            Some(Frame::Gap(mut gap)) => {
                let Verdict { violation, deliver } = rooms.gap(&mut gap);
                violation.map(Update::Violation).map(&mut tell);
                deliver.then(|| tell(Update::Gap(gap)));
            }
            Some(Frame::Signal(signal)) => tell(Update::Signal(signal)),
            Some(Frame::Draining(draining)) => {
                let asked = draining.reconnect_after.and_then(|delay| delay.try_into().ok());
                let delay: Duration = asked.unwrap_or_default();
                self.leave_at.get_or_insert_with(|| Instant::now() + delay);
            }
            // A second welcome means nothing, and a frame of a later version neither.
            Some(Frame::Welcome(_)) | None => {}
        }
    }

    /// A server that drains may end the stream before the delay is over.
    fn lost(&mut self, error: Option<ClientError>) -> End {
        let Some(leave_at) = self.leave_at else {
            // A close code says less than the error before it.
            let closed = matches!(error, Some(ClientError::Closed { .. }));
            return End::Lost(self.last_words.take().filter(|_| closed).or(error));
        };
        let mut wait = Failure::new(Code::Unavailable, "draining", "the server is draining");
        wait.retry_after = Some(leave_at.saturating_duration_since(Instant::now()));
        End::Lost(Some(wait.into()))
    }
}

/// Sends the next frame that is ready. One that the server would close the connection
/// over is refused here, or it would do so for ever.
fn send_next(driver: &mut Driver, max_frame_bytes: usize, permit: mpsc::Permit<'_, v1::ClientFrame>) {
    let Some(frame) = driver.outbox.next_frame(&driver.rooms) else { return };
    if frame.encoded_len() <= max_frame_bytes {
        permit.send(frame);
        return;
    }
    let message = format!("the request has more than {max_frame_bytes} bytes");
    let failure = Failure::new(Code::InvalidArgument, "frame_too_large", message);
    let result = Some(Answer::Error(failure.into()));
    driver.outbox.answered(v1::Reply { request_id: frame.request_id, result }, &mut driver.rooms);
}

/// The next frame, read only once there is room for what it tells. Without a reader of
/// updates there are no permits.
async fn next_frame<'u>(
    updates: &'u mpsc::Sender<Update>,
    receiver: &mut Receiver,
) -> (Permits<'u>, Result<Option<v1::ServerFrame>, ClientError>) {
    let permits = updates.reserve_many(UPDATES_PER_FRAME).await.ok();
    (permits, receiver.recv().await)
}

/// Waits until then; for ever without a then.
async fn at(then: Option<Instant>) {
    match then {
        Some(then) => sleep_until(then).await,
        None => pending().await,
    }
}
