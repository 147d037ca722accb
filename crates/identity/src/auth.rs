//! Verifies bearer tokens and derives the caller's permissions.

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

use crate::claims::{self, Expectations, Rejected, TokenProblem};
use crate::jwks::Jwks;
use crate::key::{Key, KeyError, VerifyingKey};
use crate::limits::{KEY_FINGERPRINT_BYTES, MAX_TOKEN_BYTES, REFUSED_TOKENS_LOGGED};
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

#[cfg(test)]
mod tests {
    use parlance_core::limits::CLOCK_SKEW;

    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000_000);
    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn refusals_are_distinguished() {
        let auth = Auth::local(&[7; 32]);
        let alice = UserId::parse("alice").unwrap();
        let refused = |header: &str| match auth.verify(Some(header), NOW) {
            Err(Refused::Invalid(problem)) => problem.to_string(),
            other => panic!("{header}: {other:?}"),
        };
        let token = auth.mint(&alice, MINUTE, NOW).unwrap();
        assert_eq!(auth.verify(Some(&format!("bearer {token}")), NOW).unwrap().user, alice);
        assert_eq!(refused(&token), "authorization: want Bearer and a token");
        assert_eq!(refused(&format!("Basic {token}")), "authorization: want Bearer and a token");
        assert_eq!(refused("Bearer garbage"), "not a JSON web token");
        assert_eq!(refused(&format!("Bearer {}", "x".repeat(9000))), "longer than 8192 bytes");
        let other = Auth::local(&[8; 32]).mint(&alice, MINUTE, NOW).unwrap();
        assert_eq!(refused(&format!("Bearer {other}")), "the signature does not match a key of this server");
        let encoding = EncodingKey::from_secret(&[7; 32]);
        let signed = |header: &Header| {
            let claims = OwnClaims { sub: "alice", exp: u64::MAX, iat: None, scope: "", iss: LOCAL_ISSUER };
            format!("Bearer {}", jsonwebtoken::encode(header, &claims, &encoding).unwrap())
        };
        assert_eq!(refused(&signed(&Header::new(Algorithm::HS512))), "alg: want HS256");
        let critical = Header { crit: Some(vec!["b64".to_owned()]), ..Header::default() };
        assert_eq!(refused(&signed(&critical)), "crit: names extensions that are not supported");
    }

    #[test]
    fn crit_must_be_a_list_of_names() {
        let auth = Auth::local(&[7; 32]);
        let claims = OwnClaims { sub: "alice", exp: u64::MAX, iat: None, scope: "", iss: LOCAL_ISSUER };
        let key = hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]);
        let verify = |header: &str| {
            let claims = serde_json::to_vec(&claims).unwrap();
            let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
            let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes()));
            match auth.verify(Some(&format!("Bearer {signed}.{signature}")), NOW) {
                Ok(caller) => caller.user.to_string(),
                Err(Refused::Invalid(problem)) => problem.to_string(),
                Err(other) => panic!("{header}: {other:?}"),
            }
        };
        assert_eq!(verify(r#"{"alg":"HS256"}"#), "alice");
        let malformed = ["crit: must be a list of names", "not a JSON web token"];
        for crit in ["null", "[]", r#""b64""#, "true", "{}", "1", "[null]", r#"["b64",1]"#] {
            let answer = verify(&format!(r#"{{"alg":"HS256","crit":{crit}}}"#));
            assert!(malformed.contains(&answer.as_str()), "{crit}: {answer}");
        }
        let named = verify(r#"{"alg":"HS256","crit":["exp"]}"#);
        assert_eq!(named, "crit: names extensions that are not supported");
    }

    #[test]
    fn own_tokens_may_have_a_scope() {
        let auth = Auth::local(&[7; 32]);
        let backend = UserId::parse("backend").unwrap();
        let token = auth.mint_with_scope(&backend, "service", MINUTE, NOW).unwrap();
        assert!(auth.verify(Some(&format!("Bearer {token}")), NOW).unwrap().is_service);
    }

    /// Only `now` decides, not the machine's clock.
    #[test]
    fn tokens_expire_by_the_time_that_is_handed_in() {
        let auth = Auth::local(&[7; 32]);
        let alice = UserId::parse("alice").unwrap();
        let bearer = format!("Bearer {}", auth.mint(&alice, MINUTE, NOW).unwrap());
        let after = |seconds: u64| Timestamp(NOW.0 + seconds * 1_000);
        let caller = auth.verify(Some(&bearer), NOW).unwrap();
        assert_eq!(caller.remaining(NOW), Duration::from_secs(60 + CLOCK_SKEW));
        assert_eq!(caller.remaining(after(100)), Duration::from_secs(CLOCK_SKEW - 40));
        assert!(auth.verify(Some(&bearer), after(60 + CLOCK_SKEW - 1)).is_ok());
        let late = auth.verify(Some(&bearer), after(61 + CLOCK_SKEW));
        assert!(matches!(late, Err(Refused::Expired)), "{late:?}");
    }

    #[test]
    fn fingerprints_only_distinguish_keys() {
        let [one, two] = [7, 8].map(|byte| Key::Secret(vec![byte; 32]));
        let auth = Auth::new(std::slice::from_ref(&one), None, Expectations::default()).unwrap();
        // Nodes of different versions must agree.
        let first = "8e8e2b30f93a12c7".to_owned();
        assert_eq!(auth.key_fingerprints(), std::slice::from_ref(&first));
        auth.set_keys(&[two]).unwrap();
        let both = auth.key_fingerprints();
        assert!(both.len() == 2 && both.contains(&first), "those before count, too: {both:?}");
    }

    #[test]
    fn replaced_keys_verify_from_then_on() {
        let [one, two] = [7, 8].map(|byte| vec![byte; 32]);
        let alice = UserId::parse("alice").unwrap();
        let minted =
            |secret: &[u8]| format!("Bearer {}", Auth::local(secret).mint(&alice, MINUTE, NOW).unwrap());
        let auth = Auth::new(&[Key::Secret(one.clone())], None, Expectations::default()).unwrap();
        let verifies = |secret: &[u8]| auth.verify(Some(&minted(secret)), NOW).is_ok();
        assert!(verifies(&one) && !verifies(&two));
        auth.set_keys(&[Key::Secret(one.clone()), Key::Secret(two.clone())]).unwrap();
        assert!(verifies(&one) && verifies(&two));
        auth.set_keys(&[Key::Secret(two.clone())]).unwrap();
        assert!(!verifies(&one) && verifies(&two));
        assert_eq!(auth.set_keys(&[Key::Secret(b"short".to_vec())]), Err(KeyError::ShortSecret));
        assert!(verifies(&two), "unusable keys replace nothing");
    }
}
