use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, Weak};
use std::time::Duration;

use parlance_core::{Body, Chunk, Event, RequestId, Role, RoomId, Timestamp, Unknown, UserId, Visibility};
use parlance_delivery::{Outlet, Push};
use parlance_runtime::memory::Budget;
use tokio_util::task::TaskTracker;

use super::*;
use crate::feed::Feed;
use crate::limits::{PUSHES, Sizes};
use crate::mailbox::Attach;
use crate::state::Terms;
use crate::subscription::{Mailbox, Waken};

/// A connection that accepts everything while it is idle, and runs `meanwhile` once
/// before.
#[derive(Default)]
struct Connection {
    is_busy: AtomicBool,
    /// It accepts one delivery only.
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
    /// Whether the session was woken.
    fn is_woken(&self) -> bool {
        self.subscription.is_queued()
    }
}

fn feed() -> Arc<Feed> {
    Arc::new(Feed::new(RoomId::parse("room").unwrap(), &Sizes::PRODUCTION, &Budget::new(1_000_000)))
}

/// Delivers a chunk of these events, like a commit.
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
        service: None,
    };
    let events: Vec<_> = (first..).zip(bodies).map(event).collect();
    let chunk = Chunk::new([0; 16], events, first, 2).unwrap();
    feed.deliver(tasks, Terms { visibility: Visibility::All, floor: 1, epoch: 1, deleted: false }, &chunk);
}

fn event() -> Body {
    Body::MemberAdded { user: UserId::parse("other").unwrap(), role: Role::Member, link: None }
}

/// Runs spawned tasks.
async fn settle() {
    for _ in 0..100 {
        yield_now().await;
    }
}

#[tokio::test]
async fn session_at_head_is_pushed_to_and_not_woken() {
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

/// A node that shuts down waits for its pushes.
#[tokio::test]
async fn pushes_run_in_tasks_of_the_node() {
    let (feed, tasks) = (feed(), TaskTracker::new());
    let there: Vec<_> = (0..600).map(|session| listener(&feed, session)).collect();
    deliver_in(&tasks, &feed, vec![event()]);
    assert_eq!(tasks.len(), there.len().div_ceil(PUSHES));
    tasks.close();
    tokio::time::timeout(Duration::from_secs(20), tasks.wait()).await.unwrap();
    assert!(there.iter().all(|listener| listener.connection.count() == 1));
}

#[tokio::test]
async fn events_during_a_push_are_not_missed() {
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
async fn connection_that_stops_early_wakes_the_session() {
    let feed = feed();
    let slow = listener(&feed, 1);
    slow.connection.is_slow.store(true, Ordering::SeqCst);
    // Both before any push.
    deliver(&feed, vec![event()]);
    deliver(&feed, vec![event()]);
    settle().await;
    assert_eq!((slow.connection.count(), slow.subscription.cursor()), (1, 1));
    assert!(slow.is_woken());
}

#[tokio::test]
async fn session_without_push_is_woken() {
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
    // The removal ends the session's stream of the room, which the session has to see
    // itself.
    assert_eq!((removed.connection.count(), removed.subscription.cursor()), (1, 1));
    assert!(removed.is_woken());
}

/// Other nodes publish a room to this one as long as a member is registered here.
#[tokio::test]
async fn session_of_removed_user_does_not_keep_room_current() {
    let feed = feed();
    let former = listener(&feed, 1);
    former.connection.is_busy.store(true, Ordering::SeqCst);
    former.subscription.now_live(0);
    deliver(&feed, vec![event()]);
    assert!(feed.has_member());
    let user = former.subscription.mailbox().user().clone();
    deliver(&feed, vec![Body::MemberRemoved { user }]);
    assert!(!feed.has_member());

    let member = listener(&feed, 2);
    assert!(!feed.has_member(), "not before their row was read");
    member.subscription.now_live(feed.delivered());
    assert!(feed.has_member());
}

#[tokio::test]
async fn panicking_push_wakes_the_remaining_sessions() {
    let feed = feed();
    let there: Vec<_> = (0..10).map(|session| listener(&feed, session)).collect();
    let panics = || panic!("while pushing");
    *there[5].connection.meanwhile.lock().unwrap() = Some(Box::new(panics));
    deliver(&feed, vec![event()]);
    settle().await;
    for listener in &there {
        assert!(listener.connection.count() == 1 || listener.is_woken());
        assert!(!listener.subscription.is_pushing());
    }
    assert!(there[5].is_woken());
}

#[test]
fn room_is_queued_once_per_session() {
    let mailbox = Mailbox::new(1, UserId::parse("someone").unwrap(), None);
    for joined in [3, 7, 5] {
        let room = RoomId::parse("room").unwrap();
        mailbox.attach(Attach { room, joined });
    }
    let next = futures::FutureExt::now_or_never(mailbox.next());
    let Some(Waken::Attach(attach)) = next else { panic!("nothing waits") };
    assert_eq!(attach.joined, 7);
    assert!(futures::FutureExt::now_or_never(mailbox.next()).is_none());
}
