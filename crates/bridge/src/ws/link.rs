use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use parlance_delivery::{Push, Source};
use parlance_peers::Peer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::form::Form;
use super::outbound::{Outbound, Step};
use super::session::Session;
use super::socket::Socket;
use crate::meters::Meters;

/// A connection, shared by its own task and tasks that push to it while it is idle. The lock is exclusive: while it
/// is held, nobody else polls the session.
pub(super) struct Link<S>(Mutex<Ends<S>>);

/// Both ends of the connection.
pub(super) struct Ends<S> {
    pub(super) socket: Socket<S>,
    pub(super) outbound: Outbound,
    /// The encoding of answers.
    pub(super) form: Form,
    pub(super) meters: Arc<Meters>,
    /// Everything was sent, and the task waits.
    is_idle: bool,
    /// Wakes the task.
    waker: Waker,
}

/// The result of polling a connection.
pub(super) enum Happened {
    Step(Result<Step, Error>),
    Message(Option<Result<Message, Error>>),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Link<S> {
    pub(super) fn new(
        socket: Socket<S>,
        session: Session,
        peer: Option<Arc<Peer>>,
        meters: Arc<Meters>,
    ) -> Arc<Self> {
        let (outbound, waker) = (Outbound::new(session, peer), Waker::noop().clone());
        let ends = Ends { socket, outbound, form: Form::Json, meters, is_idle: false, waker };
        Arc::new(Self(Mutex::new(ends)))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Ends<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Performs the next step: writes, if `may_write`, then reads.
    pub(super) fn poll_next(&self, may_write: bool, may_read: bool, cx: &mut Context<'_>) -> Poll<Happened> {
        let ends = &mut *self.lock();
        ends.is_idle = false;
        let happened = ends.poll_next(may_write, may_read, cx);
        if happened.is_pending() && may_write && ends.outbound.is_idle() {
            ends.is_idle = true;
            ends.waker.clone_from(cx.waker());
        }
        happened
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Ends<S> {
    fn poll_next(&mut self, may_write: bool, may_read: bool, cx: &mut Context<'_>) -> Poll<Happened> {
        if may_write
            && let Poll::Ready(step) = self.outbound.poll_step(&mut self.socket, self.form, &self.meters, cx)
        {
            return Poll::Ready(Happened::Step(step));
        }
        if may_read && !self.outbound.has_reply() {
            return self.socket.poll_next(cx).map(Happened::Message);
        }
        Poll::Pending
    }

    /// From here on only the connection's task writes.
    pub(super) fn hang_up(&mut self) {
        self.is_idle = false;
        self.outbound.hang_up();
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Push for Link<S> {
    fn push(&self, source: &mut dyn Source) -> bool {
        // Held by its task, so it is not idle.
        let Ok(mut ends) = self.0.try_lock() else { return false };
        let ends = &mut *ends;
        if !ends.is_idle {
            return false;
        }
        ends.is_idle = ends.outbound.push(&mut ends.socket, ends.form, &ends.meters, source);
        if !ends.is_idle {
            ends.waker.wake_by_ref();
        }
        true
    }
}
