use std::collections::BTreeSet;

use parlance_core::UserId;
use tokio::time::Instant;

use crate::limits::NODES_KNOWN_AFTER;

/// A room that was written here.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    pub(crate) at: Instant,
    /// What could not be published.
    pub(crate) unannounced: Option<Unannounced>,
}

/// A room's unpublished state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Unannounced {
    pub(crate) head: u64,
    /// Users whose membership may have changed. Later chunks are not published to removed users.
    pub(crate) users: BTreeSet<UserId>,
    /// Since when all nodes known at that time have been sent this head.
    pub(crate) nodes_notified_at: Option<Instant>,
}

impl Written {
    /// Records that other nodes were sent `head`, and the membership changes of `users`.
    pub(crate) fn announced(&mut self, head: u64, users: &BTreeSet<UserId>) {
        self.at = Instant::now();
        if let Some(unannounced) = &mut self.unannounced {
            unannounced.users.retain(|user| !users.contains(user));
            if unannounced.users.is_empty() && unannounced.head <= head {
                self.unannounced = None;
            }
        }
    }

    pub(crate) fn not_announced(&mut self, head: u64, users: BTreeSet<UserId>) {
        self.at = Instant::now();
        let unannounced = self.unannounced.get_or_insert_default();
        unannounced.head = unannounced.head.max(head);
        unannounced.users.extend(users);
        unannounced.nodes_notified_at = None;
    }

    /// Records that all known nodes were sent `head`. This suffices once it is repeated after the time in which a
    /// running node becomes known.
    pub(crate) fn told_known_nodes(&mut self, head: u64, users: BTreeSet<UserId>) {
        let told = self
            .unannounced
            .as_ref()
            .filter(|unannounced| unannounced.head >= head)
            .and_then(|it| it.nodes_notified_at);
        if told.is_some_and(|at| at.elapsed() >= NODES_KNOWN_AFTER) {
            self.at = Instant::now();
            self.unannounced = None;
            return;
        }
        self.not_announced(head, users);
        if let Some(unannounced) = &mut self.unannounced {
            unannounced.nodes_notified_at = told.or_else(|| Some(Instant::now()));
        }
    }

    /// Whether others have to recover on their own if this lasts.
    pub(crate) fn is_pending(&self) -> bool {
        self.unannounced.as_ref().is_some_and(|unannounced| unannounced.nodes_notified_at.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users<const N: usize>(ids: [&str; N]) -> BTreeSet<UserId> {
        ids.into_iter().map(|id| UserId::parse(id).unwrap()).collect()
    }

    #[test]
    fn later_publish_does_not_replace_missed_users() {
        let mut written = Written { at: Instant::now(), unannounced: None };
        written.not_announced(4, users(["bob"]));
        written.announced(5, &users([]));
        let unannounced = |head, users| Some(Unannounced { head, users, nodes_notified_at: None });
        assert_eq!(written.unannounced, unannounced(4, users(["bob"])));
        written.not_announced(6, users(["carol"]));
        written.announced(5, &users(["bob", "carol"]));
        assert_eq!(written.unannounced, unannounced(6, users([])), "of an older head");
        written.announced(6, &users([]));
        assert_eq!(written.unannounced, None);
    }

    /// A node that has just started is not known to all others.
    #[tokio::test(start_paused = true)]
    async fn known_nodes_are_notified_twice() {
        let mut written = Written { at: Instant::now(), unannounced: None };
        written.told_known_nodes(4, users(["bob"]));
        assert!(written.unannounced.is_some() && !written.is_pending());
        written.told_known_nodes(5, users([]));
        tokio::time::advance(NODES_KNOWN_AFTER / 2).await;
        written.told_known_nodes(5, users(["bob"]));
        assert!(written.unannounced.is_some(), "too soon");
        tokio::time::advance(NODES_KNOWN_AFTER / 2).await;
        written.told_known_nodes(6, users([]));
        assert!(written.unannounced.is_some(), "of a newer head");
        tokio::time::advance(NODES_KNOWN_AFTER).await;
        written.told_known_nodes(6, users(["bob"]));
        assert_eq!(written.unannounced, None);
    }
}
