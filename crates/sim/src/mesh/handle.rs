use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parlance_core::{RoomId, UserId};
use parlance_registry::{Health, NodeId, Notice, Registry, RegistryError, To};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use super::Mesh;
use super::state::Slot;
use crate::fence::{CrashPoint, Fence};

/// How long a command waits for an answer that does not come.
const COMMAND_TIMEOUT: Duration = Duration::from_millis(400);

/// One node's way to the registry.
pub struct NodeRegistry {
    mesh: Arc<Mesh>,
    node: NodeId,
    fence: Arc<Fence>,
}

impl NodeRegistry {
    pub(super) fn new(mesh: Arc<Mesh>, node: NodeId, fence: Arc<Fence>) -> Self {
        Self { mesh, node, fence }
    }

    fn slot<T>(&self, with: impl FnOnce(&mut Slot) -> T) -> Result<T, RegistryError> {
        self.mesh.state().nodes.get_mut(&self.node).map(with).ok_or(RegistryError::Unavailable)
    }

    /// The way of a command.
    async fn go(&self) -> Result<(), RegistryError> {
        self.fence.pass().await;
        if !self.slot(|slot| slot.connected && !slot.closed)? {
            return Err(RegistryError::Unavailable);
        }
        sleep(self.mesh.weather.registry_latency()).await;
        self.fence.pass().await;
        if self.slot(|slot| slot.is_reachable())? {
            return Ok(());
        }
        sleep(COMMAND_TIMEOUT).await;
        self.fence.pass().await;
        Err(RegistryError::Unavailable)
    }

    /// Whether the answer is lost; the node has its link looked at then.
    fn answer_lost(&self) -> bool {
        let weather = &self.mesh.weather;
        let lost = weather.dice().chance(weather.faults().registry_fails);
        if lost {
            let _ = self.slot(|slot| slot.must_recover = true);
        }
        lost
    }

    /// Tells the registry whether `user` has sessions here, as it is when that arrives.
    async fn tell_user(&self, user: &UserId) -> Result<bool, RegistryError> {
        let told = self.go().await;
        if told.is_err() || self.answer_lost() {
            // Registered when everything is put in place again.
            self.slot(|slot| slot.must_recover = true)?;
            return Err(RegistryError::Unavailable);
        }
        let mut state = self.mesh.state();
        let here = state.nodes.get(&self.node).is_some_and(|slot| slot.sessions.contains_key(user));
        let before = state.is_online(user);
        if here {
            state.register(user, &self.node);
            Ok(!before)
        } else {
            if let Some(nodes) = state.users.get_mut(user) {
                nodes.remove(&self.node);
            }
            Ok(before && !state.is_online(user))
        }
    }
}

#[async_trait]
impl Registry for NodeRegistry {
    fn node(&self) -> &NodeId {
        &self.node
    }

    async fn connect(&self, user: &UserId) -> Result<bool, RegistryError> {
        self.slot(|slot| *slot.sessions.entry(user.clone()).or_insert(0) += 1)?;
        let told = self.mesh.is_registered(user, &self.node) && self.slot(|slot| slot.is_reachable())?;
        let came = if told { Ok(false) } else { self.tell_user(user).await };
        self.fence.pass().await;
        came
    }

    async fn disconnect(&self, user: &UserId) -> Result<bool, RegistryError> {
        let last = self.slot(|slot| {
            let Some(count) = slot.sessions.get_mut(user) else { return false };
            *count -= 1;
            let last = *count == 0;
            if last {
                slot.sessions.remove(user);
            }
            last
        })?;
        if last { self.tell_user(user).await } else { Ok(false) }
    }

    async fn online(&self, users: &[UserId]) -> Result<Vec<bool>, RegistryError> {
        self.go().await?;
        let state = self.mesh.state();
        Ok(users.iter().map(|user| state.is_online(user)).collect())
    }

    async fn publish(&self, to: To<'_>, payload: Bytes) -> Result<(), RegistryError> {
        self.fence.reach(CrashPoint::Publishing).await;
        self.go().await?;
        let mut targets = self.mesh.targets(to.users, to.room, &self.node);
        let lost = self.answer_lost();
        if lost {
            // It may have reached some of them.
            targets.retain(|_| self.mesh.weather.dice().chance(500));
        }
        for target in targets {
            self.mesh.send(target, &payload);
        }
        self.fence.reach(CrashPoint::Published).await;
        if lost { Err(RegistryError::Unavailable) } else { Ok(()) }
    }

    async fn tell(&self, node: &NodeId, payload: Bytes) -> Result<(), RegistryError> {
        self.go().await?;
        self.mesh.send(node.clone(), &payload);
        if self.answer_lost() { Err(RegistryError::Unavailable) } else { Ok(()) }
    }

    async fn follow(&self, room: &RoomId) -> Result<(), RegistryError> {
        self.slot(|slot| *slot.follows.entry(room.clone()).or_insert(0) += 1)?;
        if let Err(error) = self.go().await {
            self.slot(|slot| slot.must_recover = true)?;
            return Err(error);
        }
        let mut state = self.mesh.state();
        let held = state.nodes.get(&self.node).is_some_and(|slot| slot.follows.contains_key(room));
        if held {
            state.rooms.entry(room.clone()).or_default().insert(self.node.clone());
        }
        Ok(())
    }

    async fn unfollow(&self, room: &RoomId) {
        let last = self.slot(|slot| {
            let Some(count) = slot.follows.get_mut(room) else { return false };
            *count -= 1;
            let last = *count == 0;
            if last {
                slot.follows.remove(room);
            }
            last
        });
        if last == Ok(true)
            && let Some(followers) = self.mesh.state().rooms.get_mut(room)
        {
            followers.remove(&self.node);
        }
    }

    fn nodes(&self) -> Vec<NodeId> {
        let known = self.slot(|slot| slot.known.keys().cloned().collect::<Vec<_>>()).unwrap_or_default();
        let mut nodes = known;
        nodes.push(self.node.clone());
        nodes.sort_unstable();
        nodes
    }

    fn notices(&self) -> mpsc::Receiver<Notice> {
        let taken = self.slot(|slot| slot.taken.take());
        taken.ok().flatten().unwrap_or_else(|| mpsc::channel(1).1)
    }

    fn health(&self) -> watch::Receiver<Health> {
        let health = self.slot(|slot| slot.health.subscribe());
        health.unwrap_or_else(|_| watch::Sender::new(Health::Away).subscribe())
    }

    async fn close(&self) {
        let mut state = self.mesh.state();
        state.end_lease(&self.node);
        state.unsubscribe_all(&self.node);
        state.left.insert(self.node.clone());
        if let Some(slot) = state.nodes.get_mut(&self.node) {
            slot.closed = true;
        }
    }
}
