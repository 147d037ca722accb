use super::requests::Requests;
use crate::UserId;

/// A former member's requests up to the end of their membership, which the room itself no longer remembers.
#[derive(Debug, Clone)]
pub(super) struct Former {
    user: UserId,
    left: u64,
    pub(super) requests: Requests,
}

impl Former {
    pub(super) fn new(user: UserId, left: u64) -> Self {
        Self { user, left, requests: Requests::starting_at(left) }
    }

    pub(super) fn is_of(&self, user: &UserId, left: u64) -> bool {
        self.user == *user && self.left == left
    }
}
