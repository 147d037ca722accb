use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use dashmap::mapref::entry::Entry;
use parlance_core::limits::MAX_LOOKUP_MEMBERS;
use parlance_core::{Body, Chunk, Event, Member, RoomId, UserId};
use parlance_delivery::Outlet;
use parlance_registry::Registry;
use parlance_runtime::map::Map;
use parlance_runtime::memory::Budget;
use parlance_store::{Store, StoreError, UserRoom};
use tokio::time::{Instant, sleep};
use tokio_util::task::TaskTracker;

use crate::feed::{Feed, Loaded};
use crate::limits::{REFRESH_AGAIN, REFRESH_TRIES, Sizes};
use crate::linger::{Linger, Lingering};
use crate::mailbox::Attach;
use crate::ring::Fetched;
use crate::state::{RoomState, Terms};
use crate::subscription::{Mailbox, Subscription};

/// Rooms with sessions on this node, and the sessions of each user.
pub struct Hub {
    store: Arc<dyn Store>,
    registry: Arc<dyn Registry>,
    tasks: TaskTracker,
    sizes: &'static Sizes,
    memory: Arc<Budget>,
    feeds: Map<RoomId, Arc<Feed>>,
    pub(crate) users: Map<UserId, Vec<Arc<Mailbox>>>,
    lingering: Arc<Lingering>,
    next_session: AtomicU64,
    /// Subscriptions of all sessions, with those to come.
    pub(crate) subscriptions: AtomicUsize,
}

impl Hub {
    /// Creates a hub without sessions. Its work runs in `tasks`.
    pub fn new(
        store: Arc<dyn Store>,
        registry: Arc<dyn Registry>,
        tasks: TaskTracker,
        sizes: &'static Sizes,
    ) -> Self {
        let (feeds, users, lingering) = (Map::default(), Map::default(), Arc::default());
        let next_session = AtomicU64::new(1);
        let memory = Budget::new(usize::MAX);
        let subscriptions = AtomicUsize::new(0);
        Self { store, registry, tasks, sizes, memory, feeds, users, lingering, next_session, subscriptions }
    }

    /// Charges what is kept of rooms to `memory`.
    #[must_use]
    pub fn charging(mut self, memory: Arc<Budget>) -> Self {
        self.memory = memory;
        self
    }

    /// What is charged for what is kept of rooms.
    pub fn memory(&self) -> &Arc<Budget> {
        &self.memory
    }

    /// Opens the mailbox of a new session of `user`. From now on the session is notified of rooms that its user is
    /// added to.
    pub fn open(&self, user: &UserId, outlet: Option<Outlet>) -> Arc<Mailbox> {
        let session = self.next_session.fetch_add(1, Ordering::Relaxed);
        let mailbox = Arc::new(Mailbox::new(session, user.clone(), outlet));
        self.users.entry(user.clone()).or_default().push(mailbox.clone());
        mailbox
    }

    /// Removes the session of `mailbox`.
    pub fn close(&self, mailbox: &Mailbox) {
        if let Entry::Occupied(mut mailboxes) = self.users.entry(mailbox.user().clone()) {
            mailboxes.get_mut().retain(|other| other.session() != mailbox.session());
            if mailboxes.get().is_empty() {
                mailboxes.remove();
            }
        }
    }

    /// Subscribes a session to a room, then reads the room's head: later commits wake the session, earlier ones are
    /// read.
    ///
    /// `None` if there is no such room.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn subscribe(
        self: &Arc<Self>,
        room: &RoomId,
        mailbox: &Arc<Mailbox>,
    ) -> Result<Option<(Listening, RoomState)>, StoreError> {
        // Under the map's lock; otherwise the feed could be dropped as idle in between.
        let (feed, subscription) = {
            let new = || Arc::new(Feed::new(room.clone(), self.sizes, &self.memory));
            let feed = self.feeds.entry(room.clone()).or_insert_with(new);
            (feed.clone(), feed.subscribe(mailbox))
        };
        self.take_places(mailbox, 1);
        let listening = Listening { hub: self.clone(), feed, subscription };
        let feed = listening.feed();
        let Some(Loaded { state, mut fresh }) = feed.load(self.store.as_ref()).await? else {
            return Ok(None);
        };
        if self.registry.is_shared() {
            let mut current = feed.has_member();
            // Events written by other nodes before this user was registered here, or before this node followed the
            // room, were not published to this node.
            if state.end.member_count() > MAX_LOOKUP_MEMBERS && self.follow(feed.clone()).await {
                (fresh, current) = (false, false);
            }
            if !fresh && !current {
                self.refresh(feed).await?;
            }
        }
        let state = feed.known().unwrap_or(state);
        Ok(Some((listening, state)))
    }

    fn unsubscribe(&self, Listening { feed, subscription, .. }: &Listening) {
        self.give_back_places(subscription.mailbox(), 1);
        feed.unsubscribe(subscription);
        let removed = self.feeds.remove_if(feed.room(), |_, other| other.is_idle());
        if let Some((_, feed)) = removed
            && self.registry.is_shared()
        {
            let registry = self.registry.clone();
            self.tasks.spawn(async move { feed.unfollow(registry.as_ref()).await });
        }
    }

    /// Subscribes this node to the room's channel; in its own task, so that it is either done or not.
    async fn follow(&self, feed: Arc<Feed>) -> bool {
        let registry = self.registry.clone();
        let followed = self.tasks.spawn(async move { feed.follow(registry.as_ref()).await });
        followed.await.unwrap_or(false)
    }

    /// Reads the room's current state from the store, and delivers what is new here.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn refresh(self: &Arc<Self>, feed: &Feed) -> Result<(), StoreError> {
        feed.refresh(self.store.as_ref(), |terms, chunk| self.deliver(feed.room(), terms, chunk)).await
    }

    /// The room, if `user` has a live session here and is a member as far as this node knows. Reads nothing.
    ///
    /// It is as recent as what is delivered to sessions, which usually lags by the latency of a hint. Recovery
    /// replaces lost hints by comparing every room here with the store, repeatedly while the registry is unavailable.
    /// Therefore use it only for operations that change nothing for others beyond a signal or a receipt: a removed
    /// user can send these for as long as they still receive the room's messages here, and no longer. On `None`, ask
    /// the store.
    pub fn as_member(&self, user: &UserId, room: &RoomId) -> Option<RoomState> {
        let feed = self.feed(room)?;
        self.users.get(user).and_then(|mailboxes| feed.as_member(&mailboxes))
    }

    /// The feed of a room that has sessions here.
    pub fn feed(&self, room: &RoomId) -> Option<Arc<Feed>> {
        self.feeds.get(room).map(|feed| feed.clone())
    }

    /// Rooms with sessions here, most recently active first.
    pub fn rooms_by_activity(&self) -> Vec<Arc<Feed>> {
        let mut rooms: Vec<(Option<Instant>, Arc<Feed>)> =
            self.feeds.iter().map(|feed| (feed.last_delivery(), feed.clone())).collect();
        rooms.sort_by(|(a, left), (b, right)| b.cmp(a).then_with(|| left.room().cmp(right.room())));
        rooms.into_iter().map(|(_, feed)| feed).collect()
    }

    /// The number of rooms with sessions here, and of users.
    pub fn usage(&self) -> (usize, usize) {
        (self.feeds.len(), self.users.len())
    }

    /// Whether `user` has a session here, or had one a moment ago.
    pub fn is_here(&self, user: &UserId) -> bool {
        self.has_session(user) || self.lingering.contains(user)
    }

    /// Records the rooms that `user`, whose session ends, is added to and removed from. Begun before the session is
    /// [closed](Self::close): until then its mailbox receives additions.
    pub fn linger(&self, user: &UserId) -> Linger {
        self.lingering.begin(user.clone())
    }

    /// Users with sessions here.
    pub fn users(&self) -> Vec<UserId> {
        let mut users: Vec<UserId> = self.users.iter().map(|entry| entry.key().clone()).collect();
        users.sort();
        users
    }

    /// Whether `user` has a session here.
    pub fn has_session(&self, user: &UserId) -> bool {
        self.users.contains_key(user)
    }

    /// The number of sessions of `user` here.
    pub fn sessions_of(&self, user: &UserId) -> usize {
        self.users.get(user).map_or(0, |mailboxes| mailboxes.len())
    }

    /// Notifies those sessions of `user` that do not know yet that they are a member of `room`, by the event
    /// `joined`.
    pub fn joined(&self, user: &UserId, room: &RoomId, joined: u64) {
        let feed = self.feed(room);
        for mailbox in self.mailboxes(user) {
            // A user who was removed and came back meanwhile still has a listener of the earlier membership.
            let known = feed.as_ref().and_then(|feed| feed.joined(mailbox.session()));
            if known.is_none_or(|known| known < joined) {
                mailbox.attach(Attach { room: room.clone(), joined });
            }
        }
        self.lingering.added(user, room);
    }

    /// The row of `user` in `room`.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn member(&self, room: &RoomId, user: &UserId) -> Result<Option<Member>, StoreError> {
        self.store.member(room, user).await
    }

    /// The row of `room` in the list of `user`.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn user_room(&self, user: &UserId, room: &RoomId) -> Result<Option<UserRoom>, StoreError> {
        self.store.user_room(user, room).await
    }

    /// The head of `room` in the store.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn stored_head(&self, room: &RoomId) -> Result<Option<u64>, StoreError> {
        Ok(self.store.room(room).await?.map(|stored| stored.head().seq()))
    }

    /// Delivers a chunk of `room` that was committed by this node or read from the store.
    pub fn deliver(self: &Arc<Self>, room: &RoomId, terms: Terms, chunk: &Chunk) {
        self.fold_members(room, chunk, |event| {
            // Initial members see the room from its first event on.
            if chunk.first_seq() == 1 { 1 } else { event.seq }
        });
        let Some(feed) = self.feed(room) else { return };
        feed.deliver(&self.tasks, terms, chunk);
        self.follow_growth(feed, chunk);
    }

    /// Attaches sessions of added users, and records what changes for lingering ones.
    pub(crate) fn fold_members(&self, room: &RoomId, chunk: &Chunk, joined: impl Fn(&Event) -> u64) {
        for event in chunk.events() {
            match &event.body {
                Body::MemberAdded { user, .. } => {
                    if let Some(mailboxes) = self.users.get(user) {
                        for mailbox in mailboxes.iter() {
                            mailbox.attach(Attach { room: room.clone(), joined: joined(event) });
                        }
                    }
                    // After the mailboxes: an addition that a session misses because it ends is recorded here.
                    self.lingering.added(user, room);
                }
                Body::MemberRemoved { user } => self.lingering.removed(user, room),
                _ => {}
            }
        }
    }

    /// Notifies all sessions of `user`, including those behind an earlier removal, that they are a member of `room`
    /// by the event `joined`, according to the store.
    pub fn attach(&self, user: &UserId, room: &RoomId, joined: u64) {
        for mailbox in self.mailboxes(user) {
            mailbox.attach(Attach { room: room.clone(), joined });
        }
        self.lingering.added(user, room);
    }

    fn mailboxes(&self, user: &UserId) -> Vec<Arc<Mailbox>> {
        self.users.get(user).map(|mailboxes| mailboxes.clone()).unwrap_or_default()
    }

    /// Records that `user` left `room` by the event `seq`, according to the store: further reads are as of then.
    pub fn removed(&self, user: &UserId, room: &RoomId, seq: u64) {
        self.lingering.removed(user, room);
        if let Some(feed) = self.feed(room) {
            feed.removed(user, seq);
        }
    }

    /// After a delivery, ensures that later events will reach this node.
    fn follow_growth(self: &Arc<Self>, feed: Arc<Feed>, chunk: &Chunk) {
        let removed = chunk.events().iter().any(
            |event| matches!(&event.body, Body::MemberRemoved { user } if self.users.contains_key(user)),
        );
        if removed && self.registry.is_shared() {
            // It may be the only member here: later events may not have been published to this node.
            self.refresh_soon(feed.clone());
        }
        let grows = chunk.head().member_count() > MAX_LOOKUP_MEMBERS;
        if grows && self.registry.is_shared() && !feed.is_followed() {
            // The room becomes too large for lookups member by member: until then both ways are used.
            let hub = self.clone();
            self.tasks.spawn(async move {
                if hub.follow(feed.clone()).await {
                    hub.refresh_soon(feed);
                }
            });
        }
    }

    fn refresh_soon(self: &Arc<Self>, feed: Arc<Feed>) {
        let hub = self.clone();
        self.tasks.spawn(async move {
            for _ in 0..REFRESH_TRIES {
                let Err(error) = hub.refresh(&feed).await else { return };
                tracing::warn!(%error, "cannot read a room's head, retrying");
                sleep(REFRESH_AGAIN).await;
            }
        });
    }

    /// Drops the rings of inactive rooms.
    pub fn trim(&self) {
        for feed in self.feeds.iter() {
            feed.trim(&self.memory);
        }
    }
}

/// A session's subscription to a room, which ends when this is dropped.
pub struct Listening {
    hub: Arc<Hub>,
    feed: Arc<Feed>,
    subscription: Arc<Subscription>,
}

impl Listening {
    /// The feed of the room.
    #[inline]
    pub fn feed(&self) -> &Arc<Feed> {
        &self.feed
    }

    /// What follows the cursor, up to `to`, as far as it is in memory. `None` if it has to be [read](Self::read).
    /// `catches_up` is set for sessions that read the past: they get messages in their present form.
    pub fn recent(&self, to: u64, catches_up: bool) -> Option<Fetched> {
        self.feed.recent(&self.subscription, to, catches_up)
    }

    /// Reads what follows the cursor, up to `to`, from the store; as of `until` for a former member. `None` if the
    /// session has to try again.
    ///
    /// Must be awaited in its own task: it may queue behind other sessions' reads of the room.
    ///
    /// # Errors
    /// Those of the store.
    pub fn read(
        &self,
        to: u64,
        until: Option<u64>,
    ) -> impl Future<Output = Result<Option<Fetched>, StoreError>> + Send + use<> {
        self.feed.read(&self.hub.store, &self.subscription, to, until)
    }
}

impl Deref for Listening {
    type Target = Arc<Subscription>;

    fn deref(&self) -> &Arc<Subscription> {
        &self.subscription
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.hub.unsubscribe(self);
    }
}
