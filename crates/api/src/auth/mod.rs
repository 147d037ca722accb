//! Who is calling: bearer tokens (JWT) and what they allow.

mod provider;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use parlance_core::UserId;
use serde::{Deserialize, Serialize};

use crate::Error;

/// Issuer of the tokens that a server in local mode makes itself.
const LOCAL_ISSUER: &str = "parlance-local";

/// How far clocks may differ, seconds.
const CLOCK_SKEW: u64 = 60;

/// Longer than any session; instants too far away cannot be told.
const FOR_EVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Longest token that is looked at, bytes: a token with many claims stays below.
const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// Who is calling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The subject of the token.
    pub user: UserId,
    /// Acts for the app's own backend: may create, list and change users.
    pub is_service: bool,
    /// When the token ends, seconds since the Unix epoch.
    pub expires_at: u64,
}

impl Caller {
    /// How long the token still holds; for one that never ends, ten years.
    pub fn remaining(&self) -> Duration {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let end = Duration::from_secs(self.expires_at.saturating_add(CLOCK_SKEW));
        end.saturating_sub(now).min(FOR_EVER)
    }
}

#[derive(Serialize, Deserialize)]
struct Claims {
    sub: String,
    exp: u64,
    /// Space-separated, as in OAuth 2.0.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    scope: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    iss: String,
}

/// A key that tokens are verified with.
#[derive(Debug, Clone)]
pub enum Key {
    /// A secret shared with whoever signs: HS256, HS384, HS512.
    Secret(Vec<u8>),
    /// A public key in PEM: RS256 to RS512, ES256, ES384 or EdDSA, by its kind.
    PublicPem(Vec<u8>),
}

/// What must hold for a token beside its signature.
#[derive(Debug, Clone, Default)]
pub struct Expectations {
    /// The audience that must be named.
    pub audience: Option<String>,
    /// The issuer that must have signed.
    pub issuer: Option<String>,
}

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Too short to be safe.
    #[error("a shared secret must have at least 32 bytes")]
    ShortSecret,
    /// Not one of the kinds of [`Key::PublicPem`].
    #[error("not an RSA, EC or Ed25519 public key in PEM")]
    NotAPublicKey,
}

/// Verifies tokens, and in local mode makes them.
pub struct Auth {
    decoding: DecodingKey,
    validation: Validation,
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
            Key::Secret(secret) if secret.len() < 32 => return Err(KeyError::ShortSecret),
            Key::Secret(secret) => {
                let hmac = vec![Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
                (DecodingKey::from_secret(secret), hmac)
            }
            Key::PublicPem(pem) => public_key(pem)?,
        };
        Ok(Self { decoding, validation: validation(algorithms, expectations), encoding: None })
    }

    /// Local mode: tokens are made and verified here with a `secret` of this server's.
    pub fn local(secret: &[u8]) -> Self {
        provider::install();
        let expectations = Expectations { issuer: Some(LOCAL_ISSUER.into()), audience: None };
        Self {
            decoding: DecodingKey::from_secret(secret),
            validation: validation(vec![Algorithm::HS256], &expectations),
            encoding: Some(EncodingKey::from_secret(secret)),
        }
    }

    /// Whether this server makes its own tokens.
    pub fn is_local(&self) -> bool {
        self.encoding.is_some()
    }

    /// A token for `user`; `None` where tokens are made elsewhere.
    pub fn mint(&self, user: &UserId, lifetime: Duration) -> Option<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let claims = Claims {
            sub: user.as_str().to_owned(),
            exp: (now + lifetime).as_secs(),
            scope: String::new(),
            iss: LOCAL_ISSUER.to_owned(),
        };
        jsonwebtoken::encode(&Header::default(), &claims, self.encoding.as_ref()?).ok()
    }

    /// Whom the value of an `authorization` header names.
    ///
    /// # Errors
    /// UNAUTHENTICATED, with a reason that says whether to get a new token.
    pub fn verify(&self, authorization: Option<&str>) -> Result<Caller, Error> {
        let header = authorization.ok_or(Error::TokenMissing)?;
        let (scheme, token) = header.split_once(' ').ok_or(Error::TokenInvalid)?;
        if !scheme.eq_ignore_ascii_case("bearer") || token.len() > MAX_TOKEN_BYTES {
            return Err(Error::TokenInvalid);
        }
        let token = jsonwebtoken::decode::<Claims>(token.trim(), &self.decoding, &self.validation);
        let claims = token
            .map_err(|error| match error.kind() {
                ErrorKind::ExpiredSignature => Error::TokenExpired,
                _ => Error::TokenInvalid,
            })?
            .claims;
        let user = UserId::parse(&claims.sub).map_err(|_| Error::TokenInvalid)?;
        let is_service = claims.scope.split(' ').any(|scope| scope == "service" || scope == "admin");
        Ok(Caller { user, is_service, expires_at: claims.exp })
    }
}

fn public_key(pem: &[u8]) -> Result<(DecodingKey, Vec<Algorithm>), KeyError> {
    if let Ok(key) = DecodingKey::from_rsa_pem(pem) {
        return Ok((key, vec![Algorithm::RS256, Algorithm::RS384, Algorithm::RS512]));
    }
    if let Ok(key) = DecodingKey::from_ec_pem(pem) {
        return Ok((key, vec![Algorithm::ES256, Algorithm::ES384]));
    }
    let key = DecodingKey::from_ed_pem(pem).map_err(|_| KeyError::NotAPublicKey)?;
    Ok((key, vec![Algorithm::EdDSA]))
}

/// The algorithms are those of the key, never what a token says of itself.
fn validation(algorithms: Vec<Algorithm>, expectations: &Expectations) -> Validation {
    let mut validation = Validation::new(algorithms[0]);
    validation.algorithms = algorithms;
    validation.leeway = CLOCK_SKEW;
    validation.validate_nbf = true;
    validation.set_required_spec_claims(&["exp", "sub"]);
    match &expectations.audience {
        Some(audience) => {
            validation.set_audience(&[audience]);
            validation.required_spec_claims.insert("aud".into());
        }
        None => validation.validate_aud = false,
    }
    if let Some(issuer) = &expectations.issuer {
        validation.set_issuer(&[issuer]);
        validation.required_spec_claims.insert("iss".into());
    }
    validation
}
