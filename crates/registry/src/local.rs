use async_trait::async_trait;
use bytes::Bytes;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use parlance_core::{RoomId, UserId};
use tokio::sync::{mpsc, watch};

use crate::{Health, NodeId, Notice, Rates, Registry, RegistryError, To};

/// The registry of a single node: counters in memory, and nobody to publish to.
#[derive(Debug)]
pub struct Local {
    node: NodeId,
    sessions: DashMap<UserId, u64>,
    health: watch::Sender<Health>,
}

impl Local {
    /// Creates the registry of `node`.
    pub fn new(node: NodeId) -> Self {
        Self { node, sessions: DashMap::new(), health: watch::Sender::new(Health::Connected) }
    }
}

/// There is nobody to share with.
impl Rates for Local {}

#[async_trait]
impl Registry for Local {
    fn node(&self) -> &NodeId {
        &self.node
    }

    fn is_shared(&self) -> bool {
        false
    }

    async fn connect(&self, user: &UserId) -> Result<bool, RegistryError> {
        let mut count = self.sessions.entry(user.clone()).or_insert(0);
        *count += 1;
        Ok(*count == 1)
    }

    async fn disconnect(&self, user: &UserId) -> Result<bool, RegistryError> {
        let Entry::Occupied(mut count) = self.sessions.entry(user.clone()) else { return Ok(false) };
        *count.get_mut() -= 1;
        if *count.get() > 0 {
            return Ok(false);
        }
        count.remove();
        Ok(true)
    }

    async fn online(&self, users: &[UserId]) -> Result<Vec<bool>, RegistryError> {
        Ok(users.iter().map(|user| self.sessions.contains_key(user)).collect())
    }

    async fn publish(&self, _to: To<'_>, _payload: Bytes) -> Result<(), RegistryError> {
        Ok(())
    }

    async fn send_to(&self, _node: &NodeId, _payload: Bytes) -> Result<(), RegistryError> {
        Ok(())
    }

    async fn follow(&self, _room: &RoomId) -> Result<(), RegistryError> {
        Ok(())
    }

    async fn unfollow(&self, _room: &RoomId) {}

    fn nodes(&self) -> Vec<NodeId> {
        vec![self.node.clone()]
    }

    fn notices(&self) -> mpsc::Receiver<Notice> {
        mpsc::channel(1).1
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    async fn close(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_user_is_online_until_the_last_session_closes() {
        let registry = Local::new(NodeId::parse("n1").unwrap());
        let user = UserId::parse("u").unwrap();
        let online = async || registry.online(std::slice::from_ref(&user)).await.unwrap()[0];
        assert!(registry.connect(&user).await.unwrap());
        assert!(!registry.connect(&user).await.unwrap());
        assert!(!registry.disconnect(&user).await.unwrap());
        assert!(online().await);
        assert!(registry.disconnect(&user).await.unwrap());
        assert!(!online().await);
        assert!(!registry.disconnect(&user).await.unwrap());
    }
}
