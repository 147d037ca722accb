use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::budget::Budget;

/// The connections of each user who has some. What a user holds is added up when it matters, which is rarely.
#[derive(Debug, Default)]
pub(crate) struct Users(Mutex<HashMap<Arc<str>, Vec<Weak<Budget>>>>);

impl Users {
    /// Adds a connection, unless the user has `most`. Returns the user's id.
    pub(crate) fn add(&self, user: &str, connection: &Arc<Budget>, most: usize) -> Option<Arc<str>> {
        let mut users = self.lock();
        let user = users.get_key_value(user).map_or_else(|| user.into(), |(user, _)| user.clone());
        let connections = users.entry(user.clone()).or_default();
        if connections.len() >= most {
            return None;
        }
        connections.push(Arc::downgrade(connection));
        Some(user)
    }

    pub(crate) fn remove(&self, user: &str, connection: &Arc<Budget>) {
        let mut users = self.lock();
        let Some(connections) = users.get_mut(user) else { return };
        connections.retain(|other| !std::ptr::eq(other.as_ptr(), Arc::as_ptr(connection)));
        if connections.is_empty() {
            users.remove(user);
        }
    }

    /// Bytes that wait on all connections of a user.
    pub(crate) fn held(&self, user: &str) -> usize {
        let users = self.lock();
        let connections = users.get(user).into_iter().flatten().filter_map(Weak::upgrade);
        connections.map(|connection| connection.held()).sum()
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Vec<Weak<Budget>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
