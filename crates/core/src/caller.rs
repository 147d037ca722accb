use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::ids::UserId;
use crate::limits::FOR_EVER;
use crate::revocation::TokenId;
use crate::room::Authority;
use crate::time::Timestamp;
use crate::{ImageUrl, Name};

/// The authenticated caller of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The subject of the token, or the user that the app acts as.
    pub user: UserId,
    /// Whether this is the app's own backend, which acts in all rooms and for all users.
    pub is_service: bool,
    /// Whether the backend may also moderate.
    pub is_admin: bool,
    /// The app's own backend when it acts as `user`, with that user's rights only.
    pub service: Option<UserId>,
    /// The client's address, if the listener knows it.
    pub client: Option<IpAddr>,
    /// Expiry of the token, seconds since the Unix epoch, with the allowed clock skew added.
    pub expires_at: u64,
    /// The token's `jti`, if it has one.
    pub token: Option<Arc<TokenId>>,
    /// When the token was issued, seconds since the Unix epoch, if it says so.
    pub issued_at: Option<u64>,
    /// The profile that the token names, if profiles are taken from there.
    pub profile: Option<Arc<ClaimedProfile>>,
}

/// A user's profile as the issuer of their token has it; `None` for what the token does not say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClaimedProfile {
    /// The display name.
    pub name: Option<Name>,
    /// URL of a picture; empty for none.
    pub image: Option<ImageUrl>,
}

impl Caller {
    /// Whether the app's own backend calls, for itself or as a user.
    pub fn is_app(&self) -> bool {
        self.is_service || self.service.is_some()
    }

    /// The subject of the token, which is responsible for the call even when it acts as somebody else.
    pub fn subject(&self) -> &UserId {
        self.service.as_ref().unwrap_or(&self.user)
    }

    /// The same call made as `user`, with that user's rights.
    #[must_use]
    pub fn acting_as(self, user: UserId) -> Self {
        let service = Some(self.user);
        Self { user, is_service: false, is_admin: false, service, profile: None, ..self }
    }

    /// The authority with which the call changes rooms.
    pub fn authority(&self) -> Authority {
        match &self.service {
            Some(service) => Authority::OnBehalf { service: service.clone() },
            None if self.is_service => Authority::App { moderates: self.is_admin },
            None => Authority::Member,
        }
    }

    /// Time from `now` until the token expires; ten years if it never does.
    pub fn remaining(&self, now: Timestamp) -> Duration {
        let end = Duration::from_secs(self.expires_at);
        end.saturating_sub(Duration::from_millis(now.0)).min(FOR_EVER)
    }
}
