use async_trait::async_trait;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use parlance_core::UserId;

use crate::{Registry, RegistryError};

/// The registry of a node that is alone: counters in memory.
#[derive(Debug, Default)]
pub struct Local {
    sessions: DashMap<UserId, u64>,
}

#[async_trait]
impl Registry for Local {
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_user_is_online_until_the_last_session_closes() {
        let registry = Local::default();
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
