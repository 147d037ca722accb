use std::future::{poll_fn, ready};
use std::ops::ControlFlow::{self, Break, Continue};
use std::pin::pin;
use std::sync::Arc;

use parlance_proto::error::Failure;
use parlance_proto::json::UnknownFields;
use parlance_runtime::rate::Bucket;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_util::sync::CancellationToken;
use tonic::Code;

use super::close::Ending;
use super::form::{self, Form};
use super::inbound::Inbound;
use super::link::{Happened, Link};
use super::outbound::Step;
use super::timers::{Due, Timers};
use crate::limits::BAD_FRAMES;
use crate::options::Options;

/// One connection: its task carries frames both ways until either end finishes.
struct Connection<S> {
    link: Arc<Link<S>>,
    /// Malformed frames so far.
    bad_frames: Bucket,
    /// How to treat unknown fields in JSON.
    unknown: UnknownFields,
}

/// Serves a connection to its end.
///
/// Not an `async fn`, which would store its arguments twice (docs/memory.md).
pub(super) fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    link: Arc<Link<S>>,
    mut inbound: Inbound,
    options: &Options,
    unknown: UnknownFields,
    shutdown: CancellationToken,
) -> impl Future<Output = ()> {
    let mut connection = Connection { link, bad_frames: Bucket::default(), unknown };
    async move {
        let ending = connection.run(&mut inbound, options, shutdown).await;
        // From here on the backend is free of the stream.
        drop(inbound);
        connection.link.lock().hang_up();
        let (code, reason) = ending.describe();
        tracing::debug!(code, reason, "websocket ends");
        // Boxed, so that no memory is reserved for closing. After the timeout, the socket is dropped as it is.
        let _ = timeout(options.close_timeout, Box::pin(connection.end(ending))).await;
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// In this order: the end of the connection, outgoing data, incoming data, timers. Deadlines are checked in
    /// between, so that a busy peer does not delay them.
    async fn run(&mut self, inbound: &mut Inbound, options: &Options, shutdown: CancellationToken) -> Ending {
        let mut timers = Timers::new(options, Instant::now());
        let mut timer = pin!(sleep_until(timers.next(Instant::now(), None)));
        let mut shutdown = pin!(shutdown.cancelled_owned());
        let mut others_turn = false;
        loop {
            let (now, is_full) = (Instant::now(), inbound.is_full());
            let (blocked, has_reply) = {
                let ends = self.link.lock();
                (ends.outbound.blocked_until(options.write_timeout), ends.outbound.has_reply())
            };
            if is_full || has_reply {
                // The socket is not read now, so its silence says nothing about the peer.
                timers.heard(now);
            }
            match timers.due(now, blocked) {
                Some(Due::Stalled) => {
                    metrics::counter!("parlance_stalled_total").increment(1);
                    return Ending::Gone;
                }
                Some(Due::Grace) => return ended("shutting_down", "this node is shutting down"),
                Some(Due::Idle) => return ended("idle_timeout", "nothing was received, not even a pong"),
                Some(Due::Ping) => self.link.lock().outbound.ping(),
                None => {}
            }
            // Reset lazily: an early wake-up only costs a check.
            let next = timers.next(now, blocked);
            if timer.is_elapsed() || next < timer.deadline() {
                timer.as_mut().reset(next);
            }
            tokio::select! {
                biased;
                () = &mut shutdown, if !timers.is_shutting_down() => timers.shut_down(Instant::now()),
                happened = self.next(!others_turn, !is_full) => match happened {
                    Happened::Step(Ok(Step::Turn)) => others_turn = true,
                    Happened::Step(Ok(Step::Changed)) => {}
                    Happened::Step(Ok(Step::Ended(Ok(())))) => {
                        return Ending::clean(self.link.lock().outbound.is_draining());
                    }
                    Happened::Step(Ok(Step::Ended(Err(status)))) => {
                        return Ending::failed(Failure::from_status(&status));
                    }
                    Happened::Step(Err(_)) => return Ending::Gone,
                    Happened::Message(message) => {
                        let now = Instant::now();
                        timers.heard(now);
                        if let Break(ending) = self.receive(message, now, inbound) {
                            return ending;
                        }
                    }
                },
                () = inbound.emptied(), if is_full => {}
                () = &mut timer => {}
                () = ready(()), if others_turn => others_turn = false,
            }
        }
    }

    async fn next(&self, may_write: bool, may_read: bool) -> Happened {
        poll_fn(|cx| self.link.poll_next(may_write, may_read, cx)).await
    }

    fn receive(
        &mut self,
        message: Option<Result<Message, Error>>,
        now: Instant,
        inbound: &mut Inbound,
    ) -> ControlFlow<Ending> {
        match message {
            Some(Ok(Message::Text(text))) => self.accept(Form::Json, text.as_ref(), now, inbound),
            Some(Ok(Message::Binary(bytes))) => self.accept(Form::Binary, &bytes, now, inbound),
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Continue(()),
            Some(Ok(Message::Close(_))) => Break(Ending::ByPeer),
            Some(Err(error)) => Break(Ending::of_error(&error)),
            None => Break(Ending::Gone),
        }
    }

    fn accept(
        &mut self,
        form: Form,
        message: &[u8],
        now: Instant,
        inbound: &mut Inbound,
    ) -> ControlFlow<Ending> {
        let ends = &mut *self.link.lock();
        ends.form = form;
        match form.decode(message, self.unknown) {
            Ok((frame, cost)) => match inbound.send(frame, cost, message.len()) {
                Ok(is_sent) => ends.meters.frames_in.increment(u64::from(is_sent)),
                Err(request_id) => {
                    ends.outbound.reply(form, &form::refused(request_id, Failure::too_much_held()));
                }
            },
            Err(answer) => {
                ends.meters.bad_frames.increment(1);
                if self.bad_frames.take(BAD_FRAMES, now).is_err() {
                    let message = "too many malformed messages";
                    let failure = Failure::new(Code::ResourceExhausted, "too_many_bad_frames", message);
                    return Break(Ending::failed(failure));
                }
                ends.outbound.reply(form, &answer);
            }
        }
        Continue(())
    }

    /// Sends a close, or answers one.
    async fn end(self, ending: Ending) {
        let (failure, close) = match ending {
            Ending::Gone => return,
            // Its answer waits in the socket.
            Ending::ByPeer => {
                while !matches!(self.next(true, false).await, Happened::Step(Ok(Step::Ended(_)) | Err(_))) {}
                return;
            }
            Ending::ByUs(failure, close) => (failure, close),
        };
        {
            let ends = &mut *self.link.lock();
            if let Some(failure) = failure {
                ends.outbound.reply(ends.form, &form::refused(String::new(), failure));
            }
            ends.outbound.close(ends.socket.close(close));
        }
        let (mut is_sent, mut is_read, mut is_answered) = (false, false, false);
        while !(is_sent && is_read) {
            match self.next(!is_sent, !is_read).await {
                Happened::Step(Ok(Step::Ended(_))) => is_sent = true,
                Happened::Step(Ok(Step::Turn | Step::Changed)) => {}
                Happened::Step(Err(_)) => return,
                // Data that crossed the close is ignored; only the answer matters.
                Happened::Message(Some(Ok(message))) => is_answered |= message.is_close(),
                Happened::Message(Some(Err(_)) | None) => is_read = true,
            }
        }
        if !is_answered {
            self.linger().await;
        }
    }

    /// Lets the peer read our close. Closing a socket with unread input resets it, and the reset overtakes sent data.
    async fn linger(&self) {
        if poll_fn(|cx| self.link.lock().socket.poll_shutdown(cx)).await.is_ok() {
            while poll_fn(|cx| self.link.lock().socket.poll_discard(cx)).await.is_ok_and(|read| read > 0) {}
        }
    }
}

fn ended(reason: &str, message: &str) -> Ending {
    Ending::failed(Failure::new(Code::Unavailable, reason, message))
}
