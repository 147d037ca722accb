use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::ids::UserId;
use crate::limits::FOR_EVER;
use crate::revocation::TokenId;
use crate::room::Authority;
use crate::time::Timestamp;

/// Who is calling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The subject of the token, or whom it acts as.
    pub user: UserId,
    /// Acts for the app's own backend, in all rooms and for all users.
    pub is_service: bool,
    /// And moderates.
    pub is_admin: bool,
    /// The app's own backend, where it acts as `user`: with the rights of that user, and no others.
    pub service: Option<UserId>,
    /// Where the call comes from, if the listener knows.
    pub client: Option<IpAddr>,
    /// When the token ends, seconds since the Unix epoch, with what is granted for clocks that differ.
    pub expires_at: u64,
    /// The token's own id, if it has one.
    pub token: Option<Arc<TokenId>>,
    /// When it was issued, seconds since the Unix epoch, if it says so.
    pub issued_at: Option<u64>,
}

impl Caller {
    /// Whether the app's own backend calls, for itself or as a user.
    pub fn is_app(&self) -> bool {
        self.is_service || self.service.is_some()
    }

    /// The subject of the token: who answers for the call, whomever it acts as.
    pub fn subject(&self) -> &UserId {
        self.service.as_ref().unwrap_or(&self.user)
    }

    /// The same call made as `user`, whose rights it has.
    #[must_use]
    pub fn acting_as(self, user: UserId) -> Self {
        Self { user, is_service: false, is_admin: false, service: Some(self.user), ..self }
    }

    /// By what right the call changes rooms.
    pub fn authority(&self) -> Authority {
        match &self.service {
            Some(service) => Authority::OnBehalf { service: service.clone() },
            None if self.is_service => Authority::App { moderates: self.is_admin },
            None => Authority::Member,
        }
    }

    /// How long the token still holds, from `now` on; for one that never ends, ten years.
    pub fn remaining(&self, now: Timestamp) -> Duration {
        let end = Duration::from_secs(self.expires_at);
        end.saturating_sub(Duration::from_millis(now.0)).min(FOR_EVER)
    }
}
