use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parlance_core::{RoomId, UserId};
use parlance_delivery::Outlet;
use parlance_runtime::map::HashMap;

use crate::mailbox::{self, Wakes};
use crate::state::RoomState;
use crate::tail::Tail;

/// The mailbox of a session.
pub type Mailbox = mailbox::Mailbox<Subscription>;

/// The next work of a session.
pub type Waken = mailbox::Waken<Subscription>;

/// The subscriptions to a room, by session.
pub(crate) type Listeners = HashMap<u64, Arc<Subscription>>;

/// One session in one room.
pub struct Subscription {
    tail: Arc<Tail<Listeners>>,
    mailbox: Arc<Mailbox>,
    /// Whether it is queued in the mailbox.
    queued: AtomicBool,
    /// Whether it belongs to a member who is registered here.
    live: AtomicBool,
    /// Everything up to here was delivered or reported as a gap. Moved by the session while it is polled, and
    /// otherwise by the task that pushes to its connection.
    cursor: AtomicU64,
    /// The session has delivered everything and is live.
    at_head: AtomicBool,
    /// A task is about to push.
    pushing: AtomicBool,
    /// The event that made the user a member, the last time as far as known: changes of earlier messages may have to
    /// be delivered without their content.
    joined: AtomicU64,
    /// The last known event that added or removed the user, delivered here but perhaps not yet to the client: twice
    /// its seq, plus one for a removal.
    last_change: AtomicU64,
    /// The room's head before reading the user's row, which says that they are a member.
    confirmed_at: AtomicU64,
}

impl Subscription {
    pub(crate) fn new(tail: Arc<Tail<Listeners>>, mailbox: Arc<Mailbox>) -> Self {
        let (queued, live, cursor) = (AtomicBool::new(false), AtomicBool::new(false), AtomicU64::new(0));
        let (at_head, pushing) = (AtomicBool::new(false), AtomicBool::new(false));
        let (joined, last_change, confirmed_at) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
        Self { tail, mailbox, queued, live, cursor, at_head, pushing, joined, last_change, confirmed_at }
    }

    /// The event that made the user a member, the last time as far as known; 0 if it is not known.
    #[inline]
    pub fn joined(&self) -> u64 {
        self.joined.load(Ordering::Acquire)
    }

    /// Sets the event that made the user a member.
    pub fn set_joined(&self, seq: u64) {
        self.joined.store(seq, Ordering::Release);
    }

    /// The event that removed the user, delivered here but perhaps not yet to the client; 0 for a member.
    #[inline]
    pub fn removed_at(&self) -> u64 {
        let change = self.last_change.load(Ordering::Acquire);
        if change & 1 == 1 { change >> 1 } else { 0 }
    }

    /// The user was removed by the event `seq`. Ignored if a later return is known here: the row may have been read a
    /// while ago.
    pub(crate) fn removed(&self, seq: u64) {
        self.changed(seq << 1 | 1);
    }

    /// The user is a member by the event `seq`: an earlier removal does not end the subscription.
    pub fn added(&self, seq: u64) {
        self.changed(seq << 1);
    }

    fn changed(&self, change: u64) {
        self.last_change.fetch_max(change, Ordering::AcqRel);
    }

    /// Everything up to here was delivered or reported as a gap.
    #[inline]
    pub fn cursor(&self) -> u64 {
        self.cursor.load(Ordering::Acquire)
    }

    /// Records that everything up to `seq` is delivered or reported as a gap.
    #[inline]
    pub fn move_to(&self, seq: u64) {
        self.cursor.store(seq, Ordering::Release);
    }

    /// Records whether the session has delivered everything: later events are then pushed past it.
    #[inline]
    pub fn set_at_head(&self, at_head: bool) {
        self.at_head.store(at_head, Ordering::Release);
    }

    /// Whether new events can be pushed past the session without waking it.
    pub(crate) fn is_pushable(&self) -> bool {
        self.at_head.load(Ordering::Acquire) && self.mailbox.outlet().is_some_and(Outlet::is_connected)
    }

    /// Whether no other task is about to push.
    pub(crate) fn begin_push(&self) -> bool {
        !self.pushing.swap(true, Ordering::SeqCst)
    }

    /// No task is about to push any more.
    pub(crate) fn end_push(&self) {
        self.pushing.store(false, Ordering::SeqCst);
    }

    /// Whether the session has delivered everything and is live.
    pub(crate) fn is_at_head(&self) -> bool {
        self.at_head.load(Ordering::Acquire)
    }

    pub(crate) fn tail(&self) -> &Tail<Listeners> {
        &self.tail
    }

    /// The room.
    #[inline]
    pub fn room(&self) -> &RoomId {
        self.tail.room()
    }

    /// The room as far as known here.
    pub fn known(&self) -> Option<RoomState> {
        self.tail.known()
    }

    pub(crate) fn session(&self) -> u64 {
        self.mailbox.session()
    }

    /// The user of the session.
    pub fn user(&self) -> &UserId {
        self.mailbox.user()
    }

    pub(crate) fn mailbox(&self) -> &Arc<Mailbox> {
        &self.mailbox
    }

    /// The user is a member, by their row, read when the room's head was at least `head`: from now on, commits to the
    /// room are published to this node.
    pub fn now_live(&self, head: u64) {
        self.confirm(head);
        self.live.store(true, Ordering::SeqCst);
    }

    /// The user's row was read when the room's head was at least `head`.
    pub(crate) fn confirm(&self, head: u64) {
        self.confirmed_at.fetch_max(head, Ordering::AcqRel);
    }

    /// Whether the user is a member as far as the log is known here, where every chunk from `whole_from` on was
    /// delivered. A removal in an earlier hole is not recorded until the session reaches it.
    pub(crate) fn confirms_member(&self, whole_from: u64) -> bool {
        self.is_live() && self.removed_at() == 0 && self.follows_from(whole_from)
    }

    /// Whether the user counts as a member but may have been removed in a hole before `whole_from`.
    pub(crate) fn is_unconfirmed(&self, whole_from: u64) -> bool {
        self.is_live() && !self.follows_from(whole_from)
    }

    /// Whether the session knows of all removals before `whole_from`.
    fn follows_from(&self, whole_from: u64) -> bool {
        let known = self.cursor().max(self.confirmed_at.load(Ordering::Acquire));
        known + 1 >= whole_from
    }

    /// Whether the user was a member when it began; they may have been removed since.
    pub(crate) fn is_live(&self) -> bool {
        self.live.load(Ordering::SeqCst)
    }

    /// Wakes the session for this room.
    pub fn wake(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::SeqCst) {
            self.mailbox.room(self.clone());
        }
    }
}

impl Wakes for Subscription {
    fn dequeued(&self) {
        self.queued.store(false, Ordering::SeqCst);
    }
}

#[cfg(test)]
impl Subscription {
    /// Whether it is queued in the mailbox.
    pub(crate) fn is_queued(&self) -> bool {
        self.queued.load(Ordering::SeqCst)
    }

    /// Whether a task is about to push.
    pub(crate) fn is_pushing(&self) -> bool {
        self.pushing.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use parlance_runtime::memory::Budget;

    use super::*;

    /// Rows that were read before a return are applied after it.
    #[test]
    fn removal_before_last_addition_does_not_end_subscription() {
        let mailbox = Arc::new(Mailbox::new(1, UserId::parse("bob").unwrap(), None));
        let held = Budget::new(1_000).charge();
        let tail = Arc::new(Tail::new(RoomId::parse("room").unwrap(), &crate::Sizes::SMALL, held));
        let bob = Subscription::new(tail, mailbox);
        assert_eq!(bob.removed_at(), 0);
        bob.removed(15);
        assert_eq!(bob.removed_at(), 15);
        bob.added(16);
        bob.removed(15);
        assert_eq!(bob.removed_at(), 0);
        bob.removed(17);
        bob.added(16);
        assert_eq!(bob.removed_at(), 17);
    }
}
