//! Verifies bearer tokens and derives the caller's permissions.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, TokenData, decode_header};
use parlance_core::{Caller, Timestamp, UserId};
use parlance_runtime::rate;
use ring::hmac;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::claims::{self, Rejected};
use crate::expectations::Expectations;
use crate::jwks::Jwks;
use crate::key::{Key, KeyError, VerifyingKey};
use crate::limits::{KEY_FINGERPRINT_BYTES, MAX_TOKEN_BYTES, REFUSED_TOKENS_LOGGED};
use crate::problem::TokenProblem;
use crate::provider;
use crate::revocations::Revocations;

/// Issuer of tokens that a server in local mode issues itself.
const LOCAL_ISSUER: &str = "parlance-local";

/// The claims of locally issued tokens.
#[derive(Serialize)]
struct OwnClaims<'c> {
    sub: &'c str,
    exp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    iat: Option<u64>,
    #[serde(skip_serializing_if = "str::is_empty")]
    scope: &'c str,
    iss: &'static str,
}

/// Why a caller is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No `authorization`.
    #[error("no bearer token")]
    Missing,
    /// The token has expired.
    #[error("the token has expired")]
    Expired,
    /// The token was revoked.
    #[error("the token was revoked")]
    Revoked,
    /// The issuer's keys are not known yet.
    #[error("the keys of the tokens' issuer cannot be fetched")]
    KeysAway,
    /// Not a token that this server accepts.
    #[error("the token is not valid: {0}")]
    Invalid(TokenProblem),
}

/// Verifies tokens, and in local mode issues them.
pub struct Auth {
    /// The configured ones.
    keys: ArcSwap<Vec<VerifyingKey>>,
    /// Fingerprints of all that were configured since the start.
    fingerprints: RwLock<BTreeSet<String>>,
    jwks: Option<Arc<Jwks>>,
    expectations: Expectations,
    /// Log lines about refused tokens.
    refusals: rate::Shared,
    revocations: Arc<Revocations>,
    /// Set in local mode only.
    encoding: Option<EncodingKey>,
}

impl Auth {
    /// Verifies tokens of an external issuer with `keys` or with those that the issuer publishes.
    ///
    /// # Errors
    /// If a key is unusable.
    pub fn new(keys: &[Key], jwks: Option<Arc<Jwks>>, expectations: Expectations) -> Result<Self, KeyError> {
        provider::install();
        Ok(Self::with(read(keys)?, jwks, expectations, None))
    }

    /// Replaces the configured keys. Sessions that were opened with the earlier ones continue.
    ///
    /// # Errors
    /// If a key is unusable: nothing is replaced then.
    pub fn set_keys(&self, keys: &[Key]) -> Result<(), KeyError> {
        let keys = read(keys)?;
        self.remember(&keys);
        self.keys.store(Arc::new(keys));
        Ok(())
    }

    /// Local mode: issues and verifies tokens with this server's own `secret`.
    pub fn local(secret: &[u8]) -> Self {
        provider::install();
        let expectations = Expectations { issuer: Some(LOCAL_ISSUER.into()), ..Expectations::default() };
        let encoding = Some(EncodingKey::from_secret(secret));
        let key = VerifyingKey::new(None, DecodingKey::from_secret(secret), vec![Algorithm::HS256]);
        Self::with(vec![key], None, expectations, encoding)
    }

    fn with(
        keys: Vec<VerifyingKey>,
        jwks: Option<Arc<Jwks>>,
        expectations: Expectations,
        encoding: Option<EncodingKey>,
    ) -> Self {
        let (refusals, revocations) = (rate::Shared::new(REFUSED_TOKENS_LOGGED), Arc::default());
        let (none, fingerprints) = (ArcSwap::default(), RwLock::default());
        let auth = Self { keys: none, fingerprints, jwks, expectations, refusals, revocations, encoding };
        auth.remember(&keys);
        auth.keys.store(Arc::new(keys));
        auth
    }

    fn remember(&self, keys: &[VerifyingKey]) {
        let mut fingerprints = self.fingerprints.write().unwrap_or_else(PoisonError::into_inner);
        fingerprints.extend(keys.iter().map(|key| fingerprint(key.bytes())));
    }

    /// The keys published by the issuer, if it publishes any.
    pub fn jwks(&self) -> Option<&Arc<Jwks>> {
        self.jwks.as_ref()
    }

    /// The known revocations.
    pub fn revocations(&self) -> &Arc<Revocations> {
        &self.revocations
    }

    /// Hexadecimal fingerprints of the verification keys, which tell them from others without revealing them: of those
    /// that were configured since the start, and of the place where the issuer publishes its own.
    pub fn key_fingerprints(&self) -> Vec<String> {
        let configured = self.fingerprints.read().unwrap_or_else(PoisonError::into_inner);
        let url = self.jwks.as_ref().map(|jwks| fingerprint(jwks.url().to_string().as_bytes()));
        configured.iter().cloned().chain(url).collect()
    }

    /// Whether this server issues its own tokens.
    pub fn is_local(&self) -> bool {
        self.encoding.is_some()
    }

    /// The algorithms of the configured keys, such as `RS256, RS384, RS512`.
    pub fn algorithms(&self) -> String {
        names(self.keys.load().iter())
    }

    /// Issues a token for `user`, valid from `now`; `None` unless in local mode.
    pub fn mint(&self, user: &UserId, lifetime: Duration, now: Timestamp) -> Option<String> {
        self.mint_with_scope(user, "", lifetime, now)
    }

    /// Issues a token for `user` with the space-separated scopes `scope`; `None` unless in local mode.
    pub fn mint_with_scope(
        &self,
        user: &UserId,
        scope: &str,
        lifetime: Duration,
        now: Timestamp,
    ) -> Option<String> {
        let exp = (Duration::from_millis(now.0) + lifetime).as_secs();
        let iat = Some(now.0 / 1_000);
        let claims = OwnClaims { sub: user.as_str(), exp, iat, scope, iss: LOCAL_ISSUER };
        jsonwebtoken::encode(&Header::default(), &claims, self.encoding.as_ref()?).ok()
    }

    /// Verifies the value of an `authorization` header at `now` with the known keys, and returns the caller.
    /// The reason for a refusal is logged and returned, the token is not.
    ///
    /// # Errors
    /// UNAUTHENTICATED, with a reason that says whether a new token would help.
    pub fn verify(&self, authorization: Option<&str>, now: Timestamp) -> Result<Caller, Refused> {
        let now = now.0 / 1_000;
        self.try_verify(authorization, now).inspect_err(|refused| self.log(refused))
    }

    /// Like [`Self::verify`], but fetches the issuer's keys if the token's key is unknown.
    ///
    /// # Errors
    /// Those of [`Self::verify`]; and that no keys are known.
    pub async fn identify(&self, authorization: Option<&str>, now: Timestamp) -> Result<Caller, Refused> {
        let now = now.0 / 1_000;
        let mut verified = self.try_verify(authorization, now);
        if let (Some(jwks), Err(Refused::Invalid(problem))) = (&self.jwks, &verified)
            && matches!(problem, TokenProblem::UnknownKey | TokenProblem::Signature)
        {
            if jwks.refresh().await {
                verified = self.try_verify(authorization, now);
            }
            if verified.is_err() && jwks.keys().is_empty() {
                verified = Err(Refused::KeysAway);
            }
        }
        verified.inspect_err(|refused| self.log(refused))
    }

    fn log(&self, refused: &Refused) {
        if let Refused::Invalid(problem) = refused
            && self.refusals.try_take()
        {
            tracing::info!(%problem, "refused a token");
        }
    }

    fn try_verify(&self, authorization: Option<&str>, now: u64) -> Result<Caller, Refused> {
        let header = authorization.ok_or(Refused::Missing)?;
        let token = self.decode(header).map_err(Refused::Invalid)?;
        let caller =
            claims::check(&token.claims, &self.expectations, now).map_err(|rejected| match rejected {
                Rejected::Expired => Refused::Expired,
                Rejected::Invalid(problem) => Refused::Invalid(problem),
            })?;
        if self.revocations.has(&caller) { Err(Refused::Revoked) } else { Ok(caller) }
    }

    fn decode(&self, header: &str) -> Result<TokenData<Map<String, Value>>, TokenProblem> {
        let (scheme, token) = header.split_once(' ').ok_or(TokenProblem::NotBearer)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(TokenProblem::NotBearer);
        }
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenProblem::TooLong(MAX_TOKEN_BYTES));
        }
        let encoded = token.trim();
        let token = self.check_signature(encoded)?;
        // RFC 7515, 4.1.11: critical extensions must be understood, and none is implemented. RFC 7797, 6: a
        // payload that is not base64url-encoded is not valid in a JWT, whether or not `b64` is marked
        // critical.
        let is_encoded = token.header.extras.get("b64").is_ok_and(|b64| b64 != Some(false));
        check_critical(encoded)?;
        if is_encoded { Ok(token) } else { Err(TokenProblem::Critical) }
    }

    /// Tries the candidate keys of the token: those with its key id and its algorithm.
    fn check_signature(&self, encoded: &str) -> Result<TokenData<Map<String, Value>>, TokenProblem> {
        let header = decode_header(encoded).map_err(|_| TokenProblem::Malformed)?;
        let published = self.jwks.as_ref().map(|jwks| jwks.keys());
        let configured = self.keys.load();
        let keys = || configured.iter().chain(published.iter().flat_map(|keys| keys.iter()));
        let named: Vec<_> = keys().filter(|key| key.is_named(header.kid.as_deref())).collect();
        if named.is_empty() {
            return Err(TokenProblem::UnknownKey);
        }
        let mut problem = TokenProblem::Algorithm(names(named.iter().copied()));
        // Unnamed configured keys match any key id, but the token may be signed with a new key of the issuer.
        if self.jwks.is_some() && !named.iter().any(|key| key.kid.is_some()) {
            problem = TokenProblem::UnknownKey;
        }
        for key in named.iter().filter(|key| key.algorithms().contains(&header.alg)) {
            match jsonwebtoken::decode(encoded, &key.decoding, &key.validation) {
                Ok(token) => return Ok(token),
                Err(error) if *error.kind() == ErrorKind::InvalidSignature => {
                    problem = TokenProblem::Signature;
                }
                Err(_) => return Err(TokenProblem::Malformed),
            }
        }
        Err(problem)
    }
}

fn read(keys: &[Key]) -> Result<Vec<VerifyingKey>, KeyError> {
    keys.iter().map(VerifyingKey::read).collect()
}

fn fingerprint(secret: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let tag = hmac::sign(&key, b"key of tokens");
    tag.as_ref()[..KEY_FINGERPRINT_BYTES].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The distinct algorithms of `keys`.
fn names<'k>(keys: impl Iterator<Item = &'k VerifyingKey>) -> String {
    let mut names: Vec<String> = Vec::new();
    for algorithm in keys.flat_map(VerifyingKey::algorithms) {
        let name = format!("{algorithm:?}");
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.join(", ")
}

/// Refuses a token whose header has `crit`. It must name extensions: `null` and an empty list, which the
/// parser treats as absent, make the header malformed.
fn check_critical(token: &str) -> Result<(), TokenProblem> {
    let header = token.split('.').next().unwrap_or_default();
    let header = URL_SAFE_NO_PAD.decode(header).map_err(|_| TokenProblem::Malformed)?;
    let header: Map<String, Value> = serde_json::from_slice(&header).map_err(|_| TokenProblem::Malformed)?;
    match header.get("crit") {
        None => Ok(()),
        Some(Value::Array(names)) if !names.is_empty() && names.iter().all(Value::is_string) => {
            Err(TokenProblem::Critical)
        }
        Some(_) => Err(TokenProblem::Type("crit", "a list of names")),
    }
}
