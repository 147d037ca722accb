use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parlance_core::{RoomId, UserId};
use parlance_registry::{Health, NodeId, Notice, Rates, Registry, RegistryError, Taken, To};
use parlance_runtime::random;
use parlance_runtime::rate::Rate;
use tokio::sync::{mpsc, watch};

use crate::plant::Plant;

/// How long a publish is delayed: the sender is answered, and its node can die before.
const PUT_OFF: Duration = Duration::from_millis(500);

/// Notices waiting to be forwarded.
const NOTICES: usize = 1024;

/// A registry with a bug.
pub(crate) struct PlantedRegistry {
    inner: Arc<dyn Registry>,
    bug: Plant,
    sessions: Arc<Sessions>,
}

/// Sessions by user, as far as the bug needs them.
#[derive(Default)]
struct Sessions(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    /// Users known to the registry.
    registered: HashMap<UserId, usize>,
    /// Users it was made to forget.
    forgotten: HashMap<UserId, usize>,
}

impl Sessions {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes all registrations.
    fn forget(&self) -> Vec<(UserId, usize)> {
        let mut counts = self.counts();
        let mut registered: Vec<_> = std::mem::take(&mut counts.registered).into_iter().collect();
        registered.sort();
        for (user, sessions) in &registered {
            *counts.forgotten.entry(user.clone()).or_default() += sessions;
        }
        registered
    }
}

impl PlantedRegistry {
    pub(crate) fn new(inner: Arc<dyn Registry>, bug: Plant) -> Self {
        Self { inner, bug, sessions: Arc::default() }
    }
}

#[async_trait]
impl Rates for PlantedRegistry {
    async fn take(&self, key: &str, permits: u32, rate: Rate) -> Result<Taken, RegistryError> {
        self.inner.take(key, permits, rate).await
    }
}

#[async_trait]
impl Registry for PlantedRegistry {
    fn node(&self) -> &NodeId {
        self.inner.node()
    }

    fn is_shared(&self) -> bool {
        self.inner.is_shared()
    }

    async fn connect(&self, user: &UserId) -> Result<bool, RegistryError> {
        *self.sessions.counts().registered.entry(user.clone()).or_default() += 1;
        self.inner.connect(user).await
    }

    async fn disconnect(&self, user: &UserId) -> Result<bool, RegistryError> {
        {
            let mut counts = self.sessions.counts();
            if let Some(forgotten) = counts.forgotten.get_mut(user).filter(|forgotten| **forgotten > 0) {
                *forgotten -= 1;
                return Ok(false);
            }
            if let Some(registered) = counts.registered.get_mut(user) {
                *registered = registered.saturating_sub(1);
            }
        }
        self.inner.disconnect(user).await
    }

    async fn online(&self, users: &[UserId]) -> Result<Vec<bool>, RegistryError> {
        self.inner.online(users).await
    }

    async fn publish(&self, to: To<'_>, payload: Bytes) -> Result<(), RegistryError> {
        match self.bug {
            Plant::DropPublish if random::bits().is_multiple_of(4) => Ok(()),
            Plant::AckBeforePublish => {
                let (inner, users, room) = (self.inner.clone(), to.users.to_vec(), to.room.cloned());
                tokio::spawn(async move {
                    tokio::time::sleep(PUT_OFF).await;
                    inner.publish(To { users: &users, room: room.as_ref() }, payload).await
                });
                Ok(())
            }
            _ => self.inner.publish(to, payload).await,
        }
    }

    async fn send_to(&self, node: &NodeId, payload: Bytes) -> Result<(), RegistryError> {
        self.inner.send_to(node, payload).await
    }

    fn report_unpublished(&self) {
        self.inner.report_unpublished();
    }

    async fn follow(&self, room: &RoomId) -> Result<(), RegistryError> {
        self.inner.follow(room).await
    }

    async fn unfollow(&self, room: &RoomId) {
        self.inner.unfollow(room).await;
    }

    fn nodes(&self) -> Vec<NodeId> {
        self.inner.nodes()
    }

    fn notices(&self) -> mpsc::Receiver<Notice> {
        let mut notices = self.inner.notices();
        if self.bug != Plant::IgnoreLostLease {
            return notices;
        }
        let (passed_on, receiver) = mpsc::channel(NOTICES);
        let (inner, sessions) = (self.inner.clone(), self.sessions.clone());
        tokio::spawn(async move {
            while let Some(notice) = notices.recv().await {
                if notice == Notice::Missed {
                    for (user, count) in sessions.forget() {
                        for _ in 0..count {
                            let _ = inner.disconnect(&user).await;
                        }
                    }
                }
                if passed_on.send(notice).await.is_err() {
                    return;
                }
            }
        });
        receiver
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.inner.health()
    }

    fn warning(&self) -> watch::Receiver<Option<String>> {
        self.inner.warning()
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}
