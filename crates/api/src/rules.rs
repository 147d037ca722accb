//! What users may do with profiles, and who sees them.

/// Who sees profiles or presence, besides the app's own backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShownTo {
    /// Every user.
    Everyone,
    /// Those who share a room: profiles with whom they read in the history, presence with present members.
    SharedRooms,
}

/// What users may do with profiles, and who sees these and who is online.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProfileRules {
    /// Whether all users search others by name. Otherwise only the app does, and everyone in local mode if profiles are
    /// shown to everyone.
    pub all_search: bool,
    /// Whether users change their own name and picture. Otherwise only the app does.
    pub own_changes: bool,
    /// Who sees profiles. With `all_search`, everyone does.
    pub profiles: ShownTo,
    /// Who sees whether a user is online.
    pub presence: ShownTo,
}

impl ProfileRules {
    /// Whether everyone sees profiles.
    pub(crate) fn are_open(&self) -> bool {
        self.all_search || self.profiles == ShownTo::Everyone
    }
}

impl Default for ProfileRules {
    /// As in local mode.
    fn default() -> Self {
        let everyone = ShownTo::Everyone;
        Self { all_search: false, own_changes: true, profiles: everyone, presence: everyone }
    }
}
