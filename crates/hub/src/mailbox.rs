use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use parlance_core::{RoomId, UserId};
use parlance_delivery::{Outlet, SharedFrame};
use tokio::sync::Notify;

use crate::limits::{MAX_SIGNALS, QUEUE_KEPT};

/// What waits for one session. Bounded: a room is in it once however much happened
/// there, and signals push each other out.
///
/// Rooms wait in it by `R`, the session's subscriptions to them.
pub struct Mailbox<R> {
    session: u64,
    user: UserId,
    outlet: Option<Outlet>,
    waiting: Mutex<Waiting<R>>,
    wake: Notify,
}

struct Waiting<R> {
    rooms: VecDeque<Arc<R>>,
    /// The last event that added the user to each room: a room waits once.
    attach: BTreeMap<RoomId, u64>,
    signals: VecDeque<SharedFrame>,
}

impl<R> Default for Waiting<R> {
    fn default() -> Self {
        Self { rooms: VecDeque::new(), attach: BTreeMap::new(), signals: VecDeque::new() }
    }
}

/// What waits in a mailbox when something has happened in its room.
pub trait Wakes {
    /// The session looks: what comes from now on queues it again.
    fn looked_at(&self);
}

/// The session's user was added to a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attach {
    /// The room.
    pub room: RoomId,
    /// The event that added them.
    pub joined: u64,
}

/// The next thing to do for a session.
pub enum Waken<R> {
    /// To be handed out.
    Signal(SharedFrame),
    /// The user was added to a room.
    Attach(Attach),
    /// A room has gone on.
    Room(Arc<R>),
}

impl<R: Wakes> Mailbox<R> {
    pub(crate) fn new(session: u64, user: UserId, outlet: Option<Outlet>) -> Self {
        Self { session, user, outlet, waiting: Mutex::default(), wake: Notify::new() }
    }

    /// The number of the session, of all that this node ever had.
    #[inline]
    pub fn session(&self) -> u64 {
        self.session
    }

    /// The session's user.
    #[inline]
    pub fn user(&self) -> &UserId {
        &self.user
    }

    /// Waits for something to do: signals first, they are of the moment.
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
        // Before the session looks: what comes while it does queues the room again.
        subscription.looked_at();
        Some(Waken::Room(subscription))
    }

    /// The user was added to a room: it is to be looked at.
    pub fn attach(&self, attach: Attach) {
        let Attach { room, joined } = attach;
        self.waiting().attach.entry(room).and_modify(|known| *known = joined.max(*known)).or_insert(joined);
        self.wake.notify_one();
    }

    /// Has a signal handed out; the oldest of too many is dropped.
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

    /// Something happened in a room. Once is enough until the session has looked.
    pub(crate) fn room(&self, subscription: Arc<R>) {
        self.waiting().rooms.push_back(subscription);
        self.wake.notify_one();
    }

    /// The session's connection, if that can be pushed to.
    pub(crate) fn outlet(&self) -> Option<&Outlet> {
        self.outlet.as_ref()
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting<R>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
