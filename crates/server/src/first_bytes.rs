use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// What tells HTTP/2 from HTTP/1.1; any request of either is longer.
const PREFACE_BYTES: usize = 24;

/// A connection whose peer must say what it speaks within a time. After that hyper has
/// its own time-outs.
pub(crate) struct FirstBytes<S> {
    io: S,
    /// Bytes that are missing, and until when; none once they have come.
    waiting: Option<(usize, Pin<Box<Sleep>>)>,
}

impl<S> FirstBytes<S> {
    pub(crate) fn within(time: Duration, io: S) -> Self {
        Self { io, waiting: Some((PREFACE_BYTES, Box::pin(sleep(time)))) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for FirstBytes<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        let Some((missing, late)) = &mut self.waiting else { return read };
        if read.is_ready() {
            let read = buf.filled().len() - before;
            *missing = missing.saturating_sub(read);
            if *missing == 0 || read == 0 {
                self.waiting = None;
            }
        } else {
            ready!(late.as_mut().poll(cx));
            return Poll::Ready(Err(Error::new(ErrorKind::TimedOut, "the peer says nothing")));
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for FirstBytes<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
