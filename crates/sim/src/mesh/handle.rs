use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parlance_core::{RoomId, UserId};
use parlance_planted::Plant;
use parlance_registry::{Health, NodeId, Notice, Rates, Registry, RegistryError, To};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use super::state::Slot;
use super::{HEARTBEAT, Mesh, node_channel, room_channel};
use crate::fence::{CrashPoint, Fence};

/// Timeout of a command without an answer.
const COMMAND_TIMEOUT: Duration = Duration::from_millis(400);

/// One node's handle to the registry.
#[derive(Clone)]
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

    /// The current latency of this node's commands.
    fn latency(&self) -> Result<Duration, RegistryError> {
        let stall = self.slot(|slot| (slot.connected && !slot.closed).then_some(slot.stall))?;
        Ok(stall.ok_or(RegistryError::Unavailable)? + self.mesh.weather.registry_latency())
    }

    /// Executes a command, and answers. One that takes longer than its caller waits still takes effect.
    async fn command<T: Send>(
        &self,
        effect: impl FnOnce(&Self, bool) -> T + Send + 'static,
    ) -> Result<T, RegistryError> {
        self.fence.pass().await;
        let latency = self.latency()?;
        if latency > COMMAND_TIMEOUT || self.answer_lost() {
            let this = self.clone();
            tokio::spawn(async move {
                sleep(latency).await;
                this.fence.pass().await;
                if this.slot(|slot| slot.is_reachable()) == Ok(true) {
                    drop(effect(&this, true));
                }
            });
        } else {
            sleep(latency).await;
            self.fence.pass().await;
            if self.slot(|slot| slot.is_reachable())? {
                return Ok(effect(self, false));
            }
        }
        sleep(COMMAND_TIMEOUT).await;
        self.fence.pass().await;
        Err(RegistryError::Unavailable)
    }

    fn answer_lost(&self) -> bool {
        let weather = &self.mesh.weather;
        let lost = weather.dice().chance(weather.faults().registry_fails);
        if lost {
            weather.trouble(Some(&self.node), 3 * HEARTBEAT);
        }
        lost
    }

    /// Sends the registry whether `user` has sessions here at the time of arrival. Returns whether they came online
    /// or went offline.
    async fn tell_user(&self, user: &UserId) -> Result<bool, RegistryError> {
        let user = user.clone();
        self.command(move |this, late| {
            let mut state = this.mesh.state();
            let before = state.is_online(&user);
            let found = state.users.get(&user).is_some_and(|nodes| nodes.contains(&this.node));
            let Some(slot) = state.nodes.get_mut(&this.node) else { return false };
            if slot.sessions.contains_key(&user) {
                let gone = !slot.confirmed.insert(user.clone()) && !found;
                slot.missed |= gone || late && !parlance_planted::is(Plant::LateRegistration);
                state.register(&user, &this.node);
                !before
            } else {
                slot.confirmed.remove(&user);
                if let Some(nodes) = state.users.get_mut(&user) {
                    nodes.remove(&this.node);
                }
                before && !state.is_online(&user)
            }
        })
        .await
    }
}

impl Rates for NodeRegistry {}

#[async_trait]
impl Registry for NodeRegistry {
    fn node(&self) -> &NodeId {
        &self.node
    }

    async fn connect(&self, user: &UserId) -> Result<bool, RegistryError> {
        self.slot(|slot| *slot.sessions.entry(user.clone()).or_insert(0) += 1)?;
        // Each further session confirms the registration, too.
        let came = self.tell_user(user).await;
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
        let users = users.to_vec();
        let online = move |this: &Self, _| {
            let state = this.mesh.state();
            users.iter().map(|user| state.is_online(user)).collect()
        };
        self.command(online).await
    }

    async fn publish(&self, to: To<'_>, payload: Bytes) -> Result<(), RegistryError> {
        self.fence.reach(CrashPoint::Publishing).await;
        let (users, room) = (to.users.to_vec(), to.room.cloned());
        let published = self.command(move |this, late| {
            // A late one may have been given up after the lookup.
            if late && this.mesh.weather.dice().chance(500) {
                return;
            }
            let (online, followers) = this.mesh.targets(&users, room.as_ref(), &this.node);
            for node in online {
                this.mesh.send(&this.node, &node_channel(&node), vec![node], &payload);
            }
            if let Some(room) = &room {
                let followers = followers.into_iter().collect();
                this.mesh.send(&this.node, &room_channel(room), followers, &payload);
            }
        });
        let published = published.await;
        self.fence.reach(CrashPoint::Published).await;
        published
    }

    async fn send_to(&self, node: &NodeId, payload: Bytes) -> Result<(), RegistryError> {
        let node = node.clone();
        let tell = move |this: &Self, _| {
            this.mesh.send(&this.node, &node_channel(&node), vec![node], &payload);
        };
        self.command(tell).await
    }

    fn report_unpublished(&self) {
        let _ = self.slot(|slot| slot.sent.report_unpublished());
    }

    async fn follow(&self, room: &RoomId) -> Result<(), RegistryError> {
        self.slot(|slot| *slot.follows.entry(room.clone()).or_insert(0) += 1)?;
        let room = room.clone();
        let follow = move |this: &Self, late: bool| {
            let mut state = this.mesh.state();
            let Some(slot) = state.nodes.get_mut(&this.node) else { return };
            if slot.follows.contains_key(&room) {
                slot.missed |= late && !parlance_planted::is(Plant::LateRegistration);
                state.rooms.entry(room).or_default().insert(this.node.clone());
            }
        };
        self.command(follow).await
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
