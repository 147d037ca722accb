//! Revoked tokens: revoked by operators, kept in the store, read by every node.

use std::sync::Arc;

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
use parlance_core::{Clock as _, Revocation, SystemClock, TokenId, UserId};
use parlance_store::StoreError;
use parlance_store::revocations::RevocationList;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::time::{MissedTickBehavior, interval};

use crate::limits::{MAX_REVOCATION_ORDER, REVOCATIONS_LOOK_EVERY, REVOCATIONS_PAGE};

/// Follows the store's list of revocations.
pub(crate) struct Revoking {
    list: Arc<dyn RevocationList>,
    revocations: Arc<Revocations>,
    /// The place up to which the list was read.
    place: Mutex<u64>,
}

impl Revoking {
    pub(crate) fn new(list: Arc<dyn RevocationList>, revocations: Arc<Revocations>) -> Arc<Self> {
        metrics::describe_counter!(
            "parlance_revoked_streams_total",
            "sessions ended since their token was revoked"
        );
        Arc::new(Self { list, revocations, place: Mutex::default() })
    }

    /// Reads new entries.
    pub(crate) async fn catch_up(&self) -> Result<(), StoreError> {
        let mut place = self.place.lock().await;
        loop {
            let (found, last) = self.list.revoked_after(*place, REVOCATIONS_PAGE).await?;
            let ended = self.revocations.apply(&found);
            metrics::counter!("parlance_revoked_streams_total").increment(ended as u64);
            *place = last;
            if found.len() < REVOCATIONS_PAGE {
                return Ok(());
            }
        }
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

    async fn revoke(&self, revocation: &Revocation) -> Result<(), StoreError> {
        self.list.revoke(revocation).await?;
        tracing::info!(target: "parlance::audit", operation = "Revoke", ?revocation);
        self.catch_up().await
    }
}

impl EndSessions for Revoking {
    fn end<'a>(&'a self, user: &'a UserId) -> BoxFuture<'a, Result<(), StoreError>> {
        async move {
            self.list.revoke(&Revocation::Ended(user.clone())).await?;
            // So that a session that is opened after a reactivation is not ended for it.
            self.catch_up().await
        }
        .boxed()
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
}

impl Order {
    pub(crate) fn revocation(&self, now: u64) -> Result<Revocation, String> {
        let until = self.issued_until.unwrap_or(now);
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
    let kind = headers.get(header::CONTENT_TYPE).map(|kind| kind.as_bytes()).unwrap_or_default();
    // Other content types a web page in an operator's browser can post without a preflight request.
    if kind != b"application/json" || headers.contains_key(header::ORIGIN) {
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, "want application/json, and not of a page\n")
            .into_response();
    }
    let order = serde_json::from_slice::<Order>(&body).map_err(|error| error.to_string());
    let revocation = match order.and_then(|order| order.revocation(SystemClock.now().0 / 1_000)) {
        Ok(revocation) => revocation,
        Err(problem) => return (StatusCode::BAD_REQUEST, format!("{problem}\n")).into_response(),
    };
    if revoking.revocations.is_full() && !matches!(revocation, Revocation::Everyone(_)) {
        let message = "too many are revoked: give the issuer another key instead\n";
        return (StatusCode::INSUFFICIENT_STORAGE, message).into_response();
    }
    match revoking.revoke(&revocation).await {
        Ok(()) => (StatusCode::OK, "revoked\n").into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_names_one_thing() {
        let read = |json: &str| {
            let order = serde_json::from_str::<Order>(json).map_err(|error| error.to_string())?;
            order.revocation(100)
        };
        let alice = UserId::parse("alice").unwrap();
        assert_eq!(read(r#"{"user_id":"alice"}"#), Ok(Revocation::User(alice.clone(), 100)));
        assert_eq!(read(r#"{"user_id":"alice","issued_until":5}"#), Ok(Revocation::User(alice, 5)));
        assert_eq!(read(r#"{"everyone":true}"#), Ok(Revocation::Everyone(100)));
        assert!(read(r#"{"token_id":"t"}"#).is_ok());
        for wrong in [
            "{}",
            r#"{"user_id":"a/b"}"#,
            r#"{"token_id":""}"#,
            r#"{"token_id":"t","issued_until":5}"#,
            r#"{"token_id":"t","user_id":"alice"}"#,
            r#"{"user_id":"alice","everyone":true}"#,
            r#"{"user":"alice"}"#,
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
