//! One session of `Chat` or `Subscribe`, as a stream: it does its work when it is
//! polled, so that a client that does not read holds up nobody but itself, and needs
//! no queue of its own.

mod acks;
mod catch_up;
mod online;
mod stream;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use parlance_core::{DeviceId, RoomId, UserId};
use parlance_delivery::{Delivery, Outlet, SharedFrame};
use parlance_proto::error::Failure;
use parlance_proto::v1;
use tokio::task::{JoinError, JoinSet, unconstrained};
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tonic::{Code, Status};
use v1::client_frame::Operation;
use v1::server_frame::Frame;

use self::acks::{Acks, Taken};
use self::online::Online;
use self::stream::RoomStream;
use crate::auth::Caller;
use crate::limits::{BAD_FRAMES, HELLO_TIMEOUT, MAX_IN_FLIGHT, QUEUE_KEPT, UNREADABLE_RETRY};
use crate::operations::parse::{self, Cursor};
use crate::{Api, Error};
use parlance_cluster::limits::{DRAIN_GRACE, LEAVE_SLACK, PRESENCE_ROOMS};
use parlance_hub::{Hub, Mailbox};
use parlance_runtime::map::HashMap;
use parlance_runtime::own_task::in_own_task;

/// Longest correlation id of a frame, bytes.
const MAX_FRAME_ID: usize = 64;

/// What comes from the client; an error ends the session.
pub(crate) type Inbound = BoxStream<'static, Result<v1::ClientFrame, Status>>;

pub(crate) struct Session {
    api: Arc<Api>,
    caller: Caller,
    inbound: Inbound,
    /// Its connection, if that can be pushed to.
    outlet: Option<Outlet>,
    /// The client has finished sending. What is under way is still answered.
    inbound_ended: bool,
    /// It gets events even so: a `Subscribe` stream.
    subscribe_only: bool,
    /// Operations under way, each a task: see [`in_own_task`].
    in_flight: JoinSet<SharedFrame>,
    /// Ready to go out.
    out: VecDeque<Delivery>,
    open: Option<OpenSession>,
    /// Rings for hello, then at the end of the token, then when [`Stage`] says.
    clock: Pin<Box<Sleep>>,
    /// One of its own: what all sessions look at, all of them would lock.
    shutdown: CancellationToken,
    stage: Stage,
    bad_frames: DefaultDirectRateLimiter,
    /// Whose turn it is, the client's frames or the mailbox: neither starves the other.
    mailbox_first: bool,
    ended: bool,
}

/// What a session has once hello was said. Dropping it takes the session out of
/// everything that knows it.
pub(crate) struct OpenSession {
    hub: Arc<Hub>,
    mailbox: Arc<Mailbox>,
    rooms: HashMap<RoomId, RoomStream>,
    /// Where the session was in rooms that its user has left meanwhile.
    left: HashMap<RoomId, u64>,
    /// Rooms that could not be read yet, and where the client is in them.
    unreadable: HashMap<RoomId, Option<Cursor>>,
    /// Has them tried again after a while.
    retry: Option<AbortOnDropHandle<()>>,
    retry_delay: Duration,
    /// Gaps to name once, right after the welcome.
    notices: Vec<v1::Gap>,
    /// `None` once the session ends.
    acks: Option<Acks>,
    online: Online,
}

/// How near to its end a session is.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Stage {
    /// Nowhere near.
    Serving,
    /// Told to leave; it goes on as before until the deadline, so that clients move when
    /// they were told to, and not all at once.
    Told,
    /// What is under way is answered until the deadline, and nothing more is taken.
    Leaving,
}

enum Turn {
    Drain,
    Deadline,
    Reply(Result<SharedFrame, JoinError>),
    /// Boxed: a session would hold room for several of these 150 bytes while it waits.
    Inbound(Option<Result<Box<v1::ClientFrame>, Status>>),
    Waken(parlance_hub::Waken),
}

impl Turn {
    fn inbound(frame: Option<Result<v1::ClientFrame, Status>>) -> Self {
        Self::Inbound(frame.map(|frame| frame.map(Box::new)))
    }
}

impl Session {
    /// The frames of a new session. Dropping the stream closes the session.
    pub(crate) fn stream(
        api: Arc<Api>,
        caller: Caller,
        inbound: Inbound,
        subscribe_only: bool,
        outlet: Option<Outlet>,
    ) -> impl Stream<Item = Result<Delivery, Status>> + Send + 'static {
        let burst = NonZeroU32::new(BAD_FRAMES).unwrap_or(NonZeroU32::MIN);
        metrics::gauge!("parlance_sessions").increment(1.0);
        let session = Self {
            clock: Box::pin(sleep(HELLO_TIMEOUT)),
            shutdown: api.departure().token(),
            api,
            caller,
            inbound,
            outlet,
            inbound_ended: false,
            subscribe_only,
            in_flight: JoinSet::new(),
            out: VecDeque::new(),
            open: None,
            stage: Stage::Serving,
            bad_frames: RateLimiter::direct(Quota::per_second(NonZeroU32::MIN).allow_burst(burst)),
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
                return Some(Ok(delivery));
            }
            if self.ended {
                return None;
            }
            if self.out.capacity() > QUEUE_KEPT {
                self.out.shrink_to_fit();
            }
            let turn = self.turn().await;
            if let Err(error) = self.take(turn).await {
                self.ended = true;
                return Some(Err(error));
            }
        }
    }

    /// Waits for the next thing to do. Cancel-safe: nothing is taken unless returned.
    async fn turn(&mut self) -> Turn {
        let can_take = !self.inbound_ended && self.in_flight.len() < MAX_IN_FLIGHT;
        self.mailbox_first = !self.mailbox_first;
        let mailbox_first = self.mailbox_first;
        let open = self.open.as_ref();
        let waken = async {
            match open {
                Some(open) => open.mailbox.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.shutdown.cancelled(), if self.stage == Stage::Serving => Turn::Drain,
            () = self.clock.as_mut() => Turn::Deadline,
            Some(reply) = self.in_flight.join_next(), if !self.in_flight.is_empty() => Turn::Reply(reply),
            turn = async {
                if mailbox_first {
                    tokio::select! {
                        biased;
                        waken = waken => Turn::Waken(waken),
                        frame = self.inbound.next(), if can_take => Turn::inbound(frame),
                    }
                } else {
                    tokio::select! {
                        biased;
                        frame = self.inbound.next(), if can_take => Turn::inbound(frame),
                        waken = waken => Turn::Waken(waken),
                    }
                }
            } => turn,
        }
    }

    async fn take(&mut self, turn: Turn) -> Result<(), Status> {
        match turn {
            Turn::Reply(Ok(reply)) => self.out.push_back(reply.into()),
            Turn::Reply(Err(error)) => {
                tracing::error!(%error, "an operation ended without an answer");
                return Err(Failure::new(Code::Internal, "internal", "an operation failed").into());
            }
            Turn::Waken(waken) => self.woken(waken).await,
            Turn::Inbound(Some(Ok(frame))) => self.frame(frame).await?,
            Turn::Inbound(Some(Err(status))) => return Err(status),
            Turn::Inbound(None) => self.inbound_ended = true,
            Turn::Drain => self.drain(),
            Turn::Deadline if self.stage == Stage::Leaving => self.ended = true,
            Turn::Deadline if self.stage == Stage::Told => {
                self.stage = Stage::Leaving;
                self.ring_in(DRAIN_GRACE);
            }
            Turn::Deadline if self.open.is_none() => return Err(Error::HelloTimeout.into()),
            Turn::Deadline => return Err(Error::TokenExpired.into()),
        }
        // Whoever has finished, client or server, what was asked is still answered.
        let finished = self.stage == Stage::Leaving || (self.inbound_ended && !self.subscribe_only);
        self.ended |= finished && self.in_flight.is_empty();
        Ok(())
    }

    /// Says when to come back, each session at another time, and goes on until then.
    fn drain(&mut self) {
        self.stage = Stage::Told;
        let spread = (self.api.reconnect_spread().as_millis() as u64).max(1);
        let share = self.open.as_ref().map_or(0, |open| open.mailbox.session());
        // Sessions are numbered one after the other: a stride that shares no factor
        // with the spread visits all of it.
        let delay = Duration::from_millis(share.wrapping_mul(1_571) % spread);
        let draining = v1::Draining { reconnect_after: delay.try_into().ok() };
        self.tell(Frame::Draining(draining));
        // Whoever has not said hello has nothing to stay for.
        let stay = if self.open.is_some() { delay + LEAVE_SLACK } else { Duration::ZERO };
        self.ring_in(stay);
    }

    fn tell(&mut self, frame: Frame) {
        self.out.push_back(SharedFrame::from(frame).into());
    }

    fn ring_in(&mut self, delay: Duration) {
        self.clock.as_mut().reset(Instant::now() + delay);
    }

    async fn frame(&mut self, frame: Box<v1::ClientFrame>) -> Result<(), Status> {
        let v1::ClientFrame { mut request_id, operation } = *frame;
        let operation = match operation {
            _ if request_id.len() > MAX_FRAME_ID => {
                request_id.clear();
                let message = format!("must be at most {MAX_FRAME_ID} bytes");
                Err(Error::Field("request_id".into(), message))
            }
            None => Err(Error::UnknownOperation),
            Some(Operation::Hello(_)) if self.open.is_some() => Err(Error::HelloRepeated),
            // Boxed, as all that a session rarely does: it would hold room for it while it waits.
            Some(Operation::Hello(hello)) => match Box::pin(self.hello(hello)).await {
                Ok(()) => return Ok(()),
                // There is no second try on a stream that only listens.
                Err(error) if self.subscribe_only => return Err(error.into()),
                Err(error) => Err(error),
            },
            Some(_) if self.open.is_none() => Err(Error::HelloRequired),
            Some(_) if self.stage == Stage::Leaving => Err(Error::Draining),
            Some(operation) => Ok(operation),
        };
        match operation {
            Ok(operation) => {
                let acks = self.open.as_mut().and_then(|open| open.acks.as_mut());
                let first = match (&operation, acks) {
                    (Operation::AcknowledgeDelivery(request), Some(acks)) => match acks.take(request) {
                        Taken::Waits(response) => {
                            let result = self.api.check_rate(&self.caller);
                            let result = result.map(|()| v1::reply::Result::AcknowledgeDelivery(response));
                            self.out.push_back(reply(request_id, result).into());
                            return Ok(());
                        }
                        Taken::First(first) => first,
                    },
                    _ => None,
                };
                let (api, caller) = (self.api.clone(), self.caller.clone());
                let mut answer = Box::pin(async move {
                    let result = api.execute(&caller, operation).await;
                    match (first, &result) {
                        (Some(first), Ok(v1::reply::Result::AcknowledgeDelivery(stored))) => {
                            first.stored(stored.delivered_seq);
                        }
                        (Some(first), _) => first.failed(),
                        (None, _) => {}
                    }
                    reply(request_id, result)
                });
                // Begun here, so that what one client asks gets in line in its order.
                match unconstrained(poll_fn(|cx| Poll::Ready(answer.as_mut().poll(cx)))).await {
                    Poll::Ready(reply) => self.out.push_back(reply.into()),
                    Poll::Pending => drop(self.in_flight.spawn(answer)),
                }
            }
            Err(error) => {
                self.out.push_back(reply(request_id, Err(error)).into());
                if self.bad_frames.check().is_err() {
                    return Err(Error::Abusive.into());
                }
            }
        }
        Ok(())
    }

    async fn hello(&mut self, hello: v1::Hello) -> Result<(), Error> {
        if !hello.device_id.is_empty() {
            DeviceId::parse(&hello.device_id)
                .map_err(|error| Error::Field("hello.device_id".into(), error.to_string()))?;
        }
        let cursors = parse::cursors(&hello.cursors)?;
        let (api, caller, outlet) = (self.api.clone(), self.caller.clone(), self.outlet.clone());
        let (mut open, heads) = in_own_task(async move {
            let _turn = api.opening().await;
            // Before anything is read: see `Online::register`.
            let online = Online::register(&api, &caller.user).await.ok_or(Error::Draining)?;
            api.catch_up(online, &caller, cursors, outlet).await
        })
        .await?;
        let session = open.mailbox.session();
        let welcome = v1::Welcome {
            session_id: format!("{}-{session}", self.api.node_id()),
            user_id: self.caller.user.as_str().to_owned(),
            node_id: self.api.node_id().to_owned(),
            server_time: Some(parlance_proto::convert::timestamp(self.api.clock().now())),
            heads,
            limits: Some(crate::contract_limits()),
        };
        self.tell(Frame::Welcome(welcome));
        for gap in open.notices.drain(..) {
            self.tell(Frame::Gap(gap));
        }
        if self.stage == Stage::Serving {
            self.ring_in(self.caller.remaining(self.api.clock().now()));
        }
        let rooms = open.rooms.values().filter_map(RoomStream::signal_room);
        let rooms = rooms.take(PRESENCE_ROOMS).collect();
        open.online.announce(rooms);
        self.open = Some(open);
        Ok(())
    }
}

impl OpenSession {
    fn new(hub: &Arc<Hub>, user: &UserId, outlet: Option<Outlet>, online: Online) -> Self {
        Self {
            hub: hub.clone(),
            mailbox: hub.open(user, outlet),
            rooms: HashMap::default(),
            left: HashMap::default(),
            unreadable: HashMap::default(),
            retry: None,
            retry_delay: UNREADABLE_RETRY,
            notices: Vec::new(),
            acks: Some(Acks::new(online.api(), user)),
            online,
        }
    }
}

impl Drop for OpenSession {
    fn drop(&mut self) {
        // While the session still listens to its rooms.
        self.acks = None;
        // Removed, and not come to it yet.
        for (room, stream) in &self.rooms {
            if stream.subscription().removed_at() != 0 {
                self.online.left(room);
            }
        }
        self.hub.close(&self.mailbox);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        metrics::gauge!("parlance_sessions").decrement(1.0);
    }
}

fn reply(request_id: String, result: Result<v1::reply::Result, Error>) -> SharedFrame {
    let result = result.unwrap_or_else(|error| v1::reply::Result::Error(Failure::from(error).into()));
    Frame::Reply(v1::Reply { request_id, result: Some(result) }).into()
}
