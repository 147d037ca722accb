mod confirm;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use parlance_core::plant::{self, Plant};
use parlance_core::{Body, Chunk, Entry, Event, Mark, Overlay, RoomId, SeqRange, UserId};
use parlance_delivery::SharedFrame;
use parlance_proto::{convert, v1};
use parlance_registry::Registry;
use parlance_store::Store;
use tokio::task::unconstrained;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::frame::{Frame, Piece, following};
use super::pages::{Pages, page_start};
use super::state::{RoomState, Terms};
use super::subscription::push_all;
use super::{Mailbox, Subscription};
use crate::Error;
use crate::limits::{PUSHES, RING_IDLE, Sizes};
use crate::map::HashMap;
use crate::own_task::in_own_task;
use crate::past::{Until, as_of};

/// What this node knows of a room for delivering it.
pub(crate) struct Feed {
    room: RoomId,
    sizes: &'static Sizes,
    /// The last seq that was delivered here.
    delivered: AtomicU64,
    state: Mutex<State>,
    /// One session at a time reads the store for a room; the others find what it read.
    pages: tokio::sync::Mutex<Pages>,
    refreshes: Refreshes,
    /// One session at a time reads the members' rows after a hole, for all of them.
    confirming: tokio::sync::Mutex<()>,
    following: tokio::sync::Mutex<Following>,
}

/// Looks at where the store has the room, one at a time. Whoever asks while one is under
/// way needs the next one: what that finds was there when they asked.
#[derive(Default)]
struct Refreshes {
    begun: AtomicU64,
    finished: tokio::sync::Mutex<u64>,
}

/// Whether this node gets what is published to the room as such.
#[derive(Default, PartialEq)]
enum Following {
    #[default]
    No,
    Yes,
    /// The feed is out of use.
    Closed,
}

#[derive(Default)]
struct State {
    /// Unknown until it is loaded or something is delivered.
    room: Option<RoomState>,
    /// The last frames, by rising seq, ending at the head.
    ring: VecDeque<Frame>,
    ring_bytes: usize,
    /// The last message that was edited or reacted to since it was put there.
    changed_to: u64,
    /// Every chunk from this seq on was delivered here, one after the other.
    whole_from: u64,
    /// Counts changes to messages that were sent before: pages read earlier are stale.
    changes: u64,
    last_delivery: Option<Instant>,
    listeners: HashMap<u64, Arc<Subscription>>,
}

/// Where a room is.
pub(super) struct Loaded {
    pub(super) state: RoomState,
    /// As the store had it after it was asked for.
    pub(super) fresh: bool,
}

/// What a published chunk is to a feed.
pub(super) enum Verified {
    /// The next one of the room's log, which has these terms then.
    Next(Terms),
    /// It was delivered.
    Delivered,
    /// The room is known to be further, but not by way of this chunk.
    Passed,
    /// Of another log, past a hole, or not to be interpreted: the store has to be read.
    No,
}

/// What follows on a cursor: nothing yet, if there are no pieces.
#[derive(Default)]
pub(crate) struct Fetched {
    /// By rising seq; the first follows on the cursor unless older ones are gone.
    pub(crate) pieces: Vec<Piece>,
    /// They end before the head.
    pub(crate) more: bool,
}

impl Fetched {
    fn new(pieces: Vec<Piece>, head: u64) -> Self {
        let more = pieces.last().is_some_and(|last| last.last < head);
        Self { pieces, more }
    }
}

impl Feed {
    pub(super) fn new(room: RoomId, sizes: &'static Sizes) -> Self {
        Self {
            room,
            sizes,
            delivered: AtomicU64::new(0),
            state: Mutex::default(),
            pages: tokio::sync::Mutex::default(),
            refreshes: Refreshes::default(),
            confirming: tokio::sync::Mutex::default(),
            following: tokio::sync::Mutex::default(),
        }
    }

    pub(crate) fn room(&self) -> &RoomId {
        &self.room
    }

    pub(super) fn subscribe(self: &Arc<Self>, mailbox: &Arc<Mailbox>) -> Arc<Subscription> {
        let subscription = Arc::new(Subscription::new(self.clone(), mailbox.clone()));
        self.state().listeners.insert(mailbox.session(), subscription.clone());
        subscription
    }

    /// Takes out this subscription, and not one that has replaced it.
    pub(super) fn unsubscribe(&self, subscription: &Arc<Subscription>) {
        let mut state = self.state();
        let session = subscription.session();
        if state.listeners.get(&session).is_some_and(|other| Arc::ptr_eq(other, subscription)) {
            state.listeners.remove(&session);
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.state().listeners.is_empty()
    }

    /// Where the room is; from the store if that is not known here. `None` where there is
    /// no such room.
    pub(super) async fn load(&self, store: &dyn Store) -> Result<Option<Loaded>, Error> {
        if let Some(state) = self.state().room {
            return Ok(Some(Loaded { state, fresh: false }));
        }
        let Some(stored) = store.room(&self.room).await? else { return Ok(None) };
        let mut known = self.state();
        // What was delivered or read meanwhile may be newer, or older.
        let fresh = known.room.is_none();
        let state = *known.room.get_or_insert_with(|| RoomState::of(&stored));
        if fresh {
            known.whole_from = state.head + 1;
        }
        Ok(Some(Loaded { state, fresh }))
    }

    /// Reads where the store has the room now, and delivers what is new here: the next chunks,
    /// and if there are many the last one. A second caller is let go when that is delivered.
    pub(super) async fn refresh(
        &self,
        store: &dyn Store,
        deliver: impl Fn(Terms, &Chunk),
    ) -> Result<(), Error> {
        let asked = self.refreshes.begun.load(Ordering::SeqCst);
        let mut finished = self.refreshes.finished.lock().await;
        if *finished > asked {
            return Ok(());
        }
        let this = self.refreshes.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let known = match self.known() {
            None => match self.load(store).await? {
                // What somebody else has read meanwhile may be from before this was asked.
                Some(Loaded { state, fresh: false }) if !plant::is(Plant::DiscardReread) => Some(state),
                _ => None,
            },
            known => known,
        };
        let mut new = Vec::new();
        if let Some(known) = known {
            let chunks = store.chunks_after(&self.room, known.head, self.sizes.refresh_events).await?;
            let is_far =
                chunks.iter().map(|chunk| chunk.events().len()).sum::<usize>() >= self.sizes.refresh_events;
            let is_unknown = chunks.iter().any(Chunk::changes_unknown);
            let stored = if is_far || is_unknown { store.room(&self.room).await? } else { None };
            let mut terms = known.terms();
            for chunk in chunks {
                terms.fold(&chunk);
                // What a later version may have changed is for the store to say.
                if is_unknown && let Some(stored) = &stored {
                    terms = Terms::from(&stored.info);
                }
                new.push((terms, chunk));
            }
            if is_far && let Some(stored) = stored {
                new.push((Terms::from(&stored.info), stored.tail));
            }
        }
        for (terms, chunk) in &new {
            deliver(*terms, chunk);
        }
        *finished = this;
        Ok(())
    }

    /// Has what is published to the room as such reach this node. Returns whether it did
    /// not before: what came until then has to be looked for.
    pub(super) async fn follow(&self, registry: &dyn Registry) -> bool {
        let mut following = self.following.lock().await;
        if *following != Following::No {
            return false;
        }
        // Out of reach, it is made up for once the registry is back.
        let _ = registry.follow(&self.room).await;
        *following = Following::Yes;
        true
    }

    /// Ends that, for good.
    pub(super) async fn unfollow(&self, registry: &dyn Registry) {
        let mut following = self.following.lock().await;
        if std::mem::replace(&mut *following, Following::Closed) == Following::Yes {
            registry.unfollow(&self.room).await;
        }
    }

    /// Whether it does, or soon will.
    pub(super) fn is_followed(&self) -> bool {
        self.following.try_lock().map_or(true, |following| *following == Following::Yes)
    }

    /// When something was last delivered; `None` if it is long ago.
    pub(crate) fn last_delivery(&self) -> Option<Instant> {
        self.state().last_delivery
    }

    /// Whether a member listens here: then what is committed is told to this node, and
    /// the room is known as it is.
    pub(super) fn is_live(&self) -> bool {
        self.state().listeners.values().any(|subscription| subscription.is_live())
    }

    /// The room, if one of the sessions of `mailboxes`, all of one user, says that they are a
    /// member.
    pub(super) fn as_member(&self, mailboxes: &[Arc<Mailbox>]) -> Option<RoomState> {
        let state = self.state();
        let confirms = |mailbox: &Arc<Mailbox>| {
            let subscription = state.listeners.get(&mailbox.session());
            subscription.is_some_and(|subscription| subscription.confirms_member(state.whole_from))
        };
        mailboxes.iter().any(confirms).then_some(state.room).flatten()
    }

    /// The mark at `seq`, and the one at the last message that `user` sent after it. `None` where
    /// the ring does not reach back that far.
    pub(crate) fn sent_after(&self, seq: u64, user: &UserId) -> Option<(Mark, Option<Mark>)> {
        let (at, later) = {
            let state = self.state();
            let skip = usize::try_from(seq.checked_sub(state.ring.front()?.seq)?).ok()?;
            let at = state.ring.get(skip)?.frame.clone();
            let messages = state.ring.range(skip + 1..).filter(|frame| frame.text_of == Some(frame.seq));
            (at, messages.map(|frame| frame.frame.clone()).collect::<Vec<_>>())
        };
        let own = later
            .iter()
            .rev()
            .filter_map(event_in)
            .find(|event| {
                event.actor_id == user.as_str() && matches!(event.body, Some(v1::event::Body::Message(_)))
            })
            .map(|event| mark_at(&event));
        Some((mark_at(&event_in(&at)?), own))
    }

    /// The event that made the user of a session here a member, as far as the session knows.
    pub(super) fn joined(&self, session: u64) -> Option<u64> {
        self.state().listeners.get(&session).map(|subscription| subscription.joined())
    }

    /// `user` was removed by the event `seq`, as the store says.
    pub(super) fn removed(&self, user: &UserId, seq: u64) {
        for one in self.state().listeners.values().filter(|one| one.mailbox().user() == user) {
            if one.joined() < seq {
                one.set_removed_at(seq);
                one.wake();
            }
        }
    }

    /// The room as far as known; what [`Self::load`] has returned once.
    pub(crate) fn known(&self) -> Option<RoomState> {
        self.state().room
    }

    /// The sessions of members, if the room has at most `most` of them.
    pub(super) fn listeners(&self, most: u64) -> Vec<Arc<Mailbox>> {
        let state = self.state();
        if state.room.is_some_and(|room| room.end.member_count() > most) {
            return Vec::new();
        }
        // Not those who come for what they have not seen of a room that they have left, or who may
        // have been removed in a hole.
        let listeners = state.listeners.values().filter(|one| one.confirms_member(state.whole_from));
        listeners.map(|subscription| subscription.mailbox().clone()).collect()
    }

    /// Compares a chunk that another node has published with what is known of the room's log.
    pub(super) fn verify(&self, chunk: &Chunk) -> Verified {
        let state = self.state();
        let Some(known) = state.room else { return Verified::No };
        if chunk.head().seq() <= known.head {
            let delivered = chunk.first_seq() >= state.whole_from;
            return if delivered { Verified::Delivered } else { Verified::Passed };
        }
        // What a later version may have changed beside the log is read, too.
        if !chunk.continues(&known.end) || chunk.changes_unknown() {
            return Verified::No;
        }
        // What stands beside the log is for the store to say.
        let mut terms = known.terms();
        terms.fold(chunk);
        Verified::Next(terms)
    }

    /// A chunk is committed. The next in line goes to the ring, an old one is dropped;
    /// past a hole the ring starts anew, and sessions fill the hole from the store.
    pub(super) fn deliver(&self, tasks: &TaskTracker, terms: Terms, chunk: &Chunk) {
        let mut state = self.state();
        let head = chunk.head();
        let known = state.room.map(|room| room.head);
        if known.is_some_and(|known| head.seq() <= known) {
            return;
        }
        let follows = known.is_some_and(|known| chunk.first_seq() == known + 1);
        if !follows {
            state.whole_from = chunk.first_seq();
        }
        if !follows || chunk.changes_unknown() {
            // Messages may have been edited or deleted in what is missing, or cannot be interpreted.
            state.clear_ring();
            state.changes += 1;
        }
        state.room = Some(RoomState::at(head, terms));
        for frame in Frame::of_chunk(&self.room, chunk) {
            state.ring_bytes += frame.bytes();
            state.ring.push_back(frame);
        }
        for event in chunk.events() {
            if let Some(target) = event.body.target() {
                state.changes += 1;
                state.changed_to = state.changed_to.max(target);
            }
            state.note_membership(event);
            if let Body::MessageDeleted { target } = event.body {
                state.redact(&self.room, target);
            }
        }
        while state.ring.len() > self.sizes.ring_events || state.ring_bytes > self.sizes.ring_bytes {
            let Some(frame) = state.ring.pop_front() else { break };
            state.ring_bytes -= frame.bytes();
        }
        state.last_delivery = Some(Instant::now());
        // Before asking whether somebody is about to push: they see it, or we push it.
        self.delivered.store(head.seq(), Ordering::SeqCst);
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
    pub(super) fn trim(&self) {
        let mut state = self.state();
        if state.last_delivery.is_some_and(|at| at.elapsed() >= RING_IDLE) {
            state.clear_ring();
            state.last_delivery = None;
        }
        drop(state);
        if let Ok(mut pages) = self.pages.try_lock() {
            pages.trim(RING_IDLE);
        }
    }

    /// What follows on the cursor of `subscription`, up to `to` or the head: from the ring if it
    /// reaches back that far, from the store otherwise. For who is no longer a member `until` is
    /// the last seq they may see, and messages come in the form of then. `catches_up` is who comes
    /// for the past: they get messages as they are now.
    ///
    /// `None` after a hole in which the user may have been removed: their row is read, and the
    /// session is to look again.
    pub(super) async fn fetch(
        self: &Arc<Self>,
        store: &Arc<dyn Store>,
        subscription: &Arc<Subscription>,
        to: u64,
        until: Option<u64>,
        catches_up: bool,
    ) -> Result<Option<Fetched>, Error> {
        let cursor = subscription.cursor();
        // What is in the ring is as it was decided, or deleted; it has no hole.
        let is_present = !catches_up || self.state().changed_to <= cursor;
        if is_present && let Some(fetched) = self.in_ring(cursor, to) {
            return Ok(Some(fetched));
        }
        let (feed, store, subscription) = (self.clone(), store.clone(), subscription.clone());
        in_own_task(async move {
            let Some(until) = until else {
                let fetched = feed.read(store.as_ref(), cursor, to).await?;
                // Afterwards: what was read is of the head that was known before.
                if subscription.is_unconfirmed(feed.state().whole_from) {
                    feed.confirm_members(store.as_ref()).await?;
                    return Ok(None);
                }
                return Ok(Some(fetched));
            };
            feed.read_past(store.as_ref(), cursor, to.min(until), until).await.map(Some)
        })
        .await
    }

    /// Few ask for it, and each for another past: it is not kept.
    async fn read_past(&self, store: &dyn Store, cursor: u64, to: u64, until: u64) -> Result<Fetched, Error> {
        let frames = self.read_range(store, SeqRange { from: cursor + 1, to }, Until::Left(until)).await?;
        Ok(Fetched::new(following(frames.iter(), cursor, to, self.sizes.room_batch), to))
    }

    async fn read(&self, store: &dyn Store, cursor: u64, to: u64) -> Result<Fetched, Error> {
        let mut pages = self.pages.lock().await;
        let changes = self.state().changes;
        if pages.changes != changes {
            *pages = Pages::as_of(changes);
        }
        let Some(room) = self.state().room else { return Ok(Fetched::default()) };
        if let Some(pieces) = pages.following(cursor, to, self.sizes) {
            return Ok(Fetched::new(pieces, room.head));
        }
        // Whole pages, so that sessions at different places find what another has read.
        let start = page_start(cursor + 1, self.sizes);
        let end = room.head.min(start + self.sizes.store_page as u64 - 1);
        let frames =
            self.read_range(store, SeqRange { from: start, to: end }, Until::Head(room.head)).await?;
        let mut found = following(frames.iter(), cursor, to, self.sizes.room_batch);
        pages.insert(start, frames, self.sizes);
        if found.is_empty() && end < room.head.min(to) {
            // None of this page is kept any more: look for what is.
            let rest = self
                .read_range(store, SeqRange { from: end + 1, to: room.head }, Until::Head(room.head))
                .await?;
            found = following(rest.iter(), cursor, to, self.sizes.room_batch);
        }
        Ok(Fetched::new(found, room.head))
    }

    /// Frames of `range` as messages stood at `until`: a session that takes them may not yet
    /// know of a removal after that.
    async fn read_range(
        &self,
        store: &dyn Store,
        range: SeqRange,
        until: Until,
    ) -> Result<Vec<Frame>, Error> {
        metrics::counter!("parlance_feed_store_reads_total").increment(1);
        let entries = store.read(&self.room, range, self.sizes.store_page, false).await?;
        let entries = as_of(store, &self.room, until, entries).await?;
        Ok(entries.iter().map(|entry| Frame::new(&self.room, entry)).collect())
    }

    pub(super) fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::SeqCst)
    }

    /// `None` where the ring does not hold it.
    pub(super) fn in_ring(&self, cursor: u64, to: u64) -> Option<Fetched> {
        let state = self.state();
        let head = state.room?.head;
        if cursor >= head.min(to) {
            return Some(Fetched::default());
        }
        let first = state.ring.front()?.seq;
        if cursor + 1 < first {
            return None;
        }
        let skip = (cursor + 1 - first) as usize;
        let pieces = following(state.ring.range(skip..), cursor, to, self.sizes.room_batch);
        Some(Fetched::new(pieces, head))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn mark_at(event: &v1::Event) -> Mark {
    Mark { seq: event.seq, message_count: event.message_count, deleted_count: event.deleted_count }
}

fn event_in(frame: &SharedFrame) -> Option<v1::Event> {
    match frame.decode_frame().ok()?.frame? {
        v1::server_frame::Frame::Event(event) => Some(event),
        _ => None,
    }
}

impl State {
    /// A session of who was removed may be behind, and not come to the removal for long.
    fn note_membership(&self, event: &Event) {
        let (user, removed_at) = match &event.body {
            Body::MemberRemoved { user } => (user, event.seq),
            Body::MemberAdded { user, .. } => (user, 0),
            _ => return,
        };
        for subscription in self.listeners.values().filter(|one| one.mailbox().user() == user) {
            subscription.set_removed_at(removed_at);
        }
    }

    fn clear_ring(&mut self) {
        self.ring = VecDeque::new();
        self.ring_bytes = 0;
    }

    /// Takes the text of a deleted message out of what sessions that are behind will
    /// get.
    fn redact(&mut self, room: &RoomId, target: u64) {
        let deleted = Overlay { deleted: true, ..Overlay::default() };
        // Where the run begins that the frame is in.
        let mut run = None;
        for at in 0..self.ring.len() {
            run = if self.ring[at].run.is_some() { Some(at) } else { run };
            let frame = &mut self.ring[at];
            if frame.text_of != Some(target) {
                continue;
            }
            let Ok(v1::ServerFrame { frame: Some(v1::server_frame::Frame::Event(event)) }) =
                frame.frame.decode_frame()
            else {
                continue;
            };
            let Some(event) = convert::event_from(event) else { continue };
            let redacted = Frame::new(room, &Entry::merge(event, Some(deleted.clone())));
            self.ring_bytes = self.ring_bytes + redacted.bytes() - frame.bytes();
            *frame = redacted;
            // Its frames go out one by one from now on: of the last that begins before this
            // one, whether it reaches so far or not.
            if let Some(run) = run {
                self.ring[run].run = None;
            }
        }
    }
}
