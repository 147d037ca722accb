use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use parlance_cluster::limits::{DRAIN_GRACE, LEAVE_SLACK};
use parlance_core::{Caller, RoomId};
use parlance_delivery::{Delivery, Outlet, SharedFrame};
use parlance_hub::Waken;
use parlance_peers::{Budget, Charged, Reservation};
use parlance_proto::error::Failure;
use parlance_proto::v1;
use parlance_runtime::rate::Bucket;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};
use v1::server_frame::Frame;

use crate::error::Error;
use crate::heartbeat::Heartbeat;
use crate::limits::{HELLO_TIMEOUT, MAX_ANSWERS, MAX_IN_FLIGHT, MAX_LARGE_IN_FLIGHT, MAX_PAUSE, QUEUE_KEPT};
use crate::log_reads::LogRead;
use crate::open::OpenSession;
use crate::opening::Opened;
use crate::operations::Operations;
use crate::sessions::Sessions;

/// Frames from the client; an error ends the session.
pub type Inbound = BoxStream<'static, Result<Charged<v1::ClientFrame>, Status>>;

/// What a session is opened with.
pub struct StreamParts {
    /// Whose session it is.
    pub caller: Caller,
    /// The number of the stream, for [`Operations::refresh`].
    pub number: u64,
    /// Whether it receives events after its client has finished sending: a `Subscribe` stream.
    pub subscribe_only: bool,
    /// Its connection, if that supports pushing.
    pub outlet: Option<Outlet>,
    /// Room for large answers on its connection. `None`: it has its own.
    pub answers: Option<Arc<Budget>>,
}

/// One session of `Chat` or `Subscribe`. See the [crate] documentation.
pub struct Session {
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) operations: Arc<dyn Operations>,
    pub(crate) caller: Caller,
    /// The number of its stream.
    pub(crate) number: u64,
    inbound: Inbound,
    /// Its connection, if that supports pushing.
    pub(crate) outlet: Option<Outlet>,
    /// Room for large answers, created with the first operation.
    answers: Option<Arc<Budget>>,
    /// The room for the answer that was sent last: its connection takes the next one when it has passed that on.
    pub(crate) unread: Option<Reservation>,
    /// The client has finished sending. Operations in flight are still answered.
    inbound_ended: bool,
    /// Whether it receives events even so: a `Subscribe` stream.
    pub(crate) subscribe_only: bool,
    /// Operations in flight, each a task: see [`in_own_task`](parlance_runtime::own_task::in_own_task).
    pub(crate) in_flight: JoinSet<Answered>,
    /// Shared by those of them whose frames are large.
    pub(crate) large: Arc<()>,
    /// Frames ready to be sent.
    pub(crate) out: VecDeque<Delivery>,
    pub(crate) open: Option<OpenSession>,
    /// Fires for hello, then for the expiry of the token, then as set by [`Stage`]; and for heartbeats.
    clock: Pin<Box<Sleep>>,
    /// Boxed: most sessions have none.
    pub(crate) heartbeat: Option<Box<Heartbeat>>,
    /// A child token per session: all sessions would contend for the lock of a shared one.
    shutdown: CancellationToken,
    pub(crate) stage: Stage,
    /// The client was told that its token expires, or there is no time for a new one: the timer ends the session.
    pub(crate) is_expiring: bool,
    pub(crate) bad_frames: Bucket,
    /// While set, nothing is read from a client that is over its rate. Boxed: most never are.
    paused: Option<Pin<Box<Sleep>>>,
    /// Alternates between the client's frames and the mailbox, so that neither starves the other.
    mailbox_first: bool,
    ended: bool,
}

/// A reply, and the room that was made for it.
pub(crate) type Answered = (SharedFrame, Option<Reservation>);

/// How close a session is to its end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Stage {
    /// Not ending.
    Serving,
    /// Told to leave; served as before until the deadline, so that clients move at their own times and not all at
    /// once.
    Notified,
    /// Operations in flight are answered until the deadline; no new ones are accepted.
    Leaving,
}

pub(crate) enum Turn {
    Drain,
    Deadline,
    Reply(Result<Answered, JoinError>),
    /// Boxed: a session would reserve several of these 150 bytes while it waits.
    Inbound(Option<Result<Box<Charged<v1::ClientFrame>>, Status>>),
    Waken(Waken),
    /// The client is within its rate again.
    Resumed,
    /// Rooms that could not be read are due for a retry.
    Retry,
    /// A room being opened was read.
    Opened(Box<(RoomId, Opened)>),
    /// Data for a room's stream was read.
    LogRead(Box<LogRead>),
}

impl Turn {
    fn inbound(frame: Option<Result<Charged<v1::ClientFrame>, Status>>) -> Self {
        Self::Inbound(frame.map(|frame| frame.map(Box::new)))
    }
}

impl Session {
    /// The frames of a new session. Dropping the stream closes the session.
    pub fn stream(
        sessions: Arc<Sessions>,
        operations: Arc<dyn Operations>,
        parts: StreamParts,
        inbound: Inbound,
    ) -> impl Stream<Item = Result<Delivery, Status>> + Send + 'static {
        metrics::gauge!("parlance_sessions").increment(1.0);
        let StreamParts { caller, number, subscribe_only, outlet, answers } = parts;
        let session = Self {
            clock: Box::pin(sleep(HELLO_TIMEOUT)),
            heartbeat: None,
            shutdown: sessions.departure.token(),
            sessions,
            operations,
            caller,
            number,
            inbound,
            outlet,
            answers,
            unread: None,
            inbound_ended: false,
            subscribe_only,
            in_flight: JoinSet::new(),
            large: Arc::default(),
            out: VecDeque::new(),
            open: None,
            stage: Stage::Serving,
            is_expiring: false,
            bad_frames: Bucket::default(),
            paused: None,
            mailbox_first: false,
            ended: false,
        };
        futures::stream::unfold(session, |mut session| async move {
            let item = session.next().await?;
            Some((item, session))
        })
    }

    async fn next(&mut self) -> Option<Result<Delivery, Status>> {
        loop {
            if let Some(delivery) = self.out.pop_front() {
                if let Some(heartbeat) = &mut self.heartbeat {
                    heartbeat.sent(Instant::now());
                }
                return Some(Ok(delivery));
            }
            if self.ended {
                return None;
            }
            if self.out.capacity() > QUEUE_KEPT {
                self.out.shrink_to_fit();
            }
            self.unread = None;
            let turn = self.turn().await;
            if let Err(error) = self.take(turn).await {
                self.ended = true;
                return Some(Err(error));
            }
        }
    }

    /// Waits for the next work. Cancel-safe: nothing is taken unless returned.
    async fn turn(&mut self) -> Turn {
        let is_busy =
            self.in_flight.len() >= MAX_IN_FLIGHT || Arc::strong_count(&self.large) > MAX_LARGE_IN_FLIGHT;
        let can_take = !self.inbound_ended && self.paused.is_none() && !is_busy;
        let paused = self.paused.as_mut();
        self.mailbox_first = !self.mailbox_first;
        let mailbox_first = self.mailbox_first;
        let open = self.open.as_mut();
        let waken = async {
            match open {
                Some(open) => open.turn().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.shutdown.cancelled(), if self.stage == Stage::Serving => Turn::Drain,
            () = self.clock.as_mut() => Turn::Deadline,
            Some(()) = async {
                paused?.as_mut().await;
                Some(())
            } => Turn::Resumed,
            Some(reply) = self.in_flight.join_next(), if !self.in_flight.is_empty() => Turn::Reply(reply),
            turn = async {
                if mailbox_first {
                    tokio::select! {
                        biased;
                        turn = waken => turn,
                        frame = self.inbound.next(), if can_take => Turn::inbound(frame),
                    }
                } else {
                    tokio::select! {
                        biased;
                        frame = self.inbound.next(), if can_take => Turn::inbound(frame),
                        turn = waken => turn,
                    }
                }
            } => turn,
        }
    }

    async fn take(&mut self, turn: Turn) -> Result<(), Status> {
        match turn {
            Turn::Reply(Ok(answered)) => self.answered(answered),
            Turn::Reply(Err(error)) => {
                tracing::error!(%error, "an operation ended without a reply");
                return Err(Failure::new(Code::Internal, "internal", "an operation failed").into());
            }
            Turn::Waken(waken) => self.woken(waken),
            Turn::Resumed => self.paused = None,
            Turn::Retry => {
                if let Some(open) = &mut self.open {
                    open.retry_due();
                }
            }
            Turn::Opened(opened) => {
                if let Some(open) = &mut self.open {
                    let (room, opened) = *opened;
                    open.opened(room, opened);
                }
            }
            Turn::LogRead(read) => {
                if let Some(open) = &mut self.open {
                    open.log_read(*read, &mut self.out);
                }
            }
            Turn::Inbound(Some(Ok(frame))) => self.frame(frame).await?,
            Turn::Inbound(Some(Err(status))) => return Err(status),
            Turn::Inbound(None) => self.inbound_ended = true,
            Turn::Drain => self.drain(),
            Turn::Deadline => self.deadline()?,
        }
        self.tell_gaps();
        // Whichever side has finished, operations in flight are still answered.
        let finished = self.stage == Stage::Leaving || (self.inbound_ended && !self.subscribe_only);
        self.ended |= finished && self.in_flight.is_empty();
        Ok(())
    }

    /// Queues a reply, which is sent next.
    pub(crate) fn answered(&mut self, (reply, reserved): Answered) {
        self.out.push_back(reply.into());
        self.unread = reserved;
    }

    /// Room for large answers.
    pub(crate) fn answers(&mut self) -> Arc<Budget> {
        self.answers.get_or_insert_with(|| Budget::new(MAX_ANSWERS)).clone()
    }

    /// The timer has fired.
    fn deadline(&mut self) -> Result<(), Status> {
        if self.beat() {
            return Ok(());
        }
        match self.stage {
            Stage::Leaving => self.ended = true,
            Stage::Notified => {
                self.stage = Stage::Leaving;
                self.set_timer(DRAIN_GRACE);
            }
            _ if self.open.is_none() => return Err(self.refusal(Error::HelloTimeout)),
            _ => return self.expires(),
        }
        Ok(())
    }

    /// Whether the timer has fired only for a heartbeat, which is sent if nothing else was sent since.
    fn beat(&mut self) -> bool {
        let Some((is_due, next)) =
            self.heartbeat.as_mut().and_then(|heartbeat| heartbeat.on_timer(Instant::now()))
        else {
            return false;
        };
        if is_due {
            self.out.push_back(SharedFrame::default().into());
        }
        self.clock.as_mut().reset(next);
        true
    }

    /// Tells the client when to reconnect, at a different time for each session, and continues until then.
    fn drain(&mut self) {
        self.stage = Stage::Notified;
        let spread = (self.sessions.reconnect_spread.as_millis() as u64).max(1);
        let share = self.open.as_ref().map_or(0, |open| open.mailbox.session());
        // Sessions are numbered consecutively: a stride that is coprime to the spread covers all of it.
        let delay = Duration::from_millis(share.wrapping_mul(1_571) % spread);
        let draining = v1::Draining { reconnect_after: delay.try_into().ok() };
        self.send(Frame::Draining(draining));
        // A client without hello has nothing to wait for.
        let stay = if self.open.is_some() { delay + LEAVE_SLACK } else { Duration::ZERO };
        self.set_timer(stay);
    }

    pub(crate) fn send(&mut self, frame: Frame) {
        self.out.push_back(SharedFrame::from(frame).into());
    }

    /// The status with which a session ends on `error`.
    pub(crate) fn refusal(&self, error: Error) -> Status {
        self.operations.failure(error).into()
    }

    /// Leaves the client's frames in its socket until the `retry_delay` of a rate `failure`: refusing costs as much
    /// as executing.
    pub(crate) fn pause_for(&mut self, failure: &Failure) {
        if failure.reason == "rate_limited"
            && let Some(delay) = failure.retry_after
        {
            self.paused = Some(Box::pin(sleep(delay.min(MAX_PAUSE))));
        }
    }

    pub(crate) fn set_timer(&mut self, delay: Duration) {
        let deadline = Instant::now() + delay;
        let next = self.heartbeat.as_mut().map(|heartbeat| heartbeat.set_deadline(deadline));
        self.clock.as_mut().reset(next.unwrap_or(deadline));
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        metrics::gauge!("parlance_sessions").decrement(1.0);
    }
}
