use std::io::{IoSlice, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::frame_meter::FrameMeter;
use crate::trust::Trust;

/// Control flags shared by the owner of a connection and its stream.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    /// Whether the polling task only writes.
    paused: AtomicBool,
    /// Whether too many frames or fields achieved nothing: no more is read.
    flooded: AtomicBool,
}

impl Reading {
    /// Suspends reading until [`Self::resume`]: a pushing task must not process the peer's input.
    pub(crate) fn pause(&self) {
        self.paused.store(true, Ordering::Relaxed);
    }

    pub(crate) fn resume(&self) {
        self.paused.store(false, Ordering::Relaxed);
    }

    pub(crate) fn is_flooded(&self) -> bool {
        self.flooded.load(Ordering::Relaxed)
    }
}

/// The byte stream of a connection: reads only for the connection's own task, and meters the input.
pub(crate) struct Metered<S> {
    io: S,
    reading: Arc<Reading>,
    /// Wakes the connection's task for input, whichever task writes.
    task: Waker,
    /// `None` for trusted peers.
    meter: Option<FrameMeter>,
}

impl<S> Metered<S> {
    pub(crate) fn new(io: S, reading: Arc<Reading>, task: Waker, trust: Trust) -> Self {
        let meter = (trust != Trust::Full).then(|| FrameMeter::new(trust == Trust::Bounded));
        Self { io, reading, task, meter }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let Self { io, reading, task, meter } = &mut *self;
        if reading.paused.load(Ordering::Relaxed) || reading.is_flooded() {
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let read = Pin::new(io).poll_read(&mut Context::from_waker(task), buf);
        if read.is_ready()
            && let Some(meter) = meter
            && !meter.received(&buf.filled()[before..], Instant::now())
        {
            reading.flooded.store(true, Ordering::Relaxed);
            buf.set_filled(before);
            // The task has to send GOAWAY.
            task.wake_by_ref();
            return Poll::Pending;
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> Metered<S> {
    fn written(&mut self, written: Poll<Result<usize>>) -> Poll<Result<usize>> {
        if let (Some(meter), Poll::Ready(Ok(written))) = (&mut self.meter, &written) {
            meter.written(*written);
        }
        written
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        self.written(written)
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
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.written(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
