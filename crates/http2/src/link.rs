use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use h2::server::{Connection, SendResponse};
use h2::{Error, Reason, RecvStream};
use http::Request;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::metered::{Metered, Reading};
use crate::suppressible_waker::SuppressibleWaker;

/// A request and its response handle.
pub(crate) type Accepted = (Request<RecvStream>, SendResponse<Bytes>);

/// A connection, shared by the task that drives it and by tasks that push to its only stream.
pub(crate) struct Link<S> {
    ends: Mutex<Ends<S>>,
    /// Woken by HTTP/2 for any pending work.
    wakeups: Arc<SuppressibleWaker>,
    waker: Waker,
    reading: Arc<Reading>,
    /// Responses in flight.
    streams: AtomicUsize,
}

struct Ends<S> {
    /// `None` once it is closed.
    connection: Option<Connection<Metered<S>, Bytes>>,
    /// Requests that arrived while another task polled the connection.
    accepted: VecDeque<Result<Accepted, Error>>,
    /// The peer was sent GOAWAY for flooding.
    is_sent_away: bool,
}

/// Counts a response in flight.
pub(crate) struct Counted<S>(Arc<Link<S>>);

/// A connection being written by another task than its own, until this is dropped.
pub(crate) struct Writing<'l, S> {
    link: &'l Link<S>,
    ends: MutexGuard<'l, Ends<S>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Link<S> {
    /// Wraps a connection that uses `wakeups` and `reading`.
    pub(crate) fn new(
        connection: Connection<Metered<S>, Bytes>,
        wakeups: Arc<SuppressibleWaker>,
        reading: Arc<Reading>,
    ) -> Arc<Self> {
        let ends = Ends { connection: Some(connection), accepted: VecDeque::new(), is_sent_away: false };
        let (waker, streams) = (Waker::from(wakeups.clone()), AtomicUsize::new(0));
        Arc::new(Self { ends: Mutex::new(ends), wakeups, waker, reading, streams })
    }

    fn lock(&self) -> MutexGuard<'_, Ends<S>> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drives the connection until there is a request. `None` at its end.
    pub(crate) async fn accept(&self) -> Option<Result<Accepted, Error>> {
        poll_fn(|cx| {
            self.wakeups.register(cx.waker());
            let mut ends = match self.ends.try_lock() {
                Ok(ends) => ends,
                Err(TryLockError::Poisoned(ends)) => ends.into_inner(),
                // A push is in progress and will end soon. Do not block a thread on it.
                Err(TryLockError::WouldBlock) => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
            };
            if let Some(accepted) = ends.accepted.pop_front() {
                return Poll::Ready(Some(accepted));
            }
            self.reading.resume();
            let accepted = ends.poll_accept(&self.waker);
            if accepted.is_pending() && self.reading.is_flooded() && !ends.is_sent_away {
                ends.is_sent_away = true;
                metrics::counter!("parlance_floods_total").increment(1);
                tracing::debug!("the peer floods the connection with frames that achieve nothing");
                if let Some(connection) = &mut ends.connection {
                    connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                }
                return ends.poll_accept(&self.waker);
            }
            accepted
        })
        .await
    }

    /// Accepts no more requests, and ends once all are answered.
    pub(crate) fn shut_down(&self) {
        if let Some(connection) = &mut self.lock().connection {
            connection.graceful_shutdown();
        }
    }

    /// Closes the connection and all streams.
    pub(crate) fn close(&self) {
        // Dropped after unlocking: streams are woken and may take the lock.
        let _closed = self.lock().connection.take();
    }

    pub(crate) fn count(self: &Arc<Self>) -> Counted<S> {
        self.streams.fetch_add(1, Ordering::Relaxed);
        Counted(self.clone())
    }

    /// Takes over writing from the task, for data given to the connection's only stream. If there are more streams,
    /// the task writes the data of many in one pass.
    pub(crate) fn write(&self) -> Option<Writing<'_, S>> {
        if self.streams.load(Ordering::Relaxed) > 1 {
            return None;
        }
        // If the lock is held by its task, that will also write the new data.
        let ends = self.ends.try_lock().ok()?;
        self.wakeups.suppress();
        Some(Writing { link: self, ends })
    }
}

impl<S> Counted<S> {
    pub(crate) fn link(&self) -> &Link<S> {
        &self.0
    }
}

impl<S> Drop for Counted<S> {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Ends<S> {
    fn poll_accept(&mut self, waker: &Waker) -> Poll<Option<Result<Accepted, Error>>> {
        let Some(connection) = &mut self.connection else { return Poll::Ready(None) };
        connection.poll_accept(&mut Context::from_waker(waker))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Writing<'_, S> {
    /// Writes pending data.
    pub(crate) fn flush(&mut self) {
        // Pending wake-ups are handled here: data of all streams is written. Received data is left to the
        // connection's task, which is woken for it separately.
        self.link.wakeups.clear();
        self.link.reading.pause();
        if let Poll::Ready(accepted) = self.ends.poll_accept(&self.link.waker) {
            self.ends.accepted.extend(accepted);
            self.link.wakeups.wake_anyway();
        }
    }
}

impl<S> Drop for Writing<'_, S> {
    fn drop(&mut self) {
        self.link.wakeups.resume();
    }
}
