use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parlance_core::Visibility;
use parlance_delivery::{Delivery, Outlet, Source};
use tokio::task::yield_now;

use super::frame::{Blank, Piece};
use super::{Feed, Mailbox, RoomState};
use crate::limits::PUSHES_PER_TURN;

/// One session in one room.
pub(crate) struct Subscription {
    feed: Arc<Feed>,
    mailbox: Arc<Mailbox>,
    /// It waits in the mailbox already.
    queued: AtomicBool,
    /// Of a member, who is registered here.
    live: AtomicBool,
    /// Everything up to here was handed out or named as a gap. Moved by the session while it
    /// is polled, and otherwise by whoever pushes to its connection.
    cursor: AtomicU64,
    /// The session has handed out all there was, and goes on with what happens.
    at_head: AtomicBool,
    /// Somebody is about to push what there is.
    pushing: AtomicBool,
    /// The event that made the user a member, the last time as far as known: changes of
    /// messages before it may have to be handed out without their content.
    joined: AtomicU64,
    /// The event that removed the user, delivered here and maybe not yet handed out; 0 for a
    /// member.
    removed_at: AtomicU64,
    /// The room's head before the user's row was read, which says that they are a member.
    confirmed_at: AtomicU64,
}

impl Subscription {
    pub(super) fn new(feed: Arc<Feed>, mailbox: Arc<Mailbox>) -> Self {
        let (queued, live, cursor) = (AtomicBool::new(false), AtomicBool::new(false), AtomicU64::new(0));
        let (at_head, pushing) = (AtomicBool::new(false), AtomicBool::new(false));
        let (joined, removed_at, confirmed_at) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
        Self { feed, mailbox, queued, live, cursor, at_head, pushing, joined, removed_at, confirmed_at }
    }

    /// See the field.
    pub(crate) fn joined(&self) -> u64 {
        self.joined.load(Ordering::Acquire)
    }

    pub(crate) fn set_joined(&self, seq: u64) {
        self.joined.store(seq, Ordering::Release);
    }

    /// See the field.
    pub(crate) fn removed_at(&self) -> u64 {
        self.removed_at.load(Ordering::Acquire)
    }

    pub(super) fn set_removed_at(&self, seq: u64) {
        self.removed_at.store(seq, Ordering::Release);
    }

    /// Whether `piece` can be pushed as it is, without asking the session.
    fn is_plain(&self, piece: &Piece) -> bool {
        let removes_self = piece.removes.as_ref() == Some(self.mailbox.user());
        let may_hide = |blank: &Blank| {
            let open = |room: RoomState| room.visibility == Visibility::All;
            blank.target < self.joined() && !self.feed.known().is_some_and(open)
        };
        !removes_self && !piece.blank.as_ref().is_some_and(may_hide)
    }

    /// See the field.
    pub(crate) fn cursor(&self) -> u64 {
        self.cursor.load(Ordering::Acquire)
    }

    pub(crate) fn move_to(&self, seq: u64) {
        self.cursor.store(seq, Ordering::Release);
    }

    pub(crate) fn set_at_head(&self, at_head: bool) {
        self.at_head.store(at_head, Ordering::Release);
    }

    /// What is new can be pushed past the session; it need not be woken.
    pub(super) fn is_pushable(&self) -> bool {
        self.at_head.load(Ordering::Acquire) && self.mailbox.outlet().is_some_and(Outlet::is_connected)
    }

    /// Whether nobody else is about to push.
    pub(super) fn begin_push(&self) -> bool {
        !self.pushing.swap(true, Ordering::SeqCst)
    }

    /// Pushes what there is to the connection, or has the session look.
    fn push(self: &Arc<Self>, found: &mut Found) {
        // Before looking where the room is: what is delivered after that is pushed by another.
        self.pushing.store(false, Ordering::SeqCst);
        let mut news = News { subscription: self, found, is_all: false };
        let pushed = self.mailbox.outlet().is_some_and(|outlet| outlet.push(&mut news));
        if !(pushed && news.is_all) {
            self.wake();
        }
    }

    pub(crate) fn feed(&self) -> &Arc<Feed> {
        &self.feed
    }

    pub(crate) fn session(&self) -> u64 {
        self.mailbox.session()
    }

    pub(super) fn mailbox(&self) -> &Arc<Mailbox> {
        &self.mailbox
    }

    /// The session's user is a member, by their row, read when the room's head was at least
    /// `head`: from now on, whatever is committed in the room is told to this node.
    pub(crate) fn now_live(&self, head: u64) {
        self.confirm(head);
        self.live.store(true, Ordering::SeqCst);
    }

    /// The user's row was read when the room's head was at least `head`.
    pub(super) fn confirm(&self, head: u64) {
        self.confirmed_at.fetch_max(head, Ordering::AcqRel);
    }

    /// The user is a member again by the event `joined`: a removal before it is not the end.
    pub(crate) fn rejoined(&self, joined: u64) {
        let earlier = |removed_at: u64| (removed_at < joined).then_some(0);
        let _ = self.removed_at.fetch_update(Ordering::AcqRel, Ordering::Acquire, earlier);
    }

    /// Whether the user is a member as far as the log is known here, where every chunk from
    /// `whole_from` on was delivered. A removal in a hole before that is noted by nobody until
    /// the session comes to it.
    pub(super) fn confirms_member(&self, whole_from: u64) -> bool {
        self.is_live() && self.removed_at() == 0 && self.follows_from(whole_from)
    }

    /// Whether the user counts as a member, and may have been removed in a hole before `whole_from`.
    pub(super) fn is_unconfirmed(&self, whole_from: u64) -> bool {
        self.is_live() && !self.follows_from(whole_from)
    }

    /// Whether the session knows of all removals before `whole_from`.
    fn follows_from(&self, whole_from: u64) -> bool {
        let known = self.cursor().max(self.confirmed_at.load(Ordering::Acquire));
        known + 1 >= whole_from
    }

    pub(super) fn is_live(&self) -> bool {
        self.live.load(Ordering::SeqCst)
    }

    /// The session looks: what comes from now on queues the room again.
    pub(super) fn looked_at(&self) {
        self.queued.store(false, Ordering::SeqCst);
    }

    /// Has the session look at the room.
    pub(crate) fn wake(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::SeqCst) {
            self.mailbox.room(self.clone());
        }
    }
}

/// Pushes what is new to connections, one after the other.
pub(super) async fn push_all(subscriptions: Vec<Arc<Subscription>>) {
    let (mut pushes, mut found) = (Pushes(subscriptions), Found::default());
    while !pushes.0.is_empty() {
        for _ in 0..PUSHES_PER_TURN {
            let Some(subscription) = pushes.0.last() else { break };
            subscription.push(&mut found);
            pushes.0.pop();
        }
        yield_now().await;
    }
}

/// Subscriptions that are still to be pushed to. If their task is dropped or panics, their
/// sessions are woken instead.
struct Pushes(Vec<Arc<Subscription>>);

impl Drop for Pushes {
    fn drop(&mut self) {
        for subscription in &self.0 {
            subscription.pushing.store(false, Ordering::SeqCst);
            subscription.wake();
        }
    }
}

/// What is new for one session, for its connection.
struct News<'n> {
    subscription: &'n Subscription,
    found: &'n mut Found,
    /// It was asked until there was no more; otherwise the rest is the session's own.
    is_all: bool,
}

impl Source for News<'_> {
    fn next(&mut self) -> Option<&Delivery> {
        let Subscription { feed, at_head, .. } = self.subscription;
        // A connection that takes one more may not ask for the next.
        self.is_all = false;
        // The session may have been at work since.
        if !at_head.load(Ordering::Acquire) {
            return None;
        }
        match self.found.following(feed, self.subscription.cursor()) {
            Some(Some(piece)) if self.subscription.is_plain(piece) => {
                self.subscription.move_to(piece.last);
                Some(&piece.delivery)
            }
            Some(_) => None,
            None => {
                self.is_all = true;
                None
            }
        }
    }
}

/// What was last found in the ring of a room: sessions that are pushed to one after the other
/// are mostly at the same place.
#[derive(Default)]
struct Found {
    pieces: Vec<Piece>,
    /// What the room's last seq was then. Looked for anew when it has gone on: a message may
    /// have been deleted.
    delivered: u64,
}

impl Found {
    /// What follows on `cursor`: nothing at the head, and an inner nothing where the ring does not
    /// hold it.
    fn following(&mut self, feed: &Feed, cursor: u64) -> Option<Option<&Piece>> {
        let find = |pieces: &[Piece]| pieces.iter().position(|piece| piece.first == cursor + 1);
        let delivered = feed.delivered();
        if cursor >= delivered {
            return None;
        }
        let mut at = if delivered == self.delivered { find(&self.pieces) } else { None };
        if at.is_none() {
            let Some(fetched) = feed.in_ring(cursor, u64::MAX) else { return Some(None) };
            *self = Self { pieces: fetched.pieces, delivered };
            at = find(&self.pieces);
        }
        Some(at.map(|at| &self.pieces[at]))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, Weak};

    use parlance_core::{
        Body, Chunk, Event, RequestId, Role, RoomId, Timestamp, Unknown, UserId, Visibility,
    };
    use parlance_delivery::Push;
    use tokio_util::task::TaskTracker;

    use super::*;
    use crate::hub::Terms;

    /// A connection that takes everything while it is idle, and does `meanwhile` once before.
    #[derive(Default)]
    struct Connection {
        is_busy: AtomicBool,
        /// It takes no more than one.
        is_slow: AtomicBool,
        seen: Mutex<Vec<Delivery>>,
        meanwhile: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    }

    impl Push for Connection {
        fn push(&self, source: &mut dyn Source) -> bool {
            if self.is_busy.load(Ordering::SeqCst) {
                return false;
            }
            while let Some(delivery) = source.next().cloned() {
                self.seen.lock().unwrap().push(delivery);
                if self.is_slow.load(Ordering::SeqCst) {
                    self.is_busy.store(true, Ordering::SeqCst);
                    break;
                }
                if let Some(meanwhile) = self.meanwhile.lock().unwrap().take() {
                    meanwhile();
                }
            }
            true
        }
    }

    impl Connection {
        fn count(&self) -> usize {
            self.seen.lock().unwrap().iter().map(|delivery| delivery.frames().len()).sum()
        }
    }

    struct Listener {
        subscription: Arc<Subscription>,
        connection: Arc<Connection>,
    }

    fn listener(feed: &Arc<Feed>, session: u64) -> Listener {
        let (outlet, connection) = (Outlet::default(), Arc::new(Connection::default()));
        outlet.connect(Arc::downgrade(&connection) as Weak<dyn Push>);
        let user = UserId::parse(&format!("user-{session}")).unwrap();
        let mailbox = Arc::new(Mailbox::new(session, user, Some(outlet)));
        let subscription = feed.subscribe(&mailbox);
        subscription.set_at_head(true);
        Listener { subscription, connection }
    }

    impl Listener {
        /// Whether the session was told to look.
        fn is_woken(&self) -> bool {
            self.subscription.queued.load(Ordering::SeqCst)
        }
    }

    fn feed() -> Arc<Feed> {
        Arc::new(Feed::new(RoomId::parse("room").unwrap(), &crate::limits::Sizes::PRODUCTION))
    }

    /// A chunk of these events, as they would be committed.
    fn deliver(feed: &Feed, bodies: Vec<Body>) {
        deliver_in(&TaskTracker::new(), feed, bodies);
    }

    fn deliver_in(tasks: &TaskTracker, feed: &Feed, bodies: Vec<Body>) {
        let first = feed.delivered() + 1;
        let event = |(seq, body)| Event {
            seq,
            at: Timestamp::default(),
            actor: UserId::parse("someone").unwrap(),
            request: RequestId::parse("request").unwrap(),
            message_count: seq,
            deleted_count: 0,
            body,
            unknown: Unknown::default(),
        };
        let events: Vec<_> = (first..).zip(bodies).map(event).collect();
        let chunk = Chunk::new([0; 16], events, first, 2).unwrap();
        feed.deliver(tasks, Terms { visibility: Visibility::All, floor: 1, epoch: 1 }, &chunk);
    }

    fn event() -> Body {
        Body::MemberAdded { user: UserId::parse("other").unwrap(), role: Role::Member }
    }

    /// Lets what was spawned have its turn.
    async fn settle() {
        for _ in 0..100 {
            yield_now().await;
        }
    }

    #[tokio::test]
    async fn who_is_at_the_head_is_pushed_to_and_not_woken() {
        let feed = feed();
        let there: Vec<_> = (0..600).map(|session| listener(&feed, session)).collect();
        for _ in 0..3 {
            deliver(&feed, vec![event(), event()]);
            settle().await;
        }
        for listener in &there {
            assert_eq!((listener.connection.count(), listener.is_woken()), (6, false));
            assert_eq!(listener.subscription.cursor(), 6);
        }
    }

    /// A node that ends waits for what it pushes.
    #[tokio::test]
    async fn pushes_belong_to_the_tasks_of_the_node() {
        let (feed, tasks) = (feed(), TaskTracker::new());
        let there: Vec<_> = (0..600).map(|session| listener(&feed, session)).collect();
        deliver_in(&tasks, &feed, vec![event()]);
        assert_eq!(tasks.len(), there.len().div_ceil(crate::limits::PUSHES));
        tasks.close();
        crate::testing::soon(tasks.wait()).await;
        assert!(there.iter().all(|listener| listener.connection.count() == 1));
    }

    #[tokio::test]
    async fn what_comes_while_others_are_pushed_to_is_not_missed() {
        let feed = feed();
        let there: Vec<_> = (0..40).map(|session| listener(&feed, session)).collect();
        for listener in &there {
            let feed = feed.clone();
            let meanwhile = move || deliver(&feed, vec![event()]);
            *listener.connection.meanwhile.lock().unwrap() = Some(Box::new(meanwhile));
        }
        deliver(&feed, vec![event()]);
        settle().await;
        for listener in &there {
            assert_eq!((listener.connection.count(), listener.subscription.cursor()), (41, 41));
        }
    }

    #[tokio::test]
    async fn who_asks_for_no_more_has_the_session_look_for_the_rest() {
        let feed = feed();
        let slow = listener(&feed, 1);
        slow.connection.is_slow.store(true, Ordering::SeqCst);
        // Both before anybody is pushed to.
        deliver(&feed, vec![event()]);
        deliver(&feed, vec![event()]);
        settle().await;
        assert_eq!((slow.connection.count(), slow.subscription.cursor()), (1, 1));
        assert!(slow.is_woken());
    }

    #[tokio::test]
    async fn whoever_cannot_be_pushed_to_looks_for_themselves() {
        let feed = feed();
        let [busy, behind, gone, removed] = [1, 2, 3, 4].map(|session| listener(&feed, session));
        busy.connection.is_busy.store(true, Ordering::SeqCst);
        behind.subscription.set_at_head(false);
        let Listener { subscription, connection } = gone;
        drop(connection);
        let gone = Listener { subscription, connection: Arc::default() };
        let user = removed.subscription.mailbox().user().clone();
        deliver(&feed, vec![event()]);
        deliver(&feed, vec![Body::MemberRemoved { user }]);
        settle().await;
        for listener in [&busy, &behind, &gone] {
            assert_eq!((listener.connection.count(), listener.subscription.cursor()), (0, 0));
            assert!(listener.is_woken());
        }
        // The removal ends the session's part in the room: that is its own to see.
        assert_eq!((removed.connection.count(), removed.subscription.cursor()), (1, 1));
        assert!(removed.is_woken());
    }

    #[tokio::test]
    async fn a_push_that_panics_has_the_others_look_for_themselves() {
        let feed = feed();
        let there: Vec<_> = (0..10).map(|session| listener(&feed, session)).collect();
        let panics = || panic!("while pushing");
        *there[5].connection.meanwhile.lock().unwrap() = Some(Box::new(panics));
        deliver(&feed, vec![event()]);
        settle().await;
        for listener in &there {
            assert!(listener.connection.count() == 1 || listener.is_woken());
            assert!(!listener.subscription.pushing.load(Ordering::SeqCst));
        }
        assert!(there[5].is_woken());
    }

    #[test]
    fn a_room_waits_for_a_session_once() {
        let mailbox = Mailbox::new(1, UserId::parse("someone").unwrap(), None);
        for joined in [3, 7, 5] {
            let room = RoomId::parse("room").unwrap();
            mailbox.attach(crate::hub::Attach { room, joined });
        }
        let next = futures::FutureExt::now_or_never(mailbox.next());
        let Some(crate::hub::Waken::Attach(attach)) = next else { panic!("nothing waits") };
        assert_eq!(attach.joined, 7);
        assert!(futures::FutureExt::now_or_never(mailbox.next()).is_none());
    }
}
