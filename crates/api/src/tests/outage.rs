//! Presence while the registry is unreachable, and a registry that can be made unreachable.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parlance_core::{RoomId, UserId};
use parlance_registry::{Health, Local, NodeId, Notice, Rates, Registry, RegistryError, To};
use tokio::sync::{mpsc, watch};

use super::online::{next_presence, with_bob};
use super::receive;
use super::rooms::delivered_within;
use crate::testing::{Conversation, TestNode, caller, group, say, soon, user};

/// A shared registry that tests disconnect. It keeps counting sessions while disconnected.
pub(super) struct Outage {
    local: Local,
    health: watch::Sender<Health>,
    /// Whether users are online on another node too.
    elsewhere: AtomicBool,
    /// Whether they were when their last session here was unregistered.
    stay_elsewhere: AtomicBool,
    published: mpsc::UnboundedSender<(Vec<UserId>, Bytes)>,
    /// Number of publishes that will fail.
    pub(super) failing_publishes: AtomicUsize,
    /// How often other nodes were made to read the store.
    pub(super) reports: AtomicUsize,
}

impl Outage {
    fn check<T>(&self, value: T) -> Result<T, RegistryError> {
        match *self.health.borrow() {
            Health::Connected => Ok(value),
            Health::Away => Err(RegistryError::Unavailable),
        }
    }
}

impl Rates for Outage {}

#[async_trait]
impl Registry for Outage {
    fn node(&self) -> &NodeId {
        self.local.node()
    }

    async fn connect(&self, user: &UserId) -> Result<bool, RegistryError> {
        self.check(self.local.connect(user).await?)
    }

    async fn disconnect(&self, user: &UserId) -> Result<bool, RegistryError> {
        let is_last = self.local.disconnect(user).await?;
        self.check(is_last && !self.stay_elsewhere.load(Ordering::SeqCst))
    }

    async fn online(&self, users: &[UserId]) -> Result<Vec<bool>, RegistryError> {
        let elsewhere = self.elsewhere.load(Ordering::SeqCst);
        let online = self.local.online(users).await?;
        self.check(online.into_iter().map(|here| here || elsewhere).collect())
    }

    async fn publish(&self, to: To<'_>, payload: Bytes) -> Result<(), RegistryError> {
        self.check(())?;
        let fail = |left: usize| left.checked_sub(1);
        if self.failing_publishes.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fail).is_ok() {
            return Err(RegistryError::Unavailable);
        }
        let _ = self.published.send((to.users.to_vec(), payload));
        Ok(())
    }

    async fn send_to(&self, _: &NodeId, _: Bytes) -> Result<(), RegistryError> {
        self.check(())
    }

    fn report_unpublished(&self) {
        self.reports.fetch_add(1, Ordering::SeqCst);
    }

    async fn follow(&self, _: &RoomId) -> Result<(), RegistryError> {
        self.check(())
    }

    async fn unfollow(&self, _: &RoomId) {}

    fn nodes(&self) -> Vec<NodeId> {
        self.local.nodes()
    }

    fn notices(&self) -> mpsc::Receiver<Notice> {
        self.local.notices()
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    async fn close(&self) {}
}

pub(super) type Published = mpsc::UnboundedReceiver<(Vec<UserId>, Bytes)>;

pub(super) async fn start() -> (TestNode, Arc<Outage>, Published) {
    start_with_grace(Duration::ZERO).await
}

async fn start_with_grace(presence_grace: Duration) -> (TestNode, Arc<Outage>, Published) {
    let (published, receiver) = mpsc::unbounded_channel();
    let registry = Arc::new(Outage {
        local: Local::new(NodeId::from_random(1)),
        health: watch::Sender::new(Health::Connected),
        elsewhere: AtomicBool::new(false),
        stay_elsewhere: AtomicBool::new(false),
        published,
        failing_publishes: AtomicUsize::new(0),
        reports: AtomicUsize::new(0),
    });
    let node = TestNode::start_with_registry(registry.clone(), presence_grace);
    node.store.answer_all();
    for id in ["alice", "bob"] {
        node.api.ensure_user(&caller(id)).await.unwrap();
    }
    with_bob(&node, "alice").await;
    (node, registry, receiver)
}

/// Ends the outage and waits until other nodes with alice are notified about bob.
async fn recover(registry: &Outage, published: &mut Published) {
    while published.try_recv().is_ok() {}
    registry.health.send_replace(Health::Connected);
    let told = async {
        loop {
            let (users, payload) = published.recv().await.unwrap();
            if users == [user("alice")] && payload.windows(3).any(|some| some == b"bob") {
                return;
            }
        }
    };
    soon(told).await;
}

/// An outage in which bob goes offline, and the presence that alice's session receives for him.
async fn bob_leaves() -> (TestNode, Arc<Outage>, Published, Conversation) {
    let (node, registry, published) = start().await;
    let mut at_alice = Conversation::open(&node.api, caller("alice")).await;
    let at_bob = Conversation::open(&node.api, caller("bob")).await;
    assert!(next_presence(&mut at_alice).await);
    registry.health.send_replace(Health::Away);
    drop(at_bob);
    assert!(!next_presence(&mut at_alice).await, "during the outage");
    (node, registry, published, at_alice)
}

#[tokio::test]
async fn offline_during_outage_is_signalled_locally_at_once_and_elsewhere_later() {
    let (_node, registry, mut published, mut at_alice) = bob_leaves().await;
    recover(&registry, &mut published).await;
    assert!(!next_presence(&mut at_alice).await, "after the outage");
}

#[tokio::test]
async fn user_online_on_another_node_is_signalled_online_after_an_outage() {
    let (_node, registry, mut published, mut at_alice) = bob_leaves().await;
    registry.elsewhere.store(true, Ordering::SeqCst);
    recover(&registry, &mut published).await;
    assert!(next_presence(&mut at_alice).await, "after the outage");
}

#[tokio::test]
async fn online_during_outage_is_signalled_locally_at_once_and_elsewhere_later() {
    let (node, registry, mut published) = start().await;
    let mut at_alice = Conversation::open(&node.api, caller("alice")).await;
    registry.health.send_replace(Health::Away);
    let _at_bob = Conversation::open(&node.api, caller("bob")).await;
    assert!(next_presence(&mut at_alice).await, "during the outage");
    recover(&registry, &mut published).await;
    assert!(next_presence(&mut at_alice).await, "after the outage");
}

#[tokio::test]
async fn user_who_reconnects_elsewhere_during_the_offline_signal_is_signalled_online_again() {
    let (node, registry, _published) = start().await;
    let mut at_alice = Conversation::open(&node.api, caller("alice")).await;
    let at_bob = Conversation::open(&node.api, caller("bob")).await;
    assert!(next_presence(&mut at_alice).await);
    // The other node's signal, sent before ours, is still in transit.
    registry.elsewhere.store(true, Ordering::SeqCst);
    drop(at_bob);
    assert!(!next_presence(&mut at_alice).await);
    assert!(next_presence(&mut at_alice).await, "the last word is what is true");
}

/// Writes of this node are announced after an outage. A room that hangs then must not keep the node from
/// finding what it missed later.
#[tokio::test(start_paused = true)]
async fn a_room_that_cannot_be_announced_does_not_end_recovery() {
    let (node, registry, _published) = start().await;
    let create = |name: &'static str| node.api.rooms().create(group(name));
    let hanging = create("hanging").await.unwrap().into_parts().0.info.id;
    let whole = create("whole").await.unwrap().into_parts().0.info.id;
    let (_mailbox, _listening) = node.live("bob", &whole).await;
    node.store.hang(&hanging);
    for text in ["first", "second"] {
        registry.health.send_replace(Health::Away);
        let said = say(&node.other(), &whole, text).await;
        registry.health.send_replace(Health::Connected);
        receive(&node, [Notice::Missed]).await;
        assert!(delivered_within(&node, &whole, said, Duration::from_secs(60)).await, "{text}");
    }
}

/// The node shuts down, and its last client opens a session on another one.
#[tokio::test]
async fn moving_to_another_node_during_shutdown_signals_nothing() {
    let (node, registry, mut published) = start_with_grace(Duration::from_secs(5)).await;
    let at_bob = Conversation::open(&node.api, caller("bob")).await;
    // The last field says that he is online.
    while !soon(published.recv()).await.unwrap().1.ends_with(b"bob\x10\x01") {}
    drop(at_bob);
    node.api.end.cancel();
    tokio::task::yield_now().await;
    registry.stay_elsewhere.store(true, Ordering::SeqCst);
    node.api.stop(Duration::from_secs(20)).await;
    let rest: Vec<_> = std::iter::from_fn(|| published.try_recv().ok()).collect();
    assert!(rest.is_empty(), "{rest:?}");
}
