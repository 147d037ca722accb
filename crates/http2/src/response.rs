use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, TryLockError};
use std::task::{Context, Poll, Waker, ready};

use axum::body::Body;
use bytes::Bytes;
use h2::{Error, Reason, SendStream};
use http_body::Body as _;
use parlance_delivery::{Push, Source};
use parlance_peers::{Budget, Peer, Reservation};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::link::Counted;
use crate::stall::Stall;
use crate::suppressible_waker::SuppressibleWaker;

/// A response body being sent, shared by its own task and by tasks that push to it while that waits.
pub(crate) struct Response<S> {
    ends: Mutex<Ends>,
    link: Counted<S>,
    /// Woken by HTTP/2 when the stream may send or is reset.
    wakeups: Arc<SuppressibleWaker>,
}

struct Ends {
    stream: SendStream<Bytes>,
    body: Body,
    /// Data not yet accepted by the peer's window.
    waiting: Option<Bytes>,
    /// Charged for waiting data.
    budget: Arc<Budget>,
    /// Room for data that the body has made already.
    reserved: Option<Reservation>,
    /// There was such room: the data is charged until it is written, whether or not the window accepts it. Many of them
    /// could wait in the buffers of their streams.
    is_large: bool,
    stall: Stall,
    /// The body has no data now, and everything was sent.
    is_idle: bool,
    waker: Waker,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Response<S> {
    pub(crate) fn new(
        stream: SendStream<Bytes>,
        body: Body,
        link: Counted<S>,
        peer: Arc<Peer>,
        budget: Arc<Budget>,
        reserved: Option<Reservation>,
    ) -> Arc<Self> {
        let wakeups = Arc::new(SuppressibleWaker::default());
        let waker = Waker::from(wakeups.clone());
        let (stall, is_large) = (Stall::new(peer, budget.clone()), reserved.is_some());
        let (waiting, is_idle) = (None, false);
        let ends = Ends { stream, body, waiting, budget, reserved, is_large, stall, is_idle, waker };
        Arc::new(Self { ends: Mutex::new(ends), link, wakeups })
    }

    /// Sends the whole body. Fails if the stream or the connection ends before.
    pub(crate) async fn send(&self) -> Result<(), Error> {
        poll_fn(|cx| {
            self.wakeups.register(cx.waker());
            match self.ends.try_lock() {
                Ok(mut ends) => ends.poll_send(cx),
                Err(TryLockError::Poisoned(ends)) => ends.into_inner().poll_send(cx),
                // A push is in progress and will end soon. Do not block a thread on it.
                Err(TryLockError::WouldBlock) => {
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
            }
        })
        .await
    }
}

impl Ends {
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.is_idle = false;
        loop {
            if let Poll::Ready(reset) = self.poll_reset() {
                return Poll::Ready(reset);
            }
            if self.poll_waiting()?.is_pending() {
                ready!(self.stall.poll_elapsed(cx));
                tracing::debug!("the peer does not read a response");
                self.stream.send_reset(Reason::CANCEL);
                return Poll::Ready(Ok(()));
            }
            // Capacity is only requested for actual data: unused reservations would be taken from the window that all
            // streams share.
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(bytes) => self.wait_with(bytes),
                    Err(frame) => {
                        let trailers = frame.into_trailers().unwrap_or_default();
                        return Poll::Ready(self.stream.send_trailers(trailers));
                    }
                },
                Poll::Ready(Some(Err(error))) => {
                    tracing::debug!(%error, "a response broke off");
                    self.stream.send_reset(Reason::INTERNAL_ERROR);
                    return Poll::Ready(Ok(()));
                }
                Poll::Ready(None) => return Poll::Ready(self.stream.send_data(Bytes::new(), true)),
                Poll::Pending => {
                    self.is_idle = true;
                    return Poll::Pending;
                }
            }
        }
    }

    /// Whether the peer has reset the stream or is gone.
    fn poll_reset(&mut self) -> Poll<Result<(), Error>> {
        let reason = ready!(self.stream.poll_reset(&mut Context::from_waker(&self.waker)))?;
        Poll::Ready(Err(reason.into()))
    }

    fn wait_with(&mut self, bytes: Bytes) {
        let bytes = match self.is_large {
            true => self.budget.charge(bytes),
            false => {
                self.budget.add(bytes.len());
                bytes
            }
        };
        self.reserved = None;
        self.waiting = Some(bytes);
    }

    /// The peer's window has accepted `bytes`, or they are given up.
    fn waits_no_more(&self, bytes: usize) {
        if !self.is_large {
            self.budget.remove(bytes);
        }
    }

    /// Gives the stream as much as the peer's window accepts: HTTP/2 would buffer all of it.
    fn poll_waiting(&mut self) -> Poll<Result<(), Error>> {
        while let Some(bytes) = &mut self.waiting {
            if bytes.is_empty() {
                self.stream.send_data(Bytes::new(), false)?;
                self.waiting = None;
                break;
            }
            self.stream.reserve_capacity(bytes.len());
            let mut capacity = self.stream.capacity();
            while capacity == 0 {
                match ready!(self.stream.poll_capacity(&mut Context::from_waker(&self.waker))) {
                    Some(granted) => capacity = granted?,
                    None => return Poll::Ready(Err(Reason::CANCEL.into())),
                }
            }
            let piece = bytes.split_to(capacity.min(bytes.len()));
            if bytes.is_empty() {
                self.waiting = None;
            }
            self.waits_no_more(piece.len());
            self.stall.taken(piece.len());
            self.stream.send_data(piece, false)?;
        }
        self.stall.end();
        Poll::Ready(Ok(()))
    }

    /// Sends what `source` returns. Returns whether it may be called again.
    fn push(&mut self, source: &mut dyn Source) -> bool {
        while let Some(delivery) = source.next() {
            self.wait_with(delivery.grpc().clone());
            if !matches!(self.poll_waiting(), Poll::Ready(Ok(()))) {
                return false;
            }
        }
        true
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        self.waits_no_more(self.waiting.as_ref().map_or(0, Bytes::len));
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Push for Response<S> {
    fn push(&self, source: &mut dyn Source) -> bool {
        // Held by its task, so it is not idle.
        let Ok(mut ends) = self.ends.try_lock() else { return false };
        if !ends.is_idle {
            return false;
        }
        // HTTP/2 wakes it for the window that the stream is given.
        self.wakeups.suppress();
        let mut writing = self.link.link().write();
        ends.is_idle = ends.push(source);
        if let Some(writing) = &mut writing {
            writing.flush();
        }
        drop(writing);
        self.wakeups.clear();
        // Check the result, and restore the waker.
        ends.is_idle &= ends.poll_reset().is_pending();
        self.wakeups.resume();
        if !ends.is_idle {
            self.wakeups.wake_anyway();
        }
        true
    }
}
