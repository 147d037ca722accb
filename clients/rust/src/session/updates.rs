use std::pin::Pin;
use std::task::{Context, Poll};

use futures::Stream;
use parlance_proto::v1::{Cursor, Event, Gap, Signal, Welcome};
use tokio::sync::mpsc::{self, WeakUnboundedSender};
use tokio::sync::oneshot;

use super::cursors::Processed;
use super::orders::Order;
use crate::{ClientError, CommandUpdate, StorageState, Update, Violation};

/// An update, and the application's position in the room after it.
pub(super) type Item = (Update, Option<Cursor>);

/// The updates of a session, as a [`Stream`]. Taking the next one marks the previous one as processed: its cursor may
/// be stored from then on.
#[derive(Debug)]
pub struct Updates {
    queue: mpsc::Receiver<Item>,
    processed: Processed,
    /// The cursor of the last update.
    current: Option<Cursor>,
}

impl Updates {
    pub(super) fn new(queue: mpsc::Receiver<Item>, processed: Processed) -> Self {
        Self { queue, processed, current: None }
    }

    /// The next update; `None` after [`Update::Stopped`]. Cancel-safe.
    pub async fn recv(&mut self) -> Option<Update> {
        std::future::poll_fn(|context| self.poll_recv(context)).await
    }

    /// The application's position in the room of the last update, once it has processed it: to be stored together with
    /// its effects, for example in one transaction, and passed to the next session as
    /// [`Config::cursors`](crate::Config). `None` if the last update was not about a room.
    pub fn cursor(&self) -> Option<&Cursor> {
        self.current.as_ref()
    }

    /// The number of queued updates.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether the queue is empty.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Option<Update>> {
        if let Some(cursor) = self.current.take() {
            self.processed.add(cursor);
        }
        let item = std::task::ready!(self.queue.poll_recv(context));
        Poll::Ready(item.map(|(update, cursor)| {
            self.current = cursor;
            update
        }))
    }

    /// Passes every update to a listener, until the session has ended. A listener that panics ends it: an unprocessed
    /// update must not be skipped.
    pub(super) async fn hand_to(mut self, listener: impl Listener, orders: WeakUnboundedSender<Order>) {
        let ended = EndOfListener(orders);
        while let Some(update) = self.recv().await {
            match update {
                Update::Connected(welcome) => listener.connected(welcome),
                Update::Event(event) => listener.event(event),
                Update::Signal(signal) => listener.signal(signal),
                Update::Gap(gap) => listener.gap(gap),
                Update::Violation(violation) => listener.violation(violation),
                Update::Command(update) => listener.command(update),
                Update::Storage(state) => listener.storage(state),
                Update::Disconnected { error, retry_in } => listener.disconnected(error, retry_in),
                Update::Stopped(error) => listener.stopped(error),
            }
        }
        drop(ended);
    }
}

/// Closes the session when the listener ends.
struct EndOfListener(WeakUnboundedSender<Order>);

impl Drop for EndOfListener {
    fn drop(&mut self) {
        if let Some(orders) = self.0.upgrade() {
            let (closed, _) = oneshot::channel();
            let _ = orders.send(Order::Close(closed));
        }
    }
}

impl Stream for Updates {
    type Item = Update;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Update>> {
        self.poll_recv(context)
    }
}

/// Callbacks for the updates of a session, see [`Update`]. They are called one after the other. Returning marks the
/// update as processed.
#[allow(unused_variables, reason = "by default nothing is done")]
pub trait Listener: Send + Sync + 'static {
    /// The session is open, for the first time or again.
    fn connected(&self, welcome: Welcome) {}
    /// The next event of a room.
    fn event(&self, event: Event) {}
    /// A transient signal.
    fn signal(&self, signal: Signal) {}
    /// Events that are not pushed.
    fn gap(&self, gap: Gap) {}
    /// The server violated the protocol.
    fn violation(&self, violation: Violation) {}
    /// An update about a command.
    fn command(&self, update: CommandUpdate) {}
    /// The command store started or stopped working.
    fn storage(&self, state: StorageState) {}
    /// The connection was lost; the next attempt is made after `retry_in`.
    fn disconnected(&self, error: Option<ClientError>, retry_in: std::time::Duration) {}
    /// The session has ended; no update follows.
    fn stopped(&self, error: ClientError) {}
}
