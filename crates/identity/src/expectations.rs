//! What is expected of a token besides its signature.

use parlance_core::limits::CLOCK_SKEW;

use crate::problem::TokenProblem;

/// Requirements on a token besides its signature.
#[derive(Debug, Clone)]
pub struct Expectations {
    /// The required audience.
    pub audience: Option<String>,
    /// The required issuer, compared byte by byte.
    pub issuer: Option<String>,
    /// Allowed clock skew, seconds.
    pub skew: u64,
    /// Longest time from issue to expiry, seconds; `None`: any.
    pub max_lifetime: Option<u64>,
    /// The claim with scopes, in addition to `scope` and `scp`: a name, or a dotted path into
    /// nested claims.
    pub scope_claim: Option<String>,
    /// Whether users have the name and the picture that their token names.
    pub profile: bool,
}

impl Default for Expectations {
    fn default() -> Self {
        let (audience, issuer, max_lifetime, scope_claim) = (None, None, None, None);
        Self { audience, issuer, skew: CLOCK_SKEW, max_lifetime, scope_claim, profile: false }
    }
}

impl Expectations {
    /// Tokens are revoked by the time at which they were issued, so none may have been issued later than now. Revocations
    /// are kept for the longest life of a token, so none may live longer.
    pub(crate) fn check_lifetime(
        &self,
        issued: Option<u64>,
        expires: u64,
        now: u64,
    ) -> Result<(), TokenProblem> {
        if issued.is_some_and(|issued| issued > now.saturating_add(self.skew)) {
            return Err(TokenProblem::NotIssued);
        }
        let Some(most) = self.max_lifetime else { return Ok(()) };
        let issued = issued.ok_or(TokenProblem::Missing("iat"))?;
        if expires.saturating_sub(issued) > most { Err(TokenProblem::LivesLong(most)) } else { Ok(()) }
    }
}
