//! Helpers for registry tests.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use bytes::Bytes;
use parlance_core::{RequestId, RoomId, UserId};
use parlance_registry::{NodeId, Notice, Registry, To};
use tokio::sync::mpsc::Receiver;

pub(crate) type AnyRegistry = Arc<dyn Registry>;

/// Deadline for everything. Only a failure takes that long.
pub(crate) const DEADLINE: Duration = Duration::from_secs(40);

/// A unique number.
#[expect(clippy::disallowed_methods, reason = "of a test, which nothing is to repeat")]
pub(crate) fn unique() -> u64 {
    RandomState::new().hash_one(0)
}

/// A user that no other test case uses.
pub(crate) fn user() -> UserId {
    UserId::parse(&format!("user-{:016x}", unique())).unwrap()
}

pub(crate) fn users(count: usize) -> Vec<UserId> {
    (0..count).map(|_| user()).collect()
}

pub(crate) fn room() -> RoomId {
    RoomId::created_unkeyed(&user(), &RequestId::parse("1").unwrap())
}

pub(crate) fn node_id() -> NodeId {
    NodeId::from_random(unique())
}

pub(crate) fn to_user(user: &UserId) -> To<'_> {
    To { users: std::slice::from_ref(user), room: None }
}

pub(crate) fn to_room(room: &RoomId) -> To<'_> {
    To { users: &[], room: Some(room) }
}

/// A unique payload.
pub(crate) fn payload() -> Bytes {
    Bytes::from(format!("payload {:x}", unique()))
}

/// Polls until the answer is yes.
pub(crate) async fn until(what: &str, mut asked: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !asked().await {
        assert!(started.elapsed() < DEADLINE, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Receives notices until `wanted`.
pub(crate) async fn notice(notices: &mut Receiver<Notice>, wanted: &Notice) {
    let taken = async {
        while let Some(notice) = notices.recv().await {
            if notice == *wanted {
                return true;
            }
        }
        false
    };
    let taken = tokio::time::timeout(DEADLINE, taken).await;
    assert!(taken.is_ok_and(|taken| taken), "waited in vain for {wanted:?}");
}

/// Receives the notices available so far.
pub(crate) fn taken(notices: &mut Receiver<Notice>) -> Vec<Notice> {
    std::iter::from_fn(|| notices.try_recv().ok()).collect()
}

/// Receives everything sent until now: `from` sends `to` a final message.
pub(crate) async fn taken_until_now(
    from: &AnyRegistry,
    to: &AnyRegistry,
    notices: &mut Receiver<Notice>,
) -> Vec<Notice> {
    let last = payload();
    from.send_to(to.node(), last.clone()).await.unwrap();
    let mut all = Vec::new();
    loop {
        let next = tokio::time::timeout(DEADLINE, notices.recv()).await.expect("a payload in time");
        match next.expect("a registry that goes on") {
            Notice::Payload(payload) if payload == last => return all,
            notice => all.push(notice),
        }
    }
}
