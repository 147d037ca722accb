use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::stream::SplitSink;
use futures::{SinkExt, StreamExt};
use parlance_proto::SharedFrame;
use prost::encoding::decode_key;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, Frame};
use tokio_tungstenite::tungstenite::{Error, Message};
use tonic::Status;

use super::form::Form;
use super::handshake::Session;
use crate::limits::{FRAGMENT_BYTES, FRAGMENTS_PER_TURN};
use crate::meters::Meters;

/// `ServerFrame.draining`.
const DRAINING_TAG: u32 = 6;

/// The sending half of a connection. It holds the one message under way, and asks the
/// backend for the next only when the socket took that: a peer that reads nothing costs
/// one frame, which it shares with others, and one write buffer.
pub(super) struct Outbound<S> {
    sink: SplitSink<WebSocketStream<S>, Message>,
    /// None once it has ended, or the connection does.
    session: Option<Session>,
    /// What the session ended with; told once all before it has gone out.
    ended: Option<Result<(), Status>>,
    /// What is left of the message under way.
    current: Option<Fragments>,
    /// Answers of the bridge's own. The connection lets in at most one before the error
    /// that ends it.
    replies: VecDeque<Fragments>,
    ping: bool,
    close: Option<CloseFrame>,
    /// Something was written since the last flush.
    unflushed: bool,
    /// A flush is under way; nothing new is taken before it is through.
    flushing: bool,
    /// Fragments of this turn.
    written: usize,
    blocked: Option<Instant>,
    draining: bool,
}

/// What came of working on it.
#[derive(Debug)]
pub(super) enum Step {
    /// Everything that a turn allows is written; others should have one.
    Turn,
    /// The socket stopped taking, or an answer was written: see [`Outbound::blocked`] and
    /// [`Outbound::has_reply`], by which the connection decides what to wait for.
    Changed,
    /// The session ended, or the close is out; everything is flushed.
    Ended(Result<(), Status>),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Outbound<S> {
    pub(super) fn new(sink: SplitSink<WebSocketStream<S>, Message>, session: Session) -> Self {
        Self {
            sink,
            session: Some(session),
            ended: None,
            current: None,
            replies: VecDeque::new(),
            ping: false,
            close: None,
            unflushed: false,
            flushing: false,
            written: 0,
            blocked: None,
            draining: false,
        }
    }

    /// Queues an answer of the bridge's own.
    pub(super) fn reply(&mut self, form: Form, frame: &SharedFrame) {
        self.replies.push_back(Fragments::new(form, frame));
    }

    /// An answer is still waiting; whoever would cause another should wait.
    pub(super) fn has_reply(&self) -> bool {
        !self.replies.is_empty()
    }

    /// Queues a ping, unless one is queued already.
    pub(super) fn ping(&mut self) {
        self.ping = true;
    }

    /// Lets what tungstenite queued by itself, a pong, go out before anything else: pongs
    /// that a peer asked for and does not read must not meet a frame in the write buffer.
    pub(super) fn flush(&mut self) {
        self.flushing = true;
    }

    /// Lets go of the session: the backend need not wait for a goodbye.
    pub(super) fn hang_up(&mut self) {
        self.session = None;
    }

    /// Queues a close behind what is under way.
    pub(super) fn close(&mut self, close: CloseFrame) {
        self.ping = false;
        self.close = Some(close);
    }

    /// Since when the socket has not taken anything.
    pub(super) fn blocked(&self) -> Option<Instant> {
        self.blocked
    }

    /// The session has told the client to go elsewhere.
    pub(super) fn is_draining(&self) -> bool {
        self.draining
    }

    pub(super) fn into_sink(self) -> SplitSink<WebSocketStream<S>, Message> {
        self.sink
    }

    /// Writes what there is, then flushes once. Can be dropped at any point and called again.
    pub(super) async fn step(&mut self, form: Form, meters: &Meters) -> Result<Step, Error> {
        poll_fn(|cx| self.poll_step(form, meters, cx)).await
    }

    fn poll_step(&mut self, form: Form, meters: &Meters, cx: &mut Context<'_>) -> Poll<Result<Step, Error>> {
        loop {
            if self.flushing {
                let Poll::Ready(flushed) = self.sink.poll_flush_unpin(cx) else { return self.wait() };
                flushed?;
                (self.flushing, self.unflushed, self.blocked) = (false, false, None);
            }
            if self.written >= FRAGMENTS_PER_TURN {
                self.written = 0;
                return Poll::Ready(Ok(Step::Turn));
            }
            if self.ping || self.close.is_some() || self.current.is_some() || self.has_reply() {
                let Poll::Ready(room) = self.sink.poll_ready_unpin(cx) else { return self.wait() };
                room?;
                self.blocked = None;
                let had_reply = self.has_reply();
                if let Some(message) = self.next_message() {
                    self.sink.start_send_unpin(message)?;
                }
                self.unflushed = true;
                self.written += 1;
                self.flushing = self.written >= FRAGMENTS_PER_TURN;
                if had_reply && !self.has_reply() {
                    return Poll::Ready(Ok(Step::Changed));
                }
                continue;
            }
            match self.session.as_mut().map(|session| session.poll_next_unpin(cx)) {
                Some(Poll::Ready(Some(Ok(frame)))) => {
                    meters.frames_out.increment(1);
                    self.draining |= is_draining(&frame);
                    if form == Form::Json {
                        frame.json_made(|| meters.frames_to_json.increment(1));
                    }
                    self.current = Some(Fragments::new(form, &frame));
                }
                Some(Poll::Ready(end)) => {
                    self.session = None;
                    self.ended = Some(end.map_or(Ok(()), |end| end.map(|_| ())));
                }
                _ if self.unflushed => self.flushing = true,
                Some(Poll::Pending) => {
                    self.written = 0;
                    return Poll::Pending;
                }
                None => return Poll::Ready(Ok(Step::Ended(self.ended.take().unwrap_or(Ok(()))))),
            }
        }
    }

    /// The socket takes nothing: tells so once, then waits.
    fn wait(&mut self) -> Poll<Result<Step, Error>> {
        if self.blocked.is_some() {
            return Poll::Pending;
        }
        self.blocked = Some(Instant::now());
        Poll::Ready(Ok(Step::Changed))
    }

    /// A ping may come between the fragments of a message, another message may not.
    fn next_message(&mut self) -> Option<Message> {
        if std::mem::take(&mut self.ping) {
            return Some(Message::Ping(Bytes::new()));
        }
        let Some(current) = self.current.take().or_else(|| self.replies.pop_front()) else {
            return self.close.take().map(|close| Message::Close(Some(close)));
        };
        let (fragment, rest) = current.next();
        self.current = rest;
        Some(Message::Frame(fragment))
    }
}

/// A frame on its way out, piece by piece; the pieces are slices of its shared encoding.
struct Fragments {
    opcode: Data,
    rest: Bytes,
}

impl Fragments {
    fn new(form: Form, frame: &SharedFrame) -> Self {
        Self { opcode: form.opcode(), rest: form.encoded(frame) }
    }

    fn next(mut self) -> (Frame, Option<Self>) {
        let piece = self.rest.split_to(self.rest.len().min(FRAGMENT_BYTES));
        let is_last = self.rest.is_empty();
        let fragment = Frame::message(piece, OpCode::Data(self.opcode), is_last);
        self.opcode = Data::Continue;
        (fragment, (!is_last).then_some(self))
    }
}

/// Looks at the key of the one field that a server frame has, without decoding the rest.
fn is_draining(frame: &SharedFrame) -> bool {
    decode_key(&mut frame.proto().as_ref()).is_ok_and(|(tag, _)| tag == DRAINING_TAG)
}

#[cfg(test)]
mod tests {
    use parlance_proto::v1;
    use parlance_proto::v1::server_frame::Frame::{Draining, Welcome};

    use super::*;

    fn pieces(form: Form, frame: &SharedFrame) -> Vec<Frame> {
        let mut left = Some(Fragments::new(form, frame));
        std::iter::from_fn(|| {
            let (piece, rest) = left.take()?.next();
            left = rest;
            Some(piece)
        })
        .collect()
    }

    #[test]
    fn a_small_frame_is_one_message_with_the_shared_bytes() {
        let frame = SharedFrame::from(Draining(v1::Draining::default()));
        let json = pieces(Form::Json, &frame);
        assert_eq!(json.len(), 1);
        assert_eq!(json[0].payload().as_ptr(), frame.json().as_ptr());
        assert_eq!((json[0].header().opcode, json[0].header().is_final), (OpCode::Data(Data::Text), true));
        let empty = SharedFrame::default();
        assert_eq!(pieces(Form::Binary, &empty).len(), 1);
    }

    #[test]
    fn a_large_frame_goes_out_in_fragments() {
        let welcome = v1::Welcome { session_id: "é".repeat(FRAGMENT_BYTES), ..Default::default() };
        let frame = SharedFrame::from(Welcome(welcome));
        let sent = pieces(Form::Binary, &frame);
        let opcodes: Vec<_> =
            sent.iter().map(|piece| (piece.header().opcode, piece.header().is_final)).collect();
        let (first, next) = (OpCode::Data(Data::Binary), OpCode::Data(Data::Continue));
        assert_eq!(opcodes, [(first, false), (next, false), (next, true)]);
        let joined: Vec<u8> = sent.iter().flat_map(|piece| piece.payload().to_vec()).collect();
        assert_eq!(joined, *frame.proto());
    }

    #[test]
    fn draining_is_recognised() {
        assert!(is_draining(&Draining(v1::Draining::default()).into()));
        assert!(!is_draining(&Welcome(v1::Welcome::default()).into()));
        assert!(!is_draining(&SharedFrame::default()));
    }
}
