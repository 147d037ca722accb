//! For how long tokens have been accepted, by what all nodes on a store were ever started with.

use serde_json::{Value, json};

use crate::StoreError;
use crate::record::damaged;

/// Times that only grow: what was revoked must not be accepted again by a node that accepts tokens for longer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TokenLives {
    /// The longest time that a token was accepted after its issue where that was limited, seconds.
    pub longest: u64,
    /// Tokens that were issued up to this second since the Unix epoch may be accepted for good: nodes had no limit.
    pub unlimited_until: u64,
}

impl TokenLives {
    /// The longer ones of both.
    pub fn max(self, other: Self) -> Self {
        let Self { longest, unlimited_until } = self;
        Self {
            longest: longest.max(other.longest),
            unlimited_until: unlimited_until.max(other.unlimited_until),
        }
    }

    /// Whether every token that was issued up to this second has expired.
    pub fn are_over(self, issued_until: u64, now: u64) -> bool {
        issued_until > self.unlimited_until && issued_until.saturating_add(self.longest) < now
    }

    /// The stored form: JSON.
    pub(crate) fn encode(self) -> String {
        json!({"longest": self.longest, "unlimited_until": self.unlimited_until}).to_string()
    }

    pub(crate) fn decode(text: &str) -> Result<Self, StoreError> {
        let read = || {
            let json: Value = serde_json::from_str(text).ok()?;
            let time = |name: &str| json.get(name)?.as_u64();
            Some(Self { longest: time("longest")?, unlimited_until: time("unlimited_until")? })
        };
        read().ok_or_else(|| damaged("the lives of tokens", "the revoked tokens"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lives_are_read_as_they_were_written_and_only_grow() {
        let lives = TokenLives { longest: 3_600, unlimited_until: 7 };
        assert_eq!(lives.encode(), r#"{"longest":3600,"unlimited_until":7}"#);
        assert_eq!(TokenLives::decode(&lives.encode()), Ok(lives));
        for wrong in ["", "{}", r#"{"longest":-1,"unlimited_until":7}"#, r#"{"longest":1}"#] {
            assert!(TokenLives::decode(wrong).is_err(), "{wrong}");
        }
        let other = TokenLives { longest: 1, unlimited_until: 9 };
        assert_eq!(lives.max(other), TokenLives { longest: 3_600, unlimited_until: 9 });
        assert_eq!(
            [(7, 9_999), (8, 3_608), (8, 3_609)].map(|(issued, now)| lives.are_over(issued, now)),
            [false, false, true]
        );
    }
}
