use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use parlance_core::{RoomId, UserId};
use parlance_delivery::{Outlet, SharedFrame};
use tokio::sync::Notify;

use crate::limits::{MAX_SIGNALS, QUEUE_KEPT};

/// Pending work of one session. Bounded: a room is queued at most once, whatever happens in it, and old signals are
/// dropped.
///
/// `R` is the type of queued rooms: the session's subscriptions.
pub struct Mailbox<R> {
    session: u64,
    user: UserId,
    outlet: Option<Outlet>,
    subscriptions: AtomicUsize,
    waiting: Mutex<Waiting<R>>,
    wake: Notify,
}

struct Waiting<R> {
    rooms: VecDeque<Arc<R>>,
    /// The last event that added the user to each room: a room is queued once.
    attach: BTreeMap<RoomId, u64>,
    signals: VecDeque<SharedFrame>,
}

impl<R> Default for Waiting<R> {
    fn default() -> Self {
        Self { rooms: VecDeque::new(), attach: BTreeMap::new(), signals: VecDeque::new() }
    }
}

/// A room that can be queued in a mailbox.
pub trait Wakes {
    /// The session takes it now: later events queue it again.
    fn dequeued(&self);
}

/// The session's user was added to a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attach {
    /// The room.
    pub room: RoomId,
    /// The event that added them.
    pub joined: u64,
}

/// The next work of a session.
pub enum Waken<R> {
    /// A signal to deliver.
    Signal(SharedFrame),
    /// The user was added to a room.
    Attach(Attach),
    /// A room has new events.
    Room(Arc<R>),
}

impl<R: Wakes> Mailbox<R> {
    pub(crate) fn new(session: u64, user: UserId, outlet: Option<Outlet>) -> Self {
        let subscriptions = AtomicUsize::new(0);
        Self { session, user, outlet, subscriptions, waiting: Mutex::default(), wake: Notify::new() }
    }

    /// The id of the session, unique on this node.
    #[inline]
    pub fn session(&self) -> u64 {
        self.session
    }

    /// The session's user.
    #[inline]
    pub fn user(&self) -> &UserId {
        &self.user
    }

    /// The number of rooms that the session is subscribed to, with those to come.
    pub(crate) fn subscriptions(&self) -> &AtomicUsize {
        &self.subscriptions
    }

    /// Waits for work: signals first, because they are transient.
    pub async fn next(&self) -> Waken<R> {
        loop {
            if let Some(waken) = self.try_next() {
                return waken;
            }
            self.wake.notified().await;
        }
    }

    fn try_next(&self) -> Option<Waken<R>> {
        let mut waiting = self.waiting();
        if let Some(frame) = waiting.signals.pop_front() {
            if waiting.signals.is_empty() && waiting.signals.capacity() > QUEUE_KEPT {
                waiting.signals.shrink_to_fit();
            }
            return Some(Waken::Signal(frame));
        }
        if let Some((room, joined)) = waiting.attach.pop_first() {
            return Some(Waken::Attach(Attach { room, joined }));
        }
        let subscription = waiting.rooms.pop_front()?;
        // Before the session reads the room: events that arrive meanwhile queue it again.
        subscription.dequeued();
        Some(Waken::Room(subscription))
    }

    /// Queues a room that the user was added to.
    pub fn attach(&self, attach: Attach) {
        let Attach { room, joined } = attach;
        self.waiting().attach.entry(room).and_modify(|known| *known = joined.max(*known)).or_insert(joined);
        self.wake.notify_one();
    }

    /// The rooms that the user was added to and that the session has not taken.
    pub fn unopened(&self) -> Vec<RoomId> {
        self.waiting().attach.keys().cloned().collect()
    }

    /// Queues a signal; if there are too many, the oldest is dropped.
    pub(crate) fn signal(&self, frame: SharedFrame) {
        let mut waiting = self.waiting();
        if waiting.signals.len() >= MAX_SIGNALS {
            waiting.signals.pop_front();
            metrics::counter!("parlance_signals_dropped_total").increment(1);
        }
        waiting.signals.push_back(frame);
        drop(waiting);
        self.wake.notify_one();
    }

    /// Queues a room that has new events, unless it is queued already.
    pub(crate) fn room(&self, subscription: Arc<R>) {
        self.waiting().rooms.push_back(subscription);
        self.wake.notify_one();
    }

    /// The session's connection, if it supports pushing.
    pub(crate) fn outlet(&self) -> Option<&Outlet> {
        self.outlet.as_ref()
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting<R>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
