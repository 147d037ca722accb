use std::io::{ErrorKind, IoSlice, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketContext};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::frame_meter::FrameMeter;
use crate::limits;
use crate::limits::MAX_PROTOCOL_REPLIES;

/// The error of a peer that sends too many frames that achieve nothing.
pub(super) const FLOODED: ErrorKind = ErrorKind::QuotaExceeded;

/// A WebSocket for which tungstenite only handles reading: it validates input and generates
/// protocol answers. Outgoing frames are encoded once for all recipients, and written
/// unchanged.
pub(super) struct Socket<S> {
    io: S,
    protocol: WebSocketContext,
    /// Encoded pongs and closes.
    answers: Vec<u8>,
    meter: FrameMeter,
    /// Nothing more is read after an error: the rest could be anything.
    ended: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    /// The server's end of an upgraded connection.
    pub(super) fn new(io: S) -> Self {
        let protocol = WebSocketContext::new(Role::Server, Some(limits::websocket()));
        Self { io, protocol, answers: Vec::new(), meter: FrameMeter::default(), ended: false }
    }

    /// Reads the next message; `None` after a close or an error.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Message, Error>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let mut pipe = Pipe { io: &mut self.io, answers: &mut self.answers, meter: &mut self.meter, cx };
        match self.protocol.read(&mut pipe) {
            Ok(message) => {
                if message.is_ping() || message.is_close() {
                    // Writes to `answers`. A close answered that way is not an error here.
                    let _ = self.protocol.flush(&mut pipe);
                }
                Poll::Ready(Some(Ok(message)))
            }
            Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => Poll::Pending,
            Err(error) => {
                self.ended = true;
                let closed = matches!(error, Error::ConnectionClosed | Error::AlreadyClosed);
                Poll::Ready((!closed).then_some(Err(error)))
            }
        }
    }

    /// The encoded close frame, after unsent pongs. From here on, only the peer's close is
    /// read.
    pub(super) fn close(&mut self, close: CloseFrame) -> Vec<u8> {
        let mut cx = Context::from_waker(Waker::noop());
        let mut pipe =
            Pipe { io: &mut self.io, answers: &mut self.answers, meter: &mut self.meter, cx: &mut cx };
        let _ = self.protocol.close(&mut pipe, Some(close));
        self.take_answers()
    }

    /// Takes the pending protocol messages.
    pub(super) fn take_answers(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.answers)
    }

    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    pub(super) fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    /// Reads and discards input; returns the number of bytes.
    pub(super) fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<usize>> {
        let mut discarded = [0; 1024];
        let mut discarded = ReadBuf::new(&mut discarded);
        let read = Pin::new(&mut self.io).poll_read(cx, &mut discarded);
        read.map_ok(|()| discarded.filled().len())
    }
}

/// The stream that tungstenite reads from and writes to: the socket, and the answers.
struct Pipe<'p, 'c, S> {
    io: &'p mut S,
    answers: &'p mut Vec<u8>,
    meter: &'p mut FrameMeter,
    cx: &'p mut Context<'c>,
}

impl<S: AsyncRead + Unpin> Read for Pipe<'_, '_, S> {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        let mut buffer = ReadBuf::new(bytes);
        match Pin::new(&mut *self.io).poll_read(self.cx, &mut buffer) {
            Poll::Ready(read) => {
                read?;
                match self.meter.received(buffer.filled(), Instant::now()) {
                    true => Ok(buffer.filled().len()),
                    false => Err(FLOODED.into()),
                }
            }
            Poll::Pending => Err(ErrorKind::WouldBlock.into()),
        }
    }
}

impl<S> Write for Pipe<'_, '_, S> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        // Whole frames, since tungstenite writes each answer in one call.
        if self.answers.len() + bytes.len() <= MAX_PROTOCOL_REPLIES {
            self.answers.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
