use jsonwebtoken::{Algorithm, DecodingKey, Validation};

use crate::limits::{MAX_RSA_BYTES, MIN_RSA_BYTES};

/// A key for verifying tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// A secret shared with the signer: HS256, HS384, HS512.
    Secret(Vec<u8>),
    /// A public key in PEM: RS256 to RS512, ES256, ES384 or EdDSA, depending on its kind.
    PublicPem(Vec<u8>),
}

impl Key {
    /// Checks that tokens can be verified with the key.
    ///
    /// # Errors
    /// Why they cannot.
    pub fn check(&self) -> Result<(), KeyError> {
        VerifyingKey::read(self).map(drop)
    }
}

/// Why a key cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Too short to be safe.
    #[error("a shared secret must have at least 32 bytes")]
    ShortSecret,
    /// A key in PEM where a secret is expected. As a secret, a public key would let anyone sign.
    #[error("this is a key in PEM, not a shared secret; a public key goes with --jwt-public-key")]
    PemAsSecret,
    /// Not one of the kinds of [`Key::PublicPem`].
    #[error(
        "not an RSA (2048 to 8192 bits), EC (P-256 or P-384) or Ed25519 public key in PEM \
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

/// A key ready for verification. Its algorithms come from the key, never from a token.
pub(crate) struct VerifyingKey {
    /// Its key id, as assigned by the issuer.
    pub(crate) kid: Option<String>,
    pub(crate) decoding: DecodingKey,
    pub(crate) validation: Validation,
}

impl VerifyingKey {
    pub(crate) fn new(kid: Option<String>, decoding: DecodingKey, algorithms: Vec<Algorithm>) -> Self {
        Self { kid, decoding, validation: signature_only(algorithms) }
    }

    pub(crate) fn read(key: &Key) -> Result<Self, KeyError> {
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
        Ok(Self::new(None, decoding, algorithms))
    }

    pub(crate) fn algorithms(&self) -> &[Algorithm] {
        &self.validation.algorithms
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.decoding.try_get_as_bytes().unwrap_or_default()
    }

    /// Whether it is a candidate for a token with this `kid`, or without one.
    pub(crate) fn is_named(&self, kid: Option<&str>) -> bool {
        match (self.kid.as_deref(), kid) {
            (Some(own), Some(named)) => own == named,
            _ => true,
        }
    }
}

/// Prefix of PEM keys.
const PEM: &[u8] = b"-----BEGIN";

/// Marks a private key in PEM, of any kind.
const PRIVATE: &[u8] = b"PRIVATE KEY-----";

/// Size of an uncompressed point on each curve, in bytes.
const P256_POINT: usize = 65; // format
const P384_POINT: usize = 97; // format

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
    // A key that parses but cannot verify would refuse every token without a hint.
    let bytes = key.try_get_as_bytes().map_err(|_| KeyError::NotAPublicKey)?.len();
    let algorithms = match (algorithms[0], bytes) {
        // The modulus with some bytes of ASN.1 around it.
        (Algorithm::RS256, bytes) if !(MIN_RSA_BYTES..=MAX_RSA_BYTES + 64).contains(&bytes) => {
            return Err(KeyError::NotAPublicKey);
        }
        (Algorithm::ES256, P256_POINT) => vec![Algorithm::ES256],
        (Algorithm::ES256, P384_POINT) => vec![Algorithm::ES384],
        (Algorithm::ES256, _) => return Err(KeyError::NotAPublicKey),
        _ => algorithms,
    };
    Ok((key, algorithms))
}

/// Claims are checked by [`Claims::check`](crate::claims::Claims::check), whose errors name the claim.
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
    use super::*;

    fn key_error(key: Key) -> KeyError {
        VerifyingKey::read(&key).err().unwrap()
    }

    #[test]
    fn keys_of_the_wrong_kind_are_refused() {
        let private = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA==\n-----END PRIVATE KEY-----\n";
        let error = key_error(Key::PublicPem(private.into()));
        assert!(error.to_string().contains("openssl pkey -in"), "{error}");
        for kind in ["RSA PRIVATE", "EC PRIVATE", "ENCRYPTED PRIVATE"] {
            let pem = format!("-----BEGIN {kind} KEY-----\nAAAA\n-----END {kind} KEY-----\n");
            assert_eq!(key_error(Key::PublicPem(pem.into())), KeyError::PrivateKey, "{kind}");
        }
        assert_eq!(key_error(Key::PublicPem(b"ssh-rsa AAAA".to_vec())), KeyError::NotAPublicKey);
        assert_eq!(key_error(Key::Secret(private.into())), KeyError::PemAsSecret);
        assert_eq!(key_error(Key::Secret(b"short".to_vec())), KeyError::ShortSecret);
    }
}
