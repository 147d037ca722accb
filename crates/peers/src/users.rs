use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::used::Used;

/// The users who have connections.
#[derive(Debug, Default)]
pub(crate) struct Users(Mutex<HashMap<Arc<str>, Arc<Connections>>>);

/// The connections of one user. What they hold is added up when it matters, which is rarely.
#[derive(Debug)]
pub(crate) struct Connections {
    user: Arc<str>,
    all: Mutex<Vec<Weak<Used>>>,
}

impl Users {
    /// Adds a connection, unless the user has `most`.
    pub(crate) fn add(&self, user: &str, connection: &Arc<Used>, most: usize) -> Option<Arc<Connections>> {
        let mut users = self.lock();
        let connections = match users.get(user) {
            Some(connections) => connections.clone(),
            None => {
                let user: Arc<str> = user.into();
                let connections = Connections { user: user.clone(), all: Mutex::default() };
                users.entry(user).or_insert(Arc::new(connections)).clone()
            }
        };
        let mut all = connections.lock();
        if all.len() >= most {
            return None;
        }
        all.push(Arc::downgrade(connection));
        drop(all);
        Some(connections)
    }

    pub(crate) fn remove(&self, connections: &Connections, connection: &Arc<Used>) {
        let mut users = self.lock();
        let mut all = connections.lock();
        all.retain(|other| !std::ptr::eq(other.as_ptr(), Arc::as_ptr(connection)));
        if all.is_empty() {
            users.remove(&connections.user);
        }
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Arc<Connections>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connections {
    /// Bytes that are held on all of them, and reserved for answers.
    pub(crate) fn used(&self) -> usize {
        self.lock().iter().filter_map(Weak::upgrade).map(|used| used.all()).sum()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Weak<Used>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
