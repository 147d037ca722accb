use std::net::IpAddr;
use std::time::Duration;

use crate::ids::UserId;
use crate::limits::{CLOCK_SKEW, FOR_EVER};
use crate::time::Timestamp;

/// Who is calling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The subject of the token.
    pub user: UserId,
    /// Acts for the app's own backend: may create, list and change users.
    pub is_service: bool,
    /// Where the call comes from, if the listener knows.
    pub client: Option<IpAddr>,
    /// When the token ends, seconds since the Unix epoch.
    pub expires_at: u64,
}

impl Caller {
    /// How long the token still holds, from `now` on; for one that never ends, ten years.
    pub fn remaining(&self, now: Timestamp) -> Duration {
        let end = Duration::from_secs(self.expires_at.saturating_add(CLOCK_SKEW));
        end.saturating_sub(Duration::from_millis(now.0)).min(FOR_EVER)
    }
}
