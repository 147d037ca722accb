use std::future::ready;
use std::ops::ControlFlow::{self, Break, Continue};
use std::pin::pin;

use futures::StreamExt;
use futures::stream::SplitStream;
use parlance_proto::error::Failure;
use parlance_proto::v1::ClientFrame;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_util::sync::CancellationToken;
use tonic::Code;

use super::budget::Budget;
use super::close::Ending;
use super::form::{self, Form};
use super::handshake::Session;
use super::outbound::{Outbound, Step};
use super::timers::{Due, Timers};
use crate::meters::Meters;
use crate::options::Options;

/// To the backend. Boxed, since a channel reserves 32 places at once, and a frame is
/// 150 bytes.
pub(super) type InboundSender = mpsc::Sender<Box<ClientFrame>>;

/// One connection: the task that carries frames both ways until either end has enough.
struct Connection<'c, S> {
    outbound: Outbound<S>,
    reader: SplitStream<WebSocketStream<S>>,
    inbound: InboundSender,
    form: Form,
    budget: Budget,
    meters: &'c Meters,
}

/// Serves a connection to its end.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    socket: WebSocketStream<S>,
    session: Session,
    inbound: InboundSender,
    options: &Options,
    shutdown: CancellationToken,
    meters: &Meters,
) {
    let (sink, reader) = socket.split();
    let (outbound, budget) = (Outbound::new(sink, session), Budget::new(Instant::now()));
    let mut connection = Connection { outbound, reader, inbound, form: Form::Json, budget, meters };
    let ending = connection.run(options, shutdown).await;
    let (code, reason) = ending.describe();
    tracing::debug!(code, reason, "websocket ends");
    // Boxed: room for a goodbye is not held before there is one. Out of patience, the
    // socket is dropped as it is.
    let _ = timeout(options.close_timeout, Box::pin(connection.end(ending))).await;
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<'_, S> {
    /// In this order: what ends the connection, what goes out, what comes in, what the
    /// clock says. Deadlines are looked at in between, so that no busy peer delays them.
    async fn run(&mut self, options: &Options, shutdown: CancellationToken) -> Ending {
        let mut timers = Timers::new(options, Instant::now());
        let mut timer = pin!(sleep_until(timers.next(None)));
        let mut shutdown = pin!(shutdown.cancelled_owned());
        let mut others_turn = false;
        loop {
            let (now, blocked) = (Instant::now(), self.outbound.blocked());
            if self.is_deaf() {
                timers.heard(now);
            }
            match timers.due(now, blocked) {
                Some(Due::Stalled) => return Ending::Gone,
                Some(Due::Grace) => return ended("shutting_down", "this node is shutting down"),
                Some(Due::Idle) => return ended("idle_timeout", "nothing was heard, not even a pong"),
                Some(Due::Ping) => self.outbound.ping(),
                None => {}
            }
            // Put off lazily: an earlier time only costs a look.
            let next = timers.next(blocked);
            if timer.is_elapsed() || next < timer.deadline() {
                timer.as_mut().reset(next);
            }
            tokio::select! {
                biased;
                () = &mut shutdown, if !timers.is_shutting_down() => timers.shut_down(Instant::now()),
                step = self.outbound.step(self.form, self.meters), if !others_turn => match step {
                    Ok(Step::Turn) => others_turn = true,
                    Ok(Step::Changed) => {}
                    Ok(Step::Ended(Ok(()))) => return Ending::clean(self.outbound.is_draining()),
                    Ok(Step::Ended(Err(status))) => return Ending::failed(Failure::from_status(&status)),
                    Err(_) => return Ending::Gone,
                },
                message = next_message(&mut self.reader, &self.inbound), if !self.outbound.has_reply() => {
                    let now = Instant::now();
                    timers.heard(now);
                    if let Break(ending) = self.receive(message, now) {
                        return ending;
                    }
                }
                () = &mut timer => {}
                () = ready(()), if others_turn => others_turn = false,
            }
        }
    }

    /// The socket is not read now, so that its silence says nothing about the peer.
    fn is_deaf(&self) -> bool {
        self.outbound.has_reply() || (self.inbound.capacity() == 0 && !self.inbound.is_closed())
    }

    fn receive(&mut self, message: Option<Result<Message, Error>>, now: Instant) -> ControlFlow<Ending> {
        match message {
            Some(Ok(Message::Text(text))) => self.accept(Form::Json, text.as_ref(), now),
            Some(Ok(Message::Binary(bytes))) => self.accept(Form::Binary, &bytes, now),
            Some(Ok(Message::Ping(_))) => {
                self.outbound.flush();
                Continue(())
            }
            Some(Ok(Message::Pong(_) | Message::Frame(_))) => Continue(()),
            Some(Ok(Message::Close(_))) => Break(Ending::ByPeer),
            Some(Err(error)) => Break(Ending::of_error(&error)),
            None => Break(Ending::Gone),
        }
    }

    fn accept(&mut self, form: Form, message: &[u8], now: Instant) -> ControlFlow<Ending> {
        self.form = form;
        match form.decode(message) {
            Ok(frame) => {
                // There is room, since `next_message` waited for it; or the backend has stopped
                // listening, and will end its own half too.
                if self.inbound.try_send(Box::new(frame)).is_ok() {
                    self.meters.frames_in.increment(1);
                }
            }
            Err(answer) => {
                self.meters.bad_frames.increment(1);
                if !self.budget.spend(now) {
                    let message = "too many messages were no frames";
                    let failure = Failure::new(Code::ResourceExhausted, "too_many_bad_frames", message);
                    return Break(Ending::failed(failure));
                }
                self.outbound.reply(form, &answer);
            }
        }
        Continue(())
    }

    /// Says goodbye, or answers it. From here on the backend is rid of the stream.
    async fn end(mut self, ending: Ending) {
        drop(self.inbound);
        self.outbound.hang_up();
        let (failure, close) = match ending {
            Ending::Gone => return,
            // Reading on is what drives the answer out.
            Ending::ByPeer => return while self.reader.next().await.is_some() {},
            Ending::ByUs(failure, close) => (failure, close),
        };
        if let Some(failure) = failure {
            self.outbound.reply(self.form, &form::refused(String::new(), failure));
        }
        self.outbound.close(close);
        let (mut is_sent, mut is_read, mut is_answered) = (false, false, false);
        while !(is_sent && is_read) {
            tokio::select! {
                biased;
                step = self.outbound.step(self.form, self.meters), if !is_sent => match step {
                    Ok(Step::Ended(_)) => is_sent = true,
                    Ok(Step::Turn | Step::Changed) => {}
                    Err(_) => return,
                },
                // Data that crossed the close is of no interest, only its answer is.
                message = self.reader.next(), if !is_read => match message {
                    Some(Ok(message)) => is_answered |= message.is_close(),
                    Some(Err(_)) | None => is_read = true,
                },
            }
        }
        if !is_answered && let Ok(socket) = self.outbound.into_sink().reunite(self.reader) {
            linger(socket.into_inner()).await;
        }
    }
}

/// Reads the next message once the backend has room for it.
async fn next_message<S: AsyncRead + AsyncWrite + Unpin>(
    reader: &mut SplitStream<WebSocketStream<S>>,
    inbound: &InboundSender,
) -> Option<Result<Message, Error>> {
    // An error means that the backend has stopped listening: pings and the close still matter.
    drop(inbound.reserve().await);
    reader.next().await
}

/// Lets the peer read our close. A socket that is closed with input unread is reset, and
/// the reset overtakes what was sent.
async fn linger<S: AsyncRead + AsyncWrite + Unpin>(mut io: S) {
    let mut discarded = vec![0; 4096];
    if io.shutdown().await.is_ok() {
        while io.read(&mut discarded).await.is_ok_and(|read| read > 0) {}
    }
}

fn ended(reason: &str, message: &str) -> Ending {
    Ending::failed(Failure::new(Code::Unavailable, reason, message))
}
