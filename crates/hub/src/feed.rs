use std::sync::Arc;

use parlance_core::{Body, Chunk, Event, Mark, RoomId, UserId};
use parlance_registry::Registry;
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

/// What this node knows of a room for delivering it.
pub struct Feed {
    tail: Arc<Tail<Listeners>>,
    pages: Pages,
    refreshes: Refreshes<StoreError>,
    confirming: Confirming,
    following: Following,
}

/// Where a room is.
pub(crate) struct Loaded {
    pub(crate) state: RoomState,
    /// As the store had it after it was asked for.
    pub(crate) fresh: bool,
}

impl Feed {
    pub(crate) fn new(room: RoomId, sizes: &'static Sizes) -> Self {
        Self {
            tail: Arc::new(Tail::new(room, sizes)),
            pages: Pages::default(),
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

    /// The room as far as known; `None` before it was loaded once.
    pub fn known(&self) -> Option<RoomState> {
        self.tail.known()
    }

    /// When something was last delivered; `None` if it is long ago.
    pub fn last_delivery(&self) -> Option<Instant> {
        self.tail.state().ring.last_delivery
    }

    pub(crate) fn subscribe(&self, mailbox: &Arc<Mailbox>) -> Arc<Subscription> {
        let subscription = Arc::new(Subscription::new(self.tail.clone(), mailbox.clone()));
        self.tail.state().listeners.insert(mailbox.session(), subscription.clone());
        subscription
    }

    /// Takes out this subscription, and not one that has replaced it.
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

    /// Where the room is; from the store if that is not known here. `None` where there is
    /// no such room.
    pub(crate) async fn load(&self, store: &dyn Store) -> Result<Option<Loaded>, StoreError> {
        if let Some(state) = self.known() {
            return Ok(Some(Loaded { state, fresh: false }));
        }
        let Some(stored) = store.room(self.room()).await? else { return Ok(None) };
        let mut known = self.tail.state();
        let ring = &mut known.ring;
        // What was delivered or read meanwhile may be newer, or older. If it is older, the rest is about
        // to be delivered by who wrote it here; what other nodes wrote has to be read (`Hub::subscribe`).
        let fresh = ring.room.is_none();
        let state = *ring.room.get_or_insert_with(|| RoomState::of(&stored));
        if fresh {
            ring.whole_from = state.head + 1;
        }
        Ok(Some(Loaded { state, fresh }))
    }

    /// Reads where the store has the room now, and delivers what is new here: the next chunks,
    /// and if there are many the last one. A second caller is let go when that is delivered.
    ///
    /// # Errors
    /// Those of the store: then nothing is delivered.
    pub async fn refresh(
        &self,
        store: &dyn Store,
        deliver: impl Fn(Terms, &Chunk),
    ) -> Result<(), StoreError> {
        let refresh = async {
            let known = match self.known() {
                None => match self.load(store).await? {
                    // What somebody else has read meanwhile may be from before this was asked.
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

    /// Has what is published to the room as such reach this node. Returns whether it did
    /// not before: what came until then has to be looked for.
    pub(crate) async fn follow(&self, registry: &dyn Registry) -> bool {
        self.following.begin(registry, self.room()).await
    }

    /// Ends that, for good.
    pub(crate) async fn unfollow(&self, registry: &dyn Registry) {
        self.following.end(registry, self.room()).await;
    }

    /// Whether it does, or soon will.
    pub(crate) fn is_followed(&self) -> bool {
        self.following.is_under_way()
    }

    /// Whether a member listens here: then what is committed is told to this node, and
    /// the room is known as it is. The session of someone who was removed may stay for long, if its
    /// client does not read, and has nothing told to this node any more.
    pub(crate) fn has_member(&self) -> bool {
        let state = self.tail.state();
        state.listeners.values().any(|one| one.confirms_member(state.ring.whole_from))
    }

    /// The room, if one of the sessions of `mailboxes`, all of one user, says that they are a
    /// member.
    pub(crate) fn as_member(&self, mailboxes: &[Arc<Mailbox>]) -> Option<RoomState> {
        let state = self.tail.state();
        let confirms = |mailbox: &Arc<Mailbox>| {
            let subscription = state.listeners.get(&mailbox.session());
            subscription.is_some_and(|subscription| subscription.confirms_member(state.ring.whole_from))
        };
        mailboxes.iter().any(confirms).then_some(state.ring.room).flatten()
    }

    /// The mark at `seq`, and the one at the last message that `user` sent after it. `None` where
    /// the ring does not reach back that far.
    pub fn sent_after(&self, seq: u64, user: &UserId) -> Option<(Mark, Option<Mark>)> {
        let (at, later) = self.tail.state().ring.messages_after(seq)?;
        marks(&at, &later, user)
    }

    /// The event that made the user of a session here a member, as far as the session knows.
    pub(crate) fn joined(&self, session: u64) -> Option<u64> {
        self.tail.state().listeners.get(&session).map(|subscription| subscription.joined())
    }

    /// `user` was removed by the event `seq`, as the store says.
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
        // Not those who come for what they have not seen of a room that they have left, or who may
        // have been removed in a hole.
        let listeners = state.listeners.values().filter(|one| one.confirms_member(state.ring.whole_from));
        listeners.map(|subscription| subscription.mailbox().clone()).collect()
    }

    /// Compares a chunk that another node has published with what is known of the room's log.
    pub(crate) fn verify(&self, chunk: &Chunk) -> Verified {
        self.tail.state().ring.verify(chunk)
    }

    /// A chunk is committed. The next in line goes to the ring, an old one is dropped;
    /// past a hole the ring starts anew, and sessions fill the hole from the store.
    pub(crate) fn deliver(&self, tasks: &TaskTracker, terms: Terms, chunk: &Chunk) {
        let mut state = self.tail.state();
        if !state.ring.append(self.room(), self.tail.sizes(), terms, chunk) {
            return;
        }
        for event in chunk.events() {
            note_membership(&state.listeners, event);
        }
        // Before asking whether somebody is about to push: they see it, or we push it.
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
            // Writing takes from the budget of the task that writes, and here others' turns are
            // seen to.
            tasks.spawn(unconstrained(push_all(pushes.split_off(rest))));
        }
    }

    /// Drops the ring if nothing was delivered for a while, and pages that nobody has taken
    /// from for as long.
    pub(crate) fn trim(&self) {
        let mut state = self.tail.state();
        if state.ring.last_delivery.is_some_and(|at| at.elapsed() >= RING_IDLE) {
            state.ring.clear();
            state.ring.last_delivery = None;
        }
        drop(state);
        self.pages.trim(RING_IDLE);
    }

    #[cfg(test)]
    pub(crate) fn delivered(&self) -> u64 {
        self.tail.delivered()
    }

    /// What follows on the cursor of `subscription`, up to `to` or the head, as far as the ring
    /// reaches back. `None` where the log has to be read. `catches_up` is who comes for the past:
    /// they get messages as they are now.
    pub(crate) fn recent(&self, subscription: &Subscription, to: u64, catches_up: bool) -> Option<Fetched> {
        let cursor = subscription.cursor();
        // What is in the ring is as it was decided, or deleted; it has no hole.
        let is_present = !catches_up || self.tail.state().ring.changed_to <= cursor;
        if is_present { self.tail.following(cursor, to) } else { None }
    }

    /// Reads what follows on the cursor of `subscription`, up to `to` or the head, from the store.
    /// For who is no longer a member `until` is the last seq they may see, and messages come in the
    /// form of then.
    ///
    /// `None` after a hole in which the user may have been removed: their row is read, and the
    /// session is to look again.
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
                // Afterwards: what was read is of the head that was known before.
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

/// A session of who was removed may be behind, and not come to the removal for long.
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
