use std::time::Duration;

use parlance_proto::v1;
use parlance_proto::v1::client_frame::Operation;
use parlance_proto::v1::reply::Result as Answer;
use parlance_proto::v1::server_frame::Frame;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use super::connection::{End, Live};
use super::outbox::Outbox;
use super::rooms::Rooms;
use super::{Call, Config, Update, backoff};
use crate::ClientError;
use crate::transport::Connection;

/// One frame makes at most two updates: a violation, and what came.
pub(super) const UPDATES_PER_FRAME: usize = 2;

/// How long the server may take to answer hello.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(15);

/// The one task of a session: connects, serves the connection, waits, connects again.
pub(super) struct Driver {
    pub(super) config: Config,
    pub(super) calls: mpsc::Receiver<Call>,
    /// All handles are gone: no more calls will come.
    pub(super) no_more_calls: bool,
    pub(super) updates: mpsc::Sender<Update>,
    pub(super) rooms: Rooms,
    pub(super) outbox: Outbox,
}

impl Driver {
    pub(super) fn new(
        mut config: Config,
        calls: mpsc::Receiver<Call>,
        updates: mpsc::Sender<Update>,
    ) -> Self {
        let rooms = Rooms::new(std::mem::take(&mut config.cursors));
        Self { config, calls, no_more_calls: false, updates, rooms, outbox: Outbox::new() }
    }

    pub(super) async fn run(mut self) {
        let mut failures = 0;
        let last = loop {
            let dialer = failures as usize % self.config.dialers.len().max(1);
            let opened = Box::pin(self.open(dialer)).await;
            let end = match opened {
                Ok((connection, welcome)) => {
                    failures = 0;
                    Box::pin(Live::serve(&mut self, connection, welcome)).await
                }
                Err(error) => End::Lost(Some(error)),
            };
            let (error, retry_in) = match end {
                End::Finished => break ClientError::SessionEnded,
                // The delay was waited for on the old connection.
                End::Drained => (None, Duration::ZERO),
                End::Lost(Some(error)) if error.is_final() => break error,
                End::Lost(error) => {
                    let asked = error.as_ref().and_then(ClientError::retry_after).unwrap_or_default();
                    (error, asked.max(backoff::delay(failures)))
                }
            };
            failures += 1;
            self.tell(Update::Disconnected { error, retry_in }).await;
            if self.rest(retry_in).await.is_finished() {
                break ClientError::SessionEnded;
            }
        };
        self.calls.close();
        self.outbox.fail(&last);
        while let Ok(call) = self.calls.try_recv() {
            let _ = call.answer.send(Err(last.clone()));
        }
        self.tell(Update::Stopped(last)).await;
    }

    /// Connects, says hello, and waits for the welcome.
    async fn open(&self, dialer: usize) -> Result<(Connection, v1::Welcome), ClientError> {
        let Some(dialer) = self.config.dialers.get(dialer) else {
            return Err(ClientError::SessionEnded);
        };
        let mut connection = dialer.connect(&self.config.token).await?;
        let hello = v1::Hello { device_id: self.config.device_id.clone(), cursors: self.rooms.cursors() };
        let operation = Some(Operation::Hello(hello));
        let hello = v1::ClientFrame { request_id: "hello".to_owned(), operation };
        // A stream that has ended already says why when it is read.
        let _ = connection.send(hello).await;
        let frame = timeout(WELCOME_TIMEOUT, connection.recv()).await;
        match frame.map_err(|_| ClientError::Io("no welcome in time".to_owned()))?? {
            None => Err(ClientError::Io("the stream ended before the welcome".to_owned())),
            Some(v1::ServerFrame { frame: Some(Frame::Welcome(welcome)) }) => Ok((connection, welcome)),
            Some(v1::ServerFrame {
                frame: Some(Frame::Reply(v1::Reply { result: Some(Answer::Error(error)), .. })),
            }) => Err(error.into()),
            Some(_) => Err(ClientError::Protocol("the first frame is no welcome".to_owned())),
        }
    }

    /// Waits between two connections, taking calls as far as there is room.
    async fn rest(&mut self, delay: Duration) -> Rest {
        let until = Instant::now() + delay;
        loop {
            self.outbox.forget_abandoned();
            if self.no_more_calls && self.outbox.len() == 0 {
                return Rest::Finished;
            }
            tokio::select! {
                biased;
                () = sleep(until.saturating_duration_since(Instant::now())) => return Rest::Over,
                call = self.calls.recv(), if self.takes_calls(self.config.max_in_flight) => self.accept(call),
            }
        }
    }

    pub(super) fn takes_calls(&self, max_in_flight: usize) -> bool {
        !self.no_more_calls && self.outbox.len() < max_in_flight.max(1)
    }

    pub(super) fn accept(&mut self, call: Option<Call>) {
        match call {
            Some(call) => self.outbox.push(call),
            None => self.no_more_calls = true,
        }
    }

    /// Tells the application; one that has dropped its updates wants none.
    pub(super) async fn tell(&self, update: Update) {
        let _ = self.updates.send(update).await;
    }
}

enum Rest {
    Over,
    Finished,
}

impl Rest {
    fn is_finished(&self) -> bool {
        matches!(self, Self::Finished)
    }
}
