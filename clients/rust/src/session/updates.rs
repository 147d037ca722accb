use std::pin::Pin;
use std::task::{Context, Poll};

use futures::Stream;
use parlance_proto::v1::{Cursor, Event, Gap, Signal, Welcome};
use tokio::sync::mpsc::{self, WeakUnboundedSender};
use tokio::sync::oneshot;

use super::cursors::Processed;
use super::orders::Order;
use crate::{ClientError, CommandUpdate, StorageState, Update, Violation};

/// An update, and what the application has of the room after it.
pub(super) type Item = (Update, Option<Cursor>);

/// The updates of a session, as a [`Stream`]. Taking the next one says that the one before
/// is processed: from then on its cursor may be stored.
#[derive(Debug)]
pub struct Updates {
    queue: mpsc::Receiver<Item>,
    processed: Processed,
    /// Of the update that was taken last.
    current: Option<Cursor>,
}

impl Updates {
    pub(super) fn new(queue: mpsc::Receiver<Item>, processed: Processed) -> Self {
        Self { queue, processed, current: None }
    }

    /// The next update; `None` after [`Update::Stopped`]. Cancelling it loses nothing.
    pub async fn recv(&mut self) -> Option<Update> {
        std::future::poll_fn(|context| self.poll_recv(context)).await
    }

    /// How far the application has the room of the last update, once it has processed it: to be kept together with what
    /// it did, in one transaction, for example, and given to the next session as [`Config::cursors`](crate::Config).
    /// `None` where the last update was about no room.
    pub fn cursor(&self) -> Option<&Cursor> {
        self.current.as_ref()
    }

    /// How many updates wait to be taken.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether none waits.
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

    /// Hands every update to a listener, until the session has ended. A listener that panics ends it: what it has not
    /// processed is not passed over.
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

/// Closes the session once nobody listens any more.
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

/// Callbacks for what a session reports, see [`Update`]. They are called one after the
/// other; while one runs, the next waits. Returning says that it is processed.
#[allow(unused_variables, reason = "by default nothing is done")]
pub trait Listener: Send + Sync + 'static {
    /// The session is open, again or for the first time.
    fn connected(&self, welcome: Welcome) {}
    /// The next event of a room.
    fn event(&self, event: Event) {}
    /// Something of the moment.
    fn signal(&self, signal: Signal) {}
    /// Events that are not pushed.
    fn gap(&self, gap: Gap) {}
    /// The server broke its promise.
    fn violation(&self, violation: Violation) {}
    /// Something has happened to a command.
    fn command(&self, update: CommandUpdate) {}
    /// The store of commands works, or has ceased to.
    fn storage(&self, state: StorageState) {}
    /// The connection is gone; the next try comes in `retry_in`.
    fn disconnected(&self, error: Option<ClientError>, retry_in: std::time::Duration) {}
    /// The session is over; nothing follows.
    fn stopped(&self, error: ClientError) {}
}
