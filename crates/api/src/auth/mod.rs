//! Who is calling: bearer tokens (JWT) and what they allow.

mod claims;
mod provider;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use parlance_core::{Caller, Timestamp, UserId};
use ring::hmac;
use serde::Serialize;
use serde_json::{Map, Value};

pub(crate) use self::claims::ME;
use self::claims::{Claims, Refused};
pub use self::claims::{Expectations, TokenProblem};
use crate::Error;
use crate::limits::{KEY_FINGERPRINT_BYTES, MAX_TOKEN_BYTES, MIN_RSA_BYTES, REFUSED_TOKENS_LOGGED};

/// Issuer of the tokens that a server in local mode makes itself.
const LOCAL_ISSUER: &str = "parlance-local";

/// The claims of tokens that are made here.
#[derive(Serialize)]
struct OwnClaims<'c> {
    sub: &'c str,
    exp: u64,
    #[serde(skip_serializing_if = "str::is_empty")]
    scope: &'c str,
    iss: &'static str,
}

/// A key that tokens are verified with.
#[derive(Debug, Clone)]
pub enum Key {
    /// A secret shared with whoever signs: HS256, HS384, HS512.
    Secret(Vec<u8>),
    /// A public key in PEM: RS256 to RS512, ES256, ES384 or EdDSA, by its kind.
    PublicPem(Vec<u8>),
}

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Too short to be safe.
    #[error("a shared secret must have at least 32 bytes")]
    ShortSecret,
    /// A key in PEM where a secret is expected. As a secret, a public key would let anyone sign.
    #[error("this is a key in PEM, not a shared secret; a public key goes with --jwt-public-key")]
    PemAsSecret,
    /// Not one of the kinds of [`Key::PublicPem`].
    #[error(
        "not an RSA (2048 bits or more), EC (P-256 or P-384) or Ed25519 public key in PEM \
         (\"-----BEGIN PUBLIC KEY-----\")"
    )]
    NotAPublicKey,
    /// A private key; verifying needs the public one.
    #[error(
        "this is a private key, which only the signer of the tokens may have; make the public key of it: \
         openssl pkey -in PRIVATE.pem -pubout -out PUBLIC.pem"
    )]
    PrivateKey,
}

/// Verifies tokens, and in local mode makes them.
pub struct Auth {
    decoding: DecodingKey,
    validation: Validation,
    expectations: Expectations,
    refusals: RefusalLog,
    /// Local mode only.
    encoding: Option<EncodingKey>,
}

impl Auth {
    /// Tokens are signed elsewhere and verified with `key`.
    ///
    /// # Errors
    /// If the key is of no use.
    pub fn with_key(key: &Key, expectations: &Expectations) -> Result<Self, KeyError> {
        provider::install();
        let (decoding, algorithms) = match key {
            Key::Secret(secret) if secret.trim_ascii_start().starts_with(PEM) => {
                return Err(KeyError::PemAsSecret);
            }
            Key::Secret(secret) if secret.len() < 32 => return Err(KeyError::ShortSecret),
            Key::Secret(secret) => {
                let hmac = vec![Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
                (DecodingKey::from_secret(secret), hmac)
            }
            Key::PublicPem(pem) => public_key(pem)?,
        };
        Ok(Self::new(decoding, algorithms, expectations.clone(), None))
    }

    /// Local mode: tokens are made and verified here with a `secret` of this server's.
    pub fn local(secret: &[u8]) -> Self {
        provider::install();
        let expectations = Expectations { issuer: Some(LOCAL_ISSUER.into()), audience: None };
        let encoding = Some(EncodingKey::from_secret(secret));
        Self::new(DecodingKey::from_secret(secret), vec![Algorithm::HS256], expectations, encoding)
    }

    fn new(
        decoding: DecodingKey,
        algorithms: Vec<Algorithm>,
        expectations: Expectations,
        encoding: Option<EncodingKey>,
    ) -> Self {
        let (validation, refusals) = (signature_only(algorithms), RefusalLog::default());
        Self { decoding, validation, expectations, refusals, encoding }
    }

    /// Tells the key that tokens are verified with from others, in hexadecimal, without revealing
    /// it. Another one in each `context`.
    pub fn key_fingerprint(&self, context: &str) -> String {
        let bytes = self.decoding.try_get_as_bytes().unwrap_or_default();
        let key = hmac::Key::new(hmac::HMAC_SHA256, bytes);
        let tag = hmac::sign(&key, format!("key of tokens\0{context}").as_bytes());
        tag.as_ref()[..KEY_FINGERPRINT_BYTES].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether this server makes its own tokens.
    pub fn is_local(&self) -> bool {
        self.encoding.is_some()
    }

    /// The algorithms that tokens may be signed with, such as `RS256, RS384, RS512`.
    pub fn algorithms(&self) -> String {
        let names: Vec<_> = self.validation.algorithms.iter().map(|name| format!("{name:?}")).collect();
        names.join(", ")
    }

    /// A token for `user`, valid from `now` on; `None` where tokens are made elsewhere.
    pub fn mint(&self, user: &UserId, lifetime: Duration, now: Timestamp) -> Option<String> {
        self.mint_with_scope(user, "", lifetime, now)
    }

    /// A token for `user` with a space-separated `scope`; `None` where tokens are made elsewhere.
    fn mint_with_scope(
        &self,
        user: &UserId,
        scope: &str,
        lifetime: Duration,
        now: Timestamp,
    ) -> Option<String> {
        let exp = (Duration::from_millis(now.0) + lifetime).as_secs();
        let claims = OwnClaims { sub: user.as_str(), exp, scope, iss: LOCAL_ISSUER };
        jsonwebtoken::encode(&Header::default(), &claims, self.encoding.as_ref()?).ok()
    }

    /// Whom the value of an `authorization` header names at `now`. The reason for a refusal is logged and
    /// returned, the token is not.
    ///
    /// # Errors
    /// UNAUTHENTICATED, with a reason that says whether to get a new token.
    pub fn verify(&self, authorization: Option<&str>, now: Timestamp) -> Result<Caller, Error> {
        let header = authorization.ok_or(Error::TokenMissing)?;
        let now = now.0 / 1_000;
        match self.claims(header, now) {
            Ok(Claims { user, is_service, is_admin, expires_at }) => {
                Ok(Caller { user, is_service, is_admin, service: None, expires_at, client: None })
            }
            Err(Refused::Expired) => Err(Error::TokenExpired),
            Err(Refused::Invalid(problem)) => {
                self.refusals.log(&problem, now);
                Err(Error::TokenInvalid(problem))
            }
        }
    }

    fn claims(&self, header: &str, now: u64) -> Result<Claims, Refused> {
        let (scheme, token) = header.split_once(' ').ok_or(TokenProblem::NotBearer)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(TokenProblem::NotBearer.into());
        }
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenProblem::TooLong(MAX_TOKEN_BYTES).into());
        }
        let encoded = token.trim();
        let token = jsonwebtoken::decode::<Map<String, Value>>(encoded, &self.decoding, &self.validation);
        let token = token.map_err(|error| match error.kind() {
            ErrorKind::InvalidSignature => TokenProblem::Signature,
            ErrorKind::InvalidAlgorithm => TokenProblem::Algorithm(self.algorithms()),
            _ => TokenProblem::Malformed,
        })?;
        // RFC 7515, 4.1.11: what a token calls critical must be understood, and no extension is.
        // RFC 7797, 6: a payload that is not in base64url is no token's, whether that is called
        // critical or not.
        let is_encoded = token.header.extras.get("b64").is_ok_and(|b64| b64 != Some(false));
        check_critical(encoded)?;
        if !is_encoded {
            return Err(TokenProblem::Critical.into());
        }
        Claims::check(&token.claims, &self.expectations, now)
    }
}

/// Refuses a token whose header has `crit`, whatever that is. It must name extensions: `null` and an
/// empty list, which read like none, make the header malformed.
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

/// Logs refused tokens, at most [`REFUSED_TOKENS_LOGGED`] a second: anyone can send them.
#[derive(Default)]
struct RefusalLog {
    /// The second that `count` belongs to.
    second: AtomicU64,
    count: AtomicU64,
}

impl RefusalLog {
    fn log(&self, problem: &TokenProblem, now: u64) {
        // Two callers at the turn of a second may both reset the count: a few lines more.
        if self.second.swap(now, Ordering::Relaxed) != now {
            self.count.store(0, Ordering::Relaxed);
        }
        if self.count.fetch_add(1, Ordering::Relaxed) < REFUSED_TOKENS_LOGGED {
            tracing::info!(%problem, "refused a token");
        }
    }
}

/// What keys in PEM begin with.
const PEM: &[u8] = b"-----BEGIN";

fn public_key(pem: &[u8]) -> Result<(DecodingKey, Vec<Algorithm>), KeyError> {
    if pem.windows(PRIVATE.len()).any(|bytes| bytes == PRIVATE) {
        return Err(KeyError::PrivateKey);
    }
    let (key, algorithms) = if let Ok(key) = DecodingKey::from_rsa_pem(pem) {
        (key, vec![Algorithm::RS256, Algorithm::RS384, Algorithm::RS512])
    } else if let Ok(key) = DecodingKey::from_ec_pem(pem) {
        (key, vec![Algorithm::ES256, Algorithm::ES384])
    } else {
        let key = DecodingKey::from_ed_pem(pem).map_err(|_| KeyError::NotAPublicKey)?;
        (key, vec![Algorithm::EdDSA])
    };
    // A key that is read but never verifies anything would refuse each token without a hint.
    let bytes = key.try_get_as_bytes().map_err(|_| KeyError::NotAPublicKey)?.len();
    let algorithms = match (algorithms[0], bytes) {
        (Algorithm::RS256, bytes) if bytes < MIN_RSA_BYTES => return Err(KeyError::NotAPublicKey),
        (Algorithm::ES256, P256_POINT) => vec![Algorithm::ES256],
        (Algorithm::ES256, P384_POINT) => vec![Algorithm::ES384],
        (Algorithm::ES256, _) => return Err(KeyError::NotAPublicKey),
        _ => algorithms,
    };
    Ok((key, algorithms))
}

/// What names a private key in PEM, of whatever kind.
const PRIVATE: &[u8] = b"PRIVATE KEY-----";

/// Bytes of an uncompressed point on each curve.
const P256_POINT: usize = 65;
const P384_POINT: usize = 97;

/// The algorithms are those of the key, never what a token says of itself. Claims are checked by
/// [`Claims::check`], which names the claim that is wrong.
fn signature_only(algorithms: Vec<Algorithm>) -> Validation {
    let mut validation = Validation::new(algorithms[0]);
    validation.algorithms = algorithms;
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation
}

#[cfg(test)]
mod tests {
    use parlance_core::limits::CLOCK_SKEW;

    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000_000);
    const MINUTE: Duration = Duration::from_secs(60);

    fn key_error(key: Key) -> KeyError {
        Auth::with_key(&key, &Expectations::default()).err().unwrap()
    }

    #[test]
    fn keys_of_the_wrong_kind_are_refused() {
        let private = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA==\n-----END PRIVATE KEY-----\n";
        let error = key_error(Key::PublicPem(private.into()));
        assert!(error.to_string().contains("openssl pkey -in"), "{error}");
        for kind in ["RSA PRIVATE", "EC PRIVATE", "ENCRYPTED PRIVATE"] {
            let pem = format!("-----BEGIN {kind} KEY-----\nAAAA\n-----END {kind} KEY-----\n");
            assert!(matches!(key_error(Key::PublicPem(pem.into())), KeyError::PrivateKey), "{kind}");
        }
        assert!(matches!(key_error(Key::PublicPem(b"ssh-rsa AAAA".to_vec())), KeyError::NotAPublicKey));
        assert!(matches!(key_error(Key::Secret(private.into())), KeyError::PemAsSecret));
        assert!(matches!(key_error(Key::Secret(b"short".to_vec())), KeyError::ShortSecret));
    }

    #[test]
    fn refusals_are_told_apart() {
        let auth = Auth::local(&[7; 32]);
        let alice = UserId::parse("alice").unwrap();
        let refused = |header: &str| match auth.verify(Some(header), NOW) {
            Err(Error::TokenInvalid(problem)) => problem.to_string(),
            other => panic!("{header}: {other:?}"),
        };
        let token = auth.mint(&alice, MINUTE, NOW).unwrap();
        assert_eq!(auth.verify(Some(&format!("bearer {token}")), NOW).unwrap().user, alice);
        assert_eq!(refused(&token), "authorization: want Bearer and a token");
        assert_eq!(refused(&format!("Basic {token}")), "authorization: want Bearer and a token");
        assert_eq!(refused("Bearer garbage"), "not a JSON web token");
        assert_eq!(refused(&format!("Bearer {}", "x".repeat(9000))), "longer than 8192 bytes");
        let other = Auth::local(&[8; 32]).mint(&alice, MINUTE, NOW).unwrap();
        assert_eq!(
            refused(&format!("Bearer {other}")),
            "the signature does not match the key of this server"
        );
        let encoding = EncodingKey::from_secret(&[7; 32]);
        let signed = |header: &Header| {
            let claims = OwnClaims { sub: "alice", exp: u64::MAX, scope: "", iss: LOCAL_ISSUER };
            format!("Bearer {}", jsonwebtoken::encode(header, &claims, &encoding).unwrap())
        };
        assert_eq!(refused(&signed(&Header::new(Algorithm::HS512))), "alg: want HS256");
        let critical = Header { crit: Some(vec!["b64".to_owned()]), ..Header::default() };
        assert_eq!(refused(&signed(&critical)), "crit: names extensions that are not supported");
    }

    #[test]
    fn crit_must_be_a_list_of_names() {
        let auth = Auth::local(&[7; 32]);
        let claims = OwnClaims { sub: "alice", exp: u64::MAX, scope: "", iss: LOCAL_ISSUER };
        let key = hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]);
        let verify = |header: &str| {
            let claims = serde_json::to_vec(&claims).unwrap();
            let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
            let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes()));
            match auth.verify(Some(&format!("Bearer {signed}.{signature}")), NOW) {
                Ok(caller) => caller.user.to_string(),
                Err(Error::TokenInvalid(problem)) => problem.to_string(),
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

    /// Neither the machine's clock nor anything else than `now` decides.
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
        assert!(matches!(late, Err(Error::TokenExpired)), "{late:?}");
    }

    #[test]
    fn fingerprints_tell_keys_apart_and_nothing_else() {
        let auth = Auth::local(&[7; 32]);
        // Nodes of different versions have to agree.
        assert_eq!(auth.key_fingerprint("store"), "cd010a407ceae53e");
        assert_ne!(auth.key_fingerprint("store"), auth.key_fingerprint("another"));
        assert_ne!(auth.key_fingerprint("store"), Auth::local(&[8; 32]).key_fingerprint("store"));
    }
}
