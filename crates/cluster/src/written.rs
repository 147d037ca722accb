use std::collections::BTreeSet;

use parlance_core::UserId;
use tokio::time::Instant;

/// A room that was written here.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    pub(crate) at: Instant,
    /// What other nodes could not be told.
    pub(crate) untold: Option<Untold>,
}

/// Where a room is, as other nodes do not know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Untold {
    pub(crate) head: u64,
    /// Users whose membership may have changed. Later chunks are not published to removed users.
    pub(crate) users: BTreeSet<UserId>,
}

impl Written {
    /// Other nodes were told that the room is at `head`, and `users` of their membership.
    pub(crate) fn told(&mut self, head: u64, users: &BTreeSet<UserId>) {
        self.at = Instant::now();
        if let Some(untold) = &mut self.untold {
            untold.users.retain(|user| !users.contains(user));
            if untold.users.is_empty() && untold.head <= head {
                self.untold = None;
            }
        }
    }

    pub(crate) fn not_told(&mut self, head: u64, users: BTreeSet<UserId>) {
        self.at = Instant::now();
        let untold = self.untold.get_or_insert_default();
        untold.head = untold.head.max(head);
        untold.users.extend(users);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users<const N: usize>(ids: [&str; N]) -> BTreeSet<UserId> {
        ids.into_iter().map(|id| UserId::parse(id).unwrap()).collect()
    }

    #[test]
    fn what_is_told_later_does_not_make_up_for_users_who_were_not_told() {
        let mut written = Written { at: Instant::now(), untold: None };
        written.not_told(4, users(["bob"]));
        written.told(5, &users([]));
        assert_eq!(written.untold, Some(Untold { head: 4, users: users(["bob"]) }));
        written.not_told(6, users(["carol"]));
        written.told(5, &users(["bob", "carol"]));
        assert_eq!(written.untold, Some(Untold { head: 6, users: users([]) }), "of an older head");
        written.told(6, &users([]));
        assert_eq!(written.untold, None);
    }
}
