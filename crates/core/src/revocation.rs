use crate::ids::UserId;
use crate::limits::MAX_TOKEN_ID_BYTES;

/// Tokens that were revoked before they expired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revocation {
    /// One token, by its `jti`.
    Token(TokenId),
    /// All tokens of a user that were issued up to this second since the Unix epoch, and those without an
    /// issue time.
    User(UserId, u64),
    /// Likewise for all users.
    Everyone(u64),
    /// A user's sessions end, and whether they may do anything is read again: their state has changed.
    Ended(UserId),
}

/// A revocation, and how long what was opened with the tokens may last; or that one is lifted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevocationEntry {
    /// What is revoked.
    pub revocation: Revocation,
    /// Open sessions last until this second since the Unix epoch, in which they may send another token. `None`: they
    /// end at once.
    pub sessions_until: Option<u64>,
    /// The second since the Unix epoch in which it was made; `None` in entries of older versions.
    pub at: Option<u64>,
    /// Whether this takes all earlier revocations of the same token, the same user, or everyone back. Its `revocation` is
    /// the last of them, which a version that cannot lift any takes it for.
    pub lifts: bool,
}

impl RevocationEntry {
    /// The last second in which a token that it refuses was issued; `None` if that is not known, or if it refuses none.
    pub fn issued_until(&self) -> Option<u64> {
        match &self.revocation {
            Revocation::Token(_) => self.at,
            Revocation::User(_, until) | Revocation::Everyone(until) => Some(*until),
            Revocation::Ended(_) => None,
        }
    }
}

impl From<Revocation> for RevocationEntry {
    fn from(revocation: Revocation) -> Self {
        Self { revocation, sessions_until: None, at: None, lifts: false }
    }
}

impl Revocation {
    /// The user whose state has changed.
    pub fn ended(&self) -> Option<&UserId> {
        match self {
            Self::Ended(user) => Some(user),
            _ => None,
        }
    }
}

/// The `jti` of a token.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenId(Box<str>);

impl TokenId {
    /// Parses a token id; `None` if it is empty or too long.
    pub fn parse(id: &str) -> Option<Self> {
        (1..=MAX_TOKEN_ID_BYTES).contains(&id.len()).then(|| Self(id.into()))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
