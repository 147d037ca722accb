//! Revoked tokens, shared by all nodes on a store: a list with numbered places that is appended to. What means nothing
//! any more is removed from it.

use async_trait::async_trait;
use parlance_core::{Revocation, RevocationEntry, TokenId, UserId};
use serde_json::{Value, json};

pub use crate::token_lives::TokenLives;

use crate::StoreError;
use crate::record::damaged;

/// The list of revocations.
#[async_trait]
pub trait RevocationList: Send + Sync + 'static {
    /// Appends to the list. Durable once it returns.
    async fn revoke(&self, entry: &RevocationEntry) -> Result<(), StoreError>;

    /// Up to `limit` entries after `place`, with the place of the last one. Places start at 1.
    async fn revoked_after(
        &self,
        place: u64,
        limit: usize,
    ) -> Result<(Vec<RevocationEntry>, u64), StoreError>;

    /// Removes entries that are over, by their place, or some of them. Returns how many. A reader who continues after a
    /// place misses none of those that are left, and may read some again.
    async fn trim(&self, is_over: &IsOver<'_>) -> Result<usize, StoreError>;

    /// Records for how long tokens are accepted by a node, durably. Returns the longest of all times that were recorded;
    /// where none were, by versions that recorded none, as if `before` had been.
    async fn record_lives(&self, lives: TokenLives, before: TokenLives) -> Result<TokenLives, StoreError>;
}

/// Whether the entry at a place is over.
pub type IsOver<'a> = dyn Fn(u64, &RevocationEntry) -> bool + Send + Sync + 'a;

/// The stored form: JSON on one line. Versions that do not know `sessions_until` end sessions at once; those that do not
/// know `at` keep entries; those that do not know `lifted` go on refusing.
pub(crate) fn encode(entry: &RevocationEntry) -> String {
    let mut json = match &entry.revocation {
        Revocation::Token(token) => json!({"token": token.as_str()}),
        Revocation::User(user, until) => json!({"user": user.as_str(), "issued_until": until}),
        Revocation::Everyone(until) => json!({"issued_until": until}),
        Revocation::Ended(user) => json!({"ended": user.as_str()}),
    };
    if let Some(until) = entry.sessions_until {
        json["sessions_until"] = until.into();
    }
    if let Some(at) = entry.at {
        json["at"] = at.into();
    }
    if entry.lifts {
        json["lifted"] = true.into();
    }
    json.to_string()
}

pub(crate) fn decode(text: &str) -> Result<RevocationEntry, StoreError> {
    let what = |json: &Value| {
        if let Some(token) = json.get("token") {
            return TokenId::parse(token.as_str()?).map(Revocation::Token);
        }
        if let Some(user) = json.get("ended") {
            return UserId::parse(user.as_str()?).ok().map(Revocation::Ended);
        }
        let until = json.get("issued_until")?.as_u64()?;
        match json.get("user") {
            Some(user) => Some(Revocation::User(UserId::parse(user.as_str()?).ok()?, until)),
            None => Some(Revocation::Everyone(until)),
        }
    };
    let read = || {
        let json: Value = serde_json::from_str(text).ok()?;
        let time = |name: &str| match json.get(name) {
            Some(time) => time.as_u64().map(Some),
            None => Some(None),
        };
        let (sessions_until, at) = (time("sessions_until")?, time("at")?);
        let lifts = json.get("lifted").map_or(Some(false), Value::as_bool)?;
        Some(RevocationEntry { revocation: what(&json)?, sessions_until, at, lifts })
    };
    read().ok_or_else(|| damaged("an entry", "the revoked tokens"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_as_they_were_written() {
        for (entry, text) in [
            (Revocation::Token(TokenId::parse("a\n\"").unwrap()), r#"{"token":"a\n\""}"#),
            (Revocation::User(UserId::parse("alice").unwrap(), 5), r#"{"issued_until":5,"user":"alice"}"#),
            (Revocation::Everyone(6), r#"{"issued_until":6}"#),
            (Revocation::Ended(UserId::parse("alice").unwrap()), r#"{"ended":"alice"}"#),
        ] {
            let entry = RevocationEntry::from(entry);
            assert_eq!(encode(&entry), text);
            assert_eq!(decode(text), Ok(entry));
        }
        let with_times = RevocationEntry {
            sessions_until: Some(9),
            at: Some(7),
            ..RevocationEntry::from(Revocation::Everyone(6))
        };
        assert_eq!(encode(&with_times), r#"{"at":7,"issued_until":6,"sessions_until":9}"#);
        assert_eq!(decode(&encode(&with_times)), Ok(with_times));
        let lifted = RevocationEntry { lifts: true, ..RevocationEntry::from(Revocation::Everyone(6)) };
        assert_eq!(encode(&lifted), r#"{"issued_until":6,"lifted":true}"#);
        assert_eq!(decode(&encode(&lifted)), Ok(lifted));
        // An entry that is not understood must be an error, or a revocation would be ignored.
        for wrong in [
            "",
            "{}",
            r#"{"device":"x"}"#,
            r#"{"user":"alice"}"#,
            r#"{"token":""}"#,
            r#"{"token":"a","sessions_until":-1}"#,
            r#"{"token":"a","at":"x"}"#,
            r#"{"token":"a","lifted":1}"#,
        ] {
            assert!(decode(wrong).is_err(), "{wrong}");
        }
    }
}
