use std::collections::BTreeMap;

use crate::{Member, Timestamp, UserId};

/// Someone may become a member of a room, if they accept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// Who invited them.
    pub by: UserId,
    /// When.
    pub at: Timestamp,
    /// When it expires.
    pub until: Timestamp,
    /// The event.
    pub seq: u64,
}

impl Invitation {
    /// Whether it can be accepted at `at`.
    pub fn is_open_at(&self, at: Timestamp) -> bool {
        at < self.until
    }

    /// Whether it can be accepted at `at` by its user, whose row in the room is `row`. Versions without invitations end
    /// none by adding or removing somebody.
    pub fn is_open_for(&self, row: Option<&Member>, at: Timestamp) -> bool {
        self.is_open_at(at) && row.is_none_or(|row| self.seq > row.changed_at())
    }
}

/// The invitations to one room that were neither accepted nor ended. Expired ones may be among them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Invitations {
    changed: u64,
    of: BTreeMap<UserId, Invitation>,
}

impl Invitations {
    /// The invitations as of the event at `changed`, which changed them last.
    pub fn new(changed: u64, of: BTreeMap<UserId, Invitation>) -> Self {
        Self { changed, of }
    }

    /// Seq of the event that changed them last; 0 if none did.
    pub fn changed_at(&self) -> u64 {
        self.changed
    }

    /// The invitation of `user`, even if it has expired.
    pub fn get(&self, user: &UserId) -> Option<&Invitation> {
        self.of.get(user)
    }

    /// All of them, by ascending id of who is invited.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&UserId, &Invitation)> {
        self.of.iter()
    }

    /// Those that can be accepted at `at`, by ascending id of who is invited.
    pub fn open_at(&self, at: Timestamp) -> impl Iterator<Item = (&UserId, &Invitation)> {
        self.of.iter().filter(move |(_, invitation)| invitation.is_open_at(at))
    }

    /// The number of them, including expired ones.
    pub fn len(&self) -> usize {
        self.of.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    /// Adds or replaces an invitation, and drops those that had expired when it was made.
    pub(crate) fn invite(&mut self, user: UserId, invitation: Invitation) {
        self.changed = invitation.seq;
        self.of.retain(|_, other| other.is_open_at(invitation.at));
        self.of.insert(user, invitation);
    }

    /// Ends the invitation of `user`, if there is one, by the event at `seq`.
    pub(crate) fn end(&mut self, user: &UserId, seq: u64) {
        if self.of.remove(user).is_some() {
            self.changed = seq;
        }
    }

    /// Ends all of them by the event at `seq`.
    pub(crate) fn end_all(&mut self, seq: u64) {
        (self.changed, self.of) = (seq, BTreeMap::new());
    }
}
