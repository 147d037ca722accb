//! Revoked tokens: revoked by operators, kept in the store, read by every node.

#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use futures::FutureExt;
use futures::future::BoxFuture;
use parlance_api::EndSessions;
use parlance_api::identity::Revocations;
use parlance_core::{Clock as _, Revocation, RevocationEntry, SystemClock, Timestamp, TokenId, UserId};
use parlance_store::StoreError;
use parlance_store::revocations::{RevocationList, TokenLives};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::time::{MissedTickBehavior, interval};

use crate::admin::consumers::is_json;
use crate::limits::{
    CHANGES_KEPT, ISSUED_AHEAD, MAX_GRACE, MAX_REVOCATION_ORDER, REVOCATIONS_LOOK_EVERY, REVOCATIONS_PAGE,
    REVOCATIONS_TRIMMED_EVERY, UNLIMITED_AHEAD,
};

/// Follows the store's list of revocations.
pub(crate) struct Revoking {
    list: Arc<dyn RevocationList>,
    revocations: Arc<Revocations>,
    read: Mutex<Read>,
    /// The place up to which the list was read first, and when.
    begun: OnceLock<Read>,
    /// How long other nodes may take to read an entry. Zero: there are none.
    longest: Duration,
    /// For how long after its issue a token may be accepted, seconds, if there is a limit.
    tokens_last: Option<u64>,
}

/// Up to which place the list was read, and in which second.
#[derive(Debug, Clone, Copy, Default)]
struct Read {
    place: u64,
    at: u64,
}

impl Revoking {
    pub(crate) fn new(
        list: Arc<dyn RevocationList>,
        revocations: Arc<Revocations>,
        longest: Duration,
        tokens_last: Option<u64>,
    ) -> Arc<Self> {
        metrics::describe_counter!(
            "parlance_revoked_streams_total",
            "sessions ended since their token was revoked, or told that they end after a grace"
        );
        Arc::new(Self {
            list,
            revocations,
            read: Mutex::default(),
            begun: OnceLock::new(),
            longest,
            tokens_last,
        })
    }

    /// Reads new entries.
    pub(crate) async fn catch_up(&self) -> Result<(), StoreError> {
        self.catch_up_at(seconds(SystemClock.now())).await
    }

    async fn catch_up_at(&self, now: u64) -> Result<(), StoreError> {
        let mut read = self.read.lock().await;
        loop {
            let (found, last) = self.list.revoked_after(read.place, REVOCATIONS_PAGE).await?;
            let ended = self.revocations.apply(&found, Timestamp(now * 1_000));
            count(ended);
            read.place = last;
            if found.len() < REVOCATIONS_PAGE {
                break;
            }
        }
        // Whose state has changed may have been removed unread.
        if read.at != 0 && now.saturating_sub(read.at) > CHANGES_KEPT.as_secs() / 2 {
            tracing::warn!("the revoked tokens could not be read for long, all sessions begin anew");
            count(self.revocations.end_all());
        }
        read.at = now;
        self.begun.get_or_init(|| *read);
        Ok(())
    }

    /// Records for how long this node accepts tokens: before it accepts any, so that no other node removes revocations
    /// of tokens that are valid here.
    pub(crate) async fn record_lives(&self) -> Result<TokenLives, StoreError> {
        self.record_lives_at(seconds(SystemClock.now())).await
    }

    async fn record_lives_at(&self, now: u64) -> Result<TokenLives, StoreError> {
        let unlimited = TokenLives { longest: 0, unlimited_until: now + UNLIMITED_AHEAD.as_secs() };
        let own = match self.tokens_last {
            Some(longest) => TokenLives { longest, unlimited_until: 0 },
            None => unlimited,
        };
        // If nothing was recorded, what is in the list is from a version that had any limit or none.
        let is_new = self.begun.get().is_none_or(|begun| begun.place == 0);
        self.list.record_lives(own, if is_new { TokenLives::default() } else { unlimited }).await
    }

    /// Removes entries that mean nothing any more: tokens that have expired, and changes of users' states that all nodes
    /// know of.
    pub(crate) async fn trim(&self) -> Result<(), StoreError> {
        self.trim_at(seconds(SystemClock.now())).await
    }

    async fn trim_at(&self, now: u64) -> Result<(), StoreError> {
        if let Some(last) = self.tokens_last {
            self.revocations.forget(now.saturating_sub(last));
        }
        let lives = self.record_lives_at(now).await?;
        let begun = self.begun.get().copied().unwrap_or_default();
        let is_over = |place: u64, entry: &RevocationEntry| match entry.revocation {
            Revocation::Ended(_) if self.longest.is_zero() => true,
            // An entry without a time is at least as old as this process, if it was read at its start.
            Revocation::Ended(_) => {
                let at = entry.at.or((place <= begun.place).then_some(begun.at));
                at.is_some_and(|at| now.saturating_sub(at) > CHANGES_KEPT.as_secs())
            }
            // What lifts a revocation stays as long as any that it may lift.
            _ if self.tokens_last.is_none() || entry.lifts => false,
            _ => entry.issued_until().is_some_and(|issued| lives.are_over(issued, now)),
        };
        let removed = self.list.trim(&is_over).await?;
        if removed > 0 {
            tracing::info!(removed, "removed revocations that are over");
        }
        Ok(())
    }

    /// Reads repeatedly. Never returns.
    pub(crate) async fn follow(self: Arc<Self>) {
        let mut tick = interval(REVOCATIONS_LOOK_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut failed = false;
        loop {
            tick.tick().await;
            let result = self.catch_up().await;
            if let (Err(error), false) = (&result, failed) {
                tracing::warn!(%error, "cannot read the revoked tokens, retrying");
            }
            failed = result.is_err();
        }
    }

    /// Trims repeatedly. Never returns.
    pub(crate) async fn keep_trimmed(self: Arc<Self>) {
        let mut tick = interval(REVOCATIONS_TRIMMED_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            if let Err(error) = self.trim().await {
                tracing::warn!(%error, "cannot remove revocations that are over, retrying later");
            }
        }
    }

    /// Revokes, or lifts. Returns false if there is nothing to lift.
    async fn revoke(&self, mut entry: RevocationEntry) -> Result<bool, StoreError> {
        if entry.lifts {
            self.catch_up().await?;
            let Some(last) = self.revocations.find(&entry.revocation) else { return Ok(false) };
            entry.revocation = last;
        }
        self.list.revoke(&entry).await?;
        let RevocationEntry { revocation, sessions_until, lifts, .. } = &entry;
        tracing::info!(target: "parlance::audit", operation = "Revoke", ?revocation, sessions_until, lifts);
        self.catch_up().await?;
        Ok(true)
    }
}

fn seconds(at: Timestamp) -> u64 {
    at.0 / 1_000
}

fn count(ended: usize) {
    metrics::counter!("parlance_revoked_streams_total").increment(ended as u64);
}

impl EndSessions for Revoking {
    fn end<'a>(&'a self, user: &'a UserId) -> BoxFuture<'a, Result<(), StoreError>> {
        async move {
            if self.longest.is_zero() {
                return Ok(());
            }
            let at = Some(seconds(SystemClock.now()));
            let revocation = Revocation::Ended(user.clone());
            self.list.revoke(&RevocationEntry { at, ..revocation.into() }).await?;
            // So that a session that is opened after a reactivation is not ended for it.
            self.catch_up().await
        }
        .boxed()
    }

    fn longest(&self) -> Duration {
        self.longest
    }
}

/// An operator's request: exactly one of the first three.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Order {
    /// The `jti` of a token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token_id: Option<String>,
    /// All tokens of a user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user_id: Option<String>,
    /// All tokens of everyone.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) everyone: bool,
    /// Tokens issued up to this second. Default: now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) issued_until: Option<u64>,
    /// How long open sessions may last, to send another token. Default: they end at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) grace_seconds: Option<u64>,
    /// Takes earlier revocations of the same back instead.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) lift: bool,
}

impl Order {
    /// What to store at this second.
    pub(crate) fn entry(&self, now: u64) -> Result<RevocationEntry, String> {
        let grace = self.grace_seconds.filter(|seconds| *seconds > 0);
        if grace.is_some_and(|seconds| seconds > MAX_GRACE.as_secs()) {
            return Err(format!("grace_seconds: must be at most {}", MAX_GRACE.as_secs()));
        }
        if self.lift && (grace.is_some() || self.issued_until.is_some()) {
            return Err("lift: goes with neither issued_until nor grace_seconds".into());
        }
        // This second is partly over.
        let sessions_until = grace.map(|seconds| now + seconds + 1);
        let revocation = self.revocation(now)?;
        Ok(RevocationEntry { revocation, sessions_until, at: Some(now), lifts: self.lift })
    }

    fn revocation(&self, now: u64) -> Result<Revocation, String> {
        let until = self.issued_until.unwrap_or(now);
        // Milliseconds, for example, would refuse all tokens for good.
        if until > now + ISSUED_AHEAD.as_secs() {
            return Err("issued_until: more than a day ahead; are these seconds?".into());
        }
        match (&self.token_id, &self.user_id, self.everyone, self.issued_until) {
            (Some(id), None, false, None) => {
                let token = TokenId::parse(id).ok_or("token_id: must have 1 to 256 bytes")?;
                Ok(Revocation::Token(token))
            }
            (None, Some(user), false, _) => {
                let user = UserId::parse(user).map_err(|error| format!("user_id: {error}"))?;
                Ok(Revocation::User(user, until))
            }
            (None, None, true, _) => Ok(Revocation::Everyone(until)),
            _ => {
                Err("give one of token_id, user_id and everyone; issued_until goes with the last two".into())
            }
        }
    }
}

/// `POST /revocations`, for operators.
pub(crate) fn routes(revoking: Arc<Revoking>) -> Router {
    Router::new()
        .route("/revocations", post(revoke))
        .layer(DefaultBodyLimit::max(MAX_REVOCATION_ORDER))
        .with_state(revoking)
}

async fn revoke(State(revoking): State<Arc<Revoking>>, headers: HeaderMap, body: Bytes) -> Response {
    // Other content types a web page in an operator's browser can post without a preflight request.
    if !is_json(&headers) || headers.contains_key(header::ORIGIN) {
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, "want application/json, and not of a page\n")
            .into_response();
    }
    let order = serde_json::from_slice::<Order>(&body).map_err(|error| error.to_string());
    let entry = match order.and_then(|order| order.entry(SystemClock.now().0 / 1_000)) {
        Ok(entry) => entry,
        Err(problem) => return (StatusCode::BAD_REQUEST, format!("{problem}\n")).into_response(),
    };
    let is_more = !entry.lifts && !matches!(entry.revocation, Revocation::Everyone(_));
    if is_more && revoking.revocations.is_full() {
        let message = "too many are revoked: give the issuer another key instead\n";
        return (StatusCode::INSUFFICIENT_STORAGE, message).into_response();
    }
    let done = if entry.lifts { "lifted\n" } else { "revoked\n" };
    match revoking.revoke(entry).await {
        Ok(true) => (StatusCode::OK, done).into_response(),
        Ok(false) => (StatusCode::NOT_FOUND, "nothing of this is revoked\n").into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
    }
}
