use crate::{Member, Reason, Timestamp};

/// A user asks to become a member of a room, or was rejected, or has withdrawn that. Their note is in their own list: see
/// [`Listed`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinRequest {
    /// When they asked.
    pub at: Timestamp,
    /// When the request expires; once it has ended, when they may ask again in any case.
    pub until: Timestamp,
    /// The event.
    pub seq: u64,
    /// How it ended; `None` while it waits.
    pub ended: Option<RequestEnd>,
    /// How often the user has withdrawn a request to the room lately.
    pub withdrawals: u32,
}

/// How a request to join ended without an approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestEnd {
    /// By somebody who answers.
    Rejected,
    /// By the user.
    Withdrawn,
}

impl JoinRequest {
    /// Whether it still stands at `at`, waiting or rejected, for its user, whose row in the room is `row`. Versions without
    /// requests end none by adding somebody.
    pub fn stands_for(&self, row: Option<&Member>, at: Timestamp) -> bool {
        let is_over = self.ended == Some(RequestEnd::Withdrawn) || at >= self.until;
        !is_over && row.is_none_or(|row| self.seq > row.changed_at())
    }

    /// Whether it waits for an answer at `at`.
    pub fn is_open_at(&self, at: Timestamp) -> bool {
        self.ended.is_none() && at < self.until
    }

    /// Whether it was rejected.
    pub fn is_rejected(&self) -> bool {
        self.ended == Some(RequestEnd::Rejected)
    }
}

/// A room in the list of a user who was invited to it, or asks to join it. The room decides whether they still are; the
/// list says where to look, and has what no one else needs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listed {
    /// The event that invited them last, or by which they asked.
    pub seq: u64,
    /// What the user wrote to those who answer, while their request of that event waits.
    pub note: Reason,
}
