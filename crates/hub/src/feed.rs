use std::sync::Arc;

use parlance_core::{Body, Chunk, Event, Mark, RoomId, UserId};
use parlance_registry::Registry;
use parlance_runtime::memory::Budget;
use parlance_store::{Store, StoreError};
use tokio::task::unconstrained;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::confirm::Confirming;
use crate::follow::Following;
use crate::limits::{PUSHES, RING_IDLE, Sizes};
use crate::pages::{Pages, read_past};
use crate::push::push_all;
use crate::refresh::{Refreshes, news};
use crate::ring::{Fetched, Verified, marks};
use crate::state::{RoomState, Terms};
use crate::subscription::{Listeners, Mailbox, Subscription};
use crate::tail::Tail;

/// What this node knows of a room for delivering its events.
pub struct Feed {
    tail: Arc<Tail<Listeners>>,
    pages: Pages,
    refreshes: Refreshes<StoreError>,
    confirming: Confirming,
    following: Following,
}

/// The state of a room.
pub(crate) struct Loaded {
    pub(crate) state: RoomState,
    /// As the store had it after the request.
    pub(crate) fresh: bool,
}

impl Feed {
    pub(crate) fn new(room: RoomId, sizes: &'static Sizes, memory: &Arc<Budget>) -> Self {
        Self {
            tail: Arc::new(Tail::new(room, sizes, memory.charge())),
            pages: Pages::new(memory.charge()),
            refreshes: Refreshes::default(),
            confirming: Confirming::default(),
            following: Following::default(),
        }
    }

    /// The room.
    #[inline]
    pub fn room(&self) -> &RoomId {
        self.tail.room()
    }

    /// The room as far as known; `None` before it was first loaded.
    pub fn known(&self) -> Option<RoomState> {
        self.tail.known()
    }

    /// The time of the last delivery; `None` if it is long ago.
    pub fn last_delivery(&self) -> Option<Instant> {
        self.tail.state().ring.last_delivery
    }

    pub(crate) fn subscribe(&self, mailbox: &Arc<Mailbox>) -> Arc<Subscription> {
        let subscription = Arc::new(Subscription::new(self.tail.clone(), mailbox.clone()));
        self.tail.state().listeners.insert(mailbox.session(), subscription.clone());
        subscription
    }

    /// Removes this subscription, but not one that has replaced it.
    pub(crate) fn unsubscribe(&self, subscription: &Arc<Subscription>) {
        let mut state = self.tail.state();
        let session = subscription.session();
        if state.listeners.get(&session).is_some_and(|other| Arc::ptr_eq(other, subscription)) {
            state.listeners.remove(&session);
        }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.tail.state().listeners.is_empty()
    }

    /// The state of the room, read from the store if it is not known here. `None` if there is no such room.
    pub(crate) async fn load(&self, store: &dyn Store) -> Result<Option<Loaded>, StoreError> {
        if let Some(state) = self.known() {
            return Ok(Some(Loaded { state, fresh: false }));
        }
        let Some(stored) = store.room(self.room()).await? else { return Ok(None) };
        let mut known = self.tail.state();
        let ring = &mut known.ring;
        // What was delivered or read meanwhile may be newer, or older. If it is older, the node's own commits are
        // about to be delivered; those of other nodes have to be read (`Hub::subscribe`).
        let fresh = ring.room.is_none();
        let state = *ring.room.get_or_insert_with(|| RoomState::of(&stored));
        if fresh {
            ring.whole_from = state.head + 1;
        }
        Ok(Some(Loaded { state, fresh }))
    }

    /// Reads the room's current state from the store, and delivers what is new here: the next chunks, and if there
    /// are many the last one. Concurrent callers return once that is delivered.
    ///
    /// # Errors
    /// Those of the store; nothing is delivered then.
    pub async fn refresh(
        &self,
        store: &dyn Store,
        deliver: impl Fn(Terms, &Chunk),
    ) -> Result<(), StoreError> {
        let refresh = async {
            let known = match self.known() {
                None => match self.load(store).await? {
                    // What another caller has read meanwhile may predate this call.
                    Some(Loaded { state, fresh: false }) => Some(state),
                    _ => None,
                },
                known => known,
            };
            let Some(known) = known else { return Ok(()) };
            let limit = self.tail.sizes().refresh_events;
            for (terms, chunk) in news(store, self.room(), known, limit).await? {
                deliver(terms, &chunk);
            }
            Ok(())
        };
        self.refreshes.run(refresh).await
    }

    /// Subscribes this node to the room's channel. Returns whether this is new: events published before then have to
    /// be looked for.
    pub(crate) async fn follow(&self, registry: &dyn Registry) -> bool {
        self.following.begin(registry, self.room()).await
    }

    /// Unsubscribes this node, for good.
    pub(crate) async fn unfollow(&self, registry: &dyn Registry) {
        self.following.end(registry, self.room()).await;
    }

    /// Whether this node is subscribed, or about to be.
    pub(crate) fn is_followed(&self) -> bool {
        self.following.is_under_way()
    }

    /// Whether a member has a session here: then commits are published to this node, and the state known here is
    /// current. The session of a removed user may stay long if its client does not read, but no longer causes
    /// anything to be published to this node.
    pub(crate) fn has_member(&self) -> bool {
        let state = self.tail.state();
        state.listeners.values().any(|one| one.confirms_member(state.ring.whole_from))
    }

    /// The room, if one of the sessions of `mailboxes`, all of one user, confirms that they are a member.
    pub(crate) fn as_member(&self, mailboxes: &[Arc<Mailbox>]) -> Option<RoomState> {
        let state = self.tail.state();
        let confirms = |mailbox: &Arc<Mailbox>| {
            let subscription = state.listeners.get(&mailbox.session());
            subscription.is_some_and(|subscription| subscription.confirms_member(state.ring.whole_from))
        };
        mailboxes.iter().any(confirms).then_some(state.ring.room).flatten()
    }

    /// The mark at `seq`, and the one at the last message that `user` sent after it. `None` if the ring does not
    /// reach back that far.
    pub fn sent_after(&self, seq: u64, user: &UserId) -> Option<(Mark, Option<Mark>)> {
        let (at, later) = self.tail.state().ring.messages_after(seq)?;
        marks(&at, &later, user)
    }

    /// The event that made the user of a session here a member, as far as the session knows.
    pub(crate) fn joined(&self, session: u64) -> Option<u64> {
        self.tail.state().listeners.get(&session).map(|subscription| subscription.joined())
    }

    /// Records that `user` was removed by the event `seq`, according to the store.
    pub(crate) fn removed(&self, user: &UserId, seq: u64) {
        for one in self.tail.state().listeners.values().filter(|one| one.mailbox().user() == user) {
            if one.joined() < seq {
                one.removed(seq);
                one.wake();
            }
        }
    }

    /// The sessions of members, if the room has at most `most` of them.
    pub(crate) fn listeners(&self, most: u64) -> Vec<Arc<Mailbox>> {
        let state = self.tail.state();
        if state.ring.room.is_some_and(|room| room.end.member_count() > most) {
            return Vec::new();
        }
        // Excludes former members who are catching up, and users who may have been removed in a hole.
        let listeners = state.listeners.values().filter(|one| one.confirms_member(state.ring.whole_from));
        listeners.map(|subscription| subscription.mailbox().clone()).collect()
    }

    /// Compares a chunk that another node has published with the log as known here.
    pub(crate) fn verify(&self, chunk: &Chunk) -> Verified {
        self.tail.state().ring.verify(chunk)
    }

    /// Delivers a committed chunk. The next one of the log is added to the ring, an old one is ignored; after a hole
    /// the ring starts again, and sessions fill the hole from the store.
    pub(crate) fn deliver(&self, tasks: &TaskTracker, terms: Terms, chunk: &Chunk) {
        let mut state = self.tail.state();
        if !state.ring.append(self.room(), self.tail.sizes(), terms, chunk) {
            return;
        }
        for event in chunk.events() {
            note_membership(&state.listeners, event);
        }
        // Before checking for a concurrent pusher: either it sees this chunk, or this task pushes it.
        self.tail.set_delivered(chunk.head().seq());
        let mut pushes = Vec::new();
        for subscription in state.listeners.values() {
            if !subscription.is_pushable() {
                subscription.wake();
            } else if subscription.begin_push() {
                pushes.push(subscription.clone());
            }
        }
        drop(state);
        while !pushes.is_empty() {
            let rest = pushes.len().saturating_sub(PUSHES);
            // Writing consumes the cooperative budget of the writing task; this one yields explicitly.
            tasks.spawn(unconstrained(push_all(pushes.split_off(rest))));
        }
    }

    /// Drops the ring if nothing was delivered for a while, and pages that were unused for as long.
    pub(crate) fn trim(&self, memory: &Budget) {
        let idle = memory.share_of_time(RING_IDLE);
        let mut state = self.tail.state();
        if state.ring.last_delivery.is_some_and(|at| at.elapsed() >= idle) {
            state.ring.clear();
            state.ring.last_delivery = None;
        }
        drop(state);
        self.pages.trim(idle);
    }

    #[cfg(test)]
    pub(crate) fn delivered(&self) -> u64 {
        self.tail.delivered()
    }

    /// What follows the cursor of `subscription`, up to `to` or the head, as far as the ring reaches back. `None` if
    /// the log has to be read. `catches_up` is set for sessions that read the past: they get messages in their
    /// present form.
    pub(crate) fn recent(&self, subscription: &Subscription, to: u64, catches_up: bool) -> Option<Fetched> {
        let cursor = subscription.cursor();
        // Events in the ring are as they were decided, or deleted; it has no hole.
        let is_present = !catches_up || self.tail.state().ring.changed_to <= cursor;
        if is_present { self.tail.following(cursor, to) } else { None }
    }

    /// Reads what follows the cursor of `subscription`, up to `to` or the head, from the store. For a former member
    /// `until` is the last seq they may see, and messages are returned in their form at that time.
    ///
    /// `None` after a hole in which the user may have been removed: their row is read, and the session has to try
    /// again.
    pub(crate) fn read(
        self: &Arc<Self>,
        store: &Arc<dyn Store>,
        subscription: &Arc<Subscription>,
        to: u64,
        until: Option<u64>,
    ) -> impl Future<Output = Result<Option<Fetched>, StoreError>> + Send + use<> {
        let (feed, store, subscription) = (self.clone(), store.clone(), subscription.clone());
        let cursor = subscription.cursor();
        async move {
            let (store, tail) = (store.as_ref(), &feed.tail);
            let Some(until) = until else {
                let fetched = feed.pages.read(store, tail, cursor, to).await?;
                // After reading: the data is as of the head known before.
                if subscription.is_unconfirmed(tail.state().ring.whole_from) {
                    feed.confirming.confirm(store, tail).await?;
                    return Ok(None);
                }
                return Ok(Some(fetched));
            };
            read_past(store, tail, cursor, to.min(until), until).await.map(Some)
        }
    }
}

/// The session of a removed user may be behind, and not reach the removal for long.
fn note_membership(listeners: &Listeners, event: &Event) {
    let (user, is_removed) = match &event.body {
        Body::MemberRemoved { user } => (user, true),
        Body::MemberAdded { user, .. } => (user, false),
        _ => return,
    };
    for subscription in listeners.values().filter(|one| one.mailbox().user() == user) {
        if is_removed {
            subscription.removed(event.seq);
        } else {
            subscription.added(event.seq);
        }
    }
}
