use std::collections::VecDeque;
use std::io::{Cursor, ErrorKind, IoSlice};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use parlance_delivery::{Delivery, SharedFrame, Source};
use parlance_peers::{Charge, Peer};
use prost::encoding::decode_key;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tonic::Status;

use super::form::Form;
use super::session::Session;
use super::socket::Socket;
use crate::limits::{BYTES_PER_TURN, GATHER_BYTES, GATHERED, QUEUE_KEPT};
use crate::meters::Meters;

/// `ServerFrame.draining`.
const DRAINING_TAG: u32 = 6; // format

/// An empty ping.
const PING: &[u8] = &[0x89, 0];

/// The sending half of a connection. It requests more from the backend only when the socket has accepted everything:
/// a peer that does not read costs what is gathered at a time, all of it shared with other recipients.
pub(super) struct Outbound {
    /// `None` once it has ended, or the connection ends.
    session: Option<Session>,
    /// The session's result; reported once everything before it was sent.
    ended: Option<Result<(), Status>>,
    /// In flight: whole protocol frames, the first one possibly written in part.
    queue: VecDeque<Bytes>,
    /// How much of the first was written.
    written: usize,
    /// Answers of the bridge itself. The connection allows at most one before the error that ends it.
    replies: VecDeque<Bytes>,
    ping: bool,
    close: Option<Bytes>,
    /// Whether anything was written since the last flush.
    unflushed: bool,
    /// Bytes written in this turn.
    turn: usize,
    blocked: Option<Instant>,
    /// Who is charged while it is blocked, and the charge: most data is written at once.
    peer: Option<Arc<Peer>>,
    charge: Option<Charge>,
    draining: bool,
}

/// The result of a step.
#[derive(Debug)]
pub(super) enum Step {
    /// Everything allowed in a turn is written; other tasks should run.
    Turn,
    /// The socket is full, or an answer was written: see [`Outbound::blocked_until`] and [`Outbound::has_reply`], by which
    /// the connection decides what to wait for.
    Changed,
    /// The session ended, or the close was sent; everything is flushed.
    Ended(Result<(), Status>),
}

impl Outbound {
    pub(super) fn new(session: Session, peer: Option<Arc<Peer>>) -> Self {
        Self {
            session: Some(session),
            ended: None,
            queue: VecDeque::new(),
            written: 0,
            replies: VecDeque::new(),
            ping: false,
            close: None,
            unflushed: false,
            turn: 0,
            blocked: None,
            peer,
            charge: None,
            draining: false,
        }
    }

    /// Queues an answer of the bridge itself.
    pub(super) fn reply(&mut self, form: Form, frame: &SharedFrame) {
        self.replies.push_back(form.framed(frame));
    }

    /// Whether an answer is still waiting; nothing that causes another one should be read.
    pub(super) fn has_reply(&self) -> bool {
        !self.replies.is_empty()
    }

    /// Queues a ping, unless one is queued already.
    pub(super) fn ping(&mut self) {
        self.ping = true;
    }

    /// Drops the session: the backend need not wait for the close.
    pub(super) fn hang_up(&mut self) {
        self.session = None;
    }

    /// Queues a framed close behind everything else.
    pub(super) fn close(&mut self, close: Vec<u8>) {
        self.ping = false;
        self.close = Some(close.into());
    }

    /// Until when the socket may go on to accept nothing: for `longest`, but not while too much is held.
    pub(super) fn blocked_until(&self, longest: Duration) -> Option<Instant> {
        let hastened = |peer: &Arc<Peer>| {
            let is_hastened = peer.held().budget().is_hastened();
            is_hastened.then(|| peer.ledger().limits().stalled_when_full.min(longest))
        };
        self.blocked.map(|since| since + self.peer.as_ref().and_then(hastened).unwrap_or(longest))
    }

    /// Whether the session has told the client to reconnect elsewhere.
    pub(super) fn is_draining(&self) -> bool {
        self.draining
    }

    /// Writes pending data, then flushes once.
    pub(super) fn poll_step<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        socket: &mut Socket<S>,
        form: Form,
        meters: &Meters,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Step, Error>> {
        // The session is pending, and will wake this task.
        let mut waits = false;
        loop {
            if self.turn >= BYTES_PER_TURN {
                self.turn = 0;
                return Poll::Ready(Ok(Step::Turn));
            }
            self.control(socket);
            if self.queue.is_empty() {
                let had_reply = self.has_reply();
                self.queue.extend(self.replies.drain(..));
                waits = waits || self.gather(form, meters, cx);
                if self.session.is_none() {
                    self.queue.extend(self.close.take());
                }
                if had_reply {
                    return Poll::Ready(Ok(Step::Changed));
                }
            }
            if !self.queue.is_empty() {
                let Poll::Ready(written) = self.poll_write(socket, cx) else { return self.wait() };
                self.advance(written?);
                self.unflushed = true;
                self.unblock();
                continue;
            }
            if self.unflushed {
                let Poll::Ready(flushed) = socket.poll_flush(cx) else { return self.wait() };
                flushed?;
                self.unflushed = false;
                self.unblock();
            }
            if self.session.is_none() {
                return Poll::Ready(Ok(Step::Ended(self.ended.take().unwrap_or(Ok(())))));
            }
            if waits {
                self.turn = 0;
                if self.queue.capacity() > QUEUE_KEPT {
                    self.queue.shrink_to_fit();
                }
                return Poll::Pending;
            }
        }
    }

    /// Nothing is in flight, and the session has nothing more.
    pub(super) fn is_idle(&self) -> bool {
        self.session.is_some()
            && self.queue.is_empty()
            && self.replies.is_empty()
            && !(self.unflushed || self.ping)
    }

    /// Writes what `source` returns while nothing else is in flight. Returns whether that is the case again
    /// afterwards; if not, [`Self::poll_step`] sends the rest.
    pub(super) fn push<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        socket: &mut Socket<S>,
        form: Form,
        meters: &Meters,
        source: &mut dyn Source,
    ) -> bool {
        // If the socket does not accept it, the connection's task will wait for the socket.
        let cx = &mut Context::from_waker(Waker::noop());
        while let Some(delivery) = source.next() {
            meters.frames_out.increment(delivery.frames().len() as u64);
            let framed = form.delivered(delivery, meters);
            self.unflushed = true;
            let written = match socket.poll_write(cx, framed) {
                Poll::Ready(Ok(written)) => written,
                // The error will be returned again.
                Poll::Ready(Err(_)) | Poll::Pending => 0,
            };
            if written < framed.len() {
                self.queue.push_back(framed.clone());
                self.written = written;
                return false;
            }
        }
        self.unflushed = self.unflushed && !matches!(socket.poll_flush(cx), Poll::Ready(Ok(())));
        !self.unflushed
    }

    /// Takes the deliveries for one write from the session. Returns whether it has no more.
    fn gather(&mut self, form: Form, meters: &Meters, cx: &mut Context<'_>) -> bool {
        let Some(session) = &mut self.session else { return false };
        let mut bytes = 0;
        while bytes < GATHER_BYTES && self.queue.len() < GATHERED {
            match session.poll_next_unpin(cx) {
                Poll::Ready(Some(Ok(delivery))) => {
                    meters.frames_out.increment(delivery.frames().len() as u64);
                    self.draining |= is_draining(&delivery);
                    let framed = form.delivered(&delivery, meters).clone();
                    bytes += framed.len();
                    self.queue.push_back(framed);
                }
                Poll::Ready(end) => {
                    self.session = None;
                    self.ended = Some(end.map_or(Ok(()), |end| end.map(|_| ())));
                    return false;
                }
                Poll::Pending => return true,
            }
        }
        false
    }

    /// Inserts protocol messages as soon as a frame ends, which may be between fragments of a message. Not while the
    /// socket is blocked, where they would pile up.
    fn control<S: AsyncRead + AsyncWrite + Unpin>(&mut self, socket: &mut Socket<S>) {
        if self.blocked.is_some() {
            return;
        }
        let mut control = socket.take_answers();
        if std::mem::take(&mut self.ping) {
            control.extend_from_slice(PING);
        }
        if control.is_empty() {
            return;
        }
        match self.queue.front_mut() {
            Some(first) if self.written > 0 => {
                let rest = first.split_off(end_of_frame(first, self.written));
                self.queue.insert(1, control.into());
                if !rest.is_empty() {
                    self.queue.insert(2, rest);
                }
            }
            _ => self.queue.push_front(control.into()),
        }
    }

    fn poll_write<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        socket: &mut Socket<S>,
        cx: &mut Context<'_>,
    ) -> Poll<std::io::Result<usize>> {
        if let ([only], []) = self.queue.as_slices() {
            return written(socket.poll_write(cx, &only[self.written..]));
        }
        let mut slices = [IoSlice::new(&[]); GATHERED];
        for (slice, bytes) in slices.iter_mut().zip(&self.queue) {
            *slice = IoSlice::new(bytes);
        }
        let mut rest = &mut slices[..self.queue.len().min(GATHERED)];
        IoSlice::advance_slices(&mut rest, self.written);
        written(socket.poll_write_vectored(cx, rest))
    }

    /// Removes written bytes from the queue.
    fn advance(&mut self, written: usize) {
        self.turn += written;
        self.written += written;
        while let Some(first) = self.queue.front()
            && self.written >= first.len()
        {
            self.written -= first.len();
            self.queue.pop_front();
        }
    }

    /// The socket is blocked: reports that once, then waits.
    fn wait(&mut self) -> Poll<Result<Step, Error>> {
        if self.blocked.is_some() {
            return Poll::Pending;
        }
        self.blocked = Some(Instant::now());
        let waiting = self.queue.iter().map(Bytes::len).sum::<usize>() - self.written;
        self.charge = self.peer.as_ref().map(|peer| peer.hold(waiting));
        Poll::Ready(Ok(Step::Changed))
    }

    /// The socket has accepted something.
    fn unblock(&mut self) {
        (self.blocked, self.charge) = (None, None);
    }
}

/// A socket that accepts nothing without an error is broken.
fn written(written: Poll<std::io::Result<usize>>) -> Poll<std::io::Result<usize>> {
    match written {
        Poll::Ready(Ok(0)) => Poll::Ready(Err(ErrorKind::WriteZero.into())),
        written => written,
    }
}

/// The end of the protocol frame that contains `written`, or ends there.
fn end_of_frame(frames: &[u8], written: usize) -> usize {
    let mut frames = Cursor::new(frames);
    while frames.position() < written as u64
        && let Ok(Some((_, length))) = FrameHeader::parse(&mut frames)
    {
        frames.set_position(frames.position() + length);
    }
    frames.position() as usize
}

/// Checks the key of a server frame's only field, without decoding the rest.
fn is_draining(delivery: &Delivery) -> bool {
    let Delivery::Frame(frame) = delivery else { return false };
    decode_key(&mut frame.proto().as_ref()).is_ok_and(|(tag, _)| tag == DRAINING_TAG)
}

#[cfg(test)]
mod tests {
    use parlance_proto::v1;
    use parlance_proto::v1::server_frame::Frame::{Draining, Welcome};

    use super::*;

    #[test]
    fn the_end_of_a_frame_is_found() {
        let short = [&[0x81, 3][..], b"abc"].concat();
        let long = [&[0x02, 126, 1, 0][..], &[0; 256]].concat();
        let frames = [short, long, vec![0x80, 0]].concat();
        let ends: Vec<_> = [0, 1, 5, 6, 264, 265, 266, 267].map(|at| end_of_frame(&frames, at)).to_vec();
        assert_eq!(ends, [0, 5, 5, 265, 265, 265, 267, 267]);
    }

    #[test]
    fn draining_is_recognised() {
        let draining = |frame| is_draining(&Delivery::Frame(SharedFrame::from(frame)));
        assert!(draining(Draining(v1::Draining::default())));
        assert!(!draining(Welcome(v1::Welcome::default())));
        assert!(!is_draining(&Delivery::Frame(SharedFrame::default())));
    }
}
