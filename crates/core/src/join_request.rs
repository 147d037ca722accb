use crate::{Member, Reason, Timestamp};

/// A user asks to become a member of a room, or was rejected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinRequest {
    /// When they asked.
    pub at: Timestamp,
    /// When the request expires; once it was rejected, when they may ask again.
    pub until: Timestamp,
    /// The event.
    pub seq: u64,
    /// Whether it was rejected.
    pub rejected: bool,
    /// What the user wrote to those who answer; empty once it was rejected.
    pub note: Reason,
}

impl JoinRequest {
    /// Whether it still stands at `at`, waiting or rejected, for its user, whose row in the room is `row`. Versions without
    /// requests end none by adding somebody.
    pub fn stands_for(&self, row: Option<&Member>, at: Timestamp) -> bool {
        at < self.until && row.is_none_or(|row| self.seq > row.changed_at())
    }

    /// Whether it waits for an answer at `at`.
    pub fn is_open_at(&self, at: Timestamp) -> bool {
        !self.rejected && at < self.until
    }
}
