use parlance_core::{Cursors, Mark, Member, Timestamp};

/// What a user has set for one of their rooms, as stored. Each value names where the room was when it was set, so that it
/// ends with the membership, and needs no write when that does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Preferences {
    /// The room's mark when it was hidden, without the count of deleted messages; the default if it is not.
    pub hidden: Mark,
    /// The seq of the room's head when it was pinned; 0 if it is not.
    pub pinned_at: u64,
    /// The seq of the room's head when it was muted; 0 if it is not.
    pub muted_at: u64,
    /// When muting ends; 0 if it does not end by itself.
    pub muted_until: Timestamp,
    /// One more than the seq of the read mark when the room was marked as unread; 0 if it is not.
    pub unread_at: u64,
}

/// A change of preferences: `None` leaves a setting unchanged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PreferencesChange {
    /// See [`Preferences::hidden`].
    pub hidden: Option<Mark>,
    /// See [`Preferences::pinned_at`].
    pub pinned_at: Option<u64>,
    /// See [`Preferences::muted_at`] and [`Preferences::muted_until`].
    pub muted: Option<(u64, Timestamp)>,
    /// See [`Preferences::unread_at`].
    pub unread_at: Option<u64>,
}

impl PreferencesChange {
    /// The preferences after the change.
    #[must_use]
    pub fn apply(self, before: Preferences) -> Preferences {
        let (muted_at, muted_until) = self.muted.unwrap_or((before.muted_at, before.muted_until));
        let hidden = self.hidden.map(|hidden| Mark { deleted_count: 0, ..hidden });
        Preferences {
            hidden: hidden.unwrap_or(before.hidden),
            pinned_at: self.pinned_at.unwrap_or(before.pinned_at),
            muted_at,
            muted_until,
            unread_at: self.unread_at.unwrap_or(before.unread_at),
        }
    }
}

impl Preferences {
    /// Whether `member` has pinned the room since they joined.
    pub fn is_pinned(&self, member: &Member) -> bool {
        self.pinned_at >= member.changed_at().max(1)
    }

    /// Until when the room is muted, if `member` has muted it since they joined and that is not over at `now`.
    /// `Timestamp(0)`: it does not end by itself.
    pub fn muted(&self, member: &Member, now: Timestamp) -> Option<Timestamp> {
        let is_over = self.muted_until.0 > 0 && self.muted_until <= now;
        (self.muted_at >= member.changed_at().max(1) && !is_over).then_some(self.muted_until)
    }

    /// Whether the room is marked as unread: until the read mark moves.
    pub fn is_marked_unread(&self, cursors: &Cursors) -> bool {
        self.unread_at == cursors.read.seq + 1
    }
}
