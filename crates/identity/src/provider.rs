//! The cryptography behind `jsonwebtoken`, on ring: the crate's own options add a second crypto library or an RSA
//! implementation with a known timing leak.
use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{ErrorKind, Result};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, EncodingKey};
use ring::{hmac, signature as ring_signature};
use signature::{Error, Signer, Verifier};

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: signer,
    verifier_factory: verifier,
    key_utils: KeyUtils::new_unimplemented(),
};

/// Installs ring as the provider of this process. Safe to repeat.
pub(crate) fn install() {
    // An error means that it is already installed.
    let _ = PROVIDER.install_default();
}

fn hmac_algorithm(algorithm: Algorithm) -> Option<hmac::Algorithm> {
    match algorithm {
        Algorithm::HS256 => Some(hmac::HMAC_SHA256),
        Algorithm::HS384 => Some(hmac::HMAC_SHA384),
        Algorithm::HS512 => Some(hmac::HMAC_SHA512),
        _ => None,
    }
}

fn public_key_algorithm(
    algorithm: Algorithm,
) -> Option<(AlgorithmFamily, &'static dyn ring_signature::VerificationAlgorithm)> {
    match algorithm {
        Algorithm::ES256 => Some((AlgorithmFamily::Ec, &ring_signature::ECDSA_P256_SHA256_FIXED)),
        Algorithm::ES384 => Some((AlgorithmFamily::Ec, &ring_signature::ECDSA_P384_SHA384_FIXED)),
        Algorithm::EdDSA => Some((AlgorithmFamily::Ed, &ring_signature::ED25519)),
        Algorithm::RS256 => Some((AlgorithmFamily::Rsa, &ring_signature::RSA_PKCS1_2048_8192_SHA256)),
        Algorithm::RS384 => Some((AlgorithmFamily::Rsa, &ring_signature::RSA_PKCS1_2048_8192_SHA384)),
        Algorithm::RS512 => Some((AlgorithmFamily::Rsa, &ring_signature::RSA_PKCS1_2048_8192_SHA512)),
        Algorithm::PS256 => Some((AlgorithmFamily::Rsa, &ring_signature::RSA_PSS_2048_8192_SHA256)),
        Algorithm::PS384 => Some((AlgorithmFamily::Rsa, &ring_signature::RSA_PSS_2048_8192_SHA384)),
        Algorithm::PS512 => Some((AlgorithmFamily::Rsa, &ring_signature::RSA_PSS_2048_8192_SHA512)),
        _ => None,
    }
}

struct Hmac(Algorithm, hmac::Key);

impl Signer<Vec<u8>> for Hmac {
    fn try_sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, Error> {
        Ok(hmac::sign(&self.1, message).as_ref().to_vec())
    }
}

impl Verifier<Vec<u8>> for Hmac {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), Error> {
        hmac::verify(&self.1, message, signature).map_err(|_| Error::new())
    }
}

impl JwtSigner for Hmac {
    fn algorithm(&self) -> Algorithm {
        self.0
    }
}

impl JwtVerifier for Hmac {
    fn algorithm(&self) -> Algorithm {
        self.0
    }
}

struct PublicKey(Algorithm, ring_signature::UnparsedPublicKey<Vec<u8>>);

impl Verifier<Vec<u8>> for PublicKey {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), Error> {
        self.1.verify(message, signature).map_err(|_| Error::new())
    }
}

impl JwtVerifier for PublicKey {
    fn algorithm(&self) -> Algorithm {
        self.0
    }
}

/// Only the generated key of local mode signs.
fn signer(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>> {
    match hmac_algorithm(*algorithm) {
        Some(hash) if key.family() == AlgorithmFamily::Hmac => {
            Ok(Box::new(Hmac(*algorithm, hmac::Key::new(hash, key.as_bytes()))))
        }
        _ => Err(ErrorKind::InvalidAlgorithm.into()),
    }
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
    let bytes = key.try_get_as_bytes()?;
    if let Some(hash) = hmac_algorithm(*algorithm)
        && key.family() == AlgorithmFamily::Hmac
    {
        return Ok(Box::new(Hmac(*algorithm, hmac::Key::new(hash, bytes))));
    }
    match public_key_algorithm(*algorithm) {
        Some((family, verification)) if family == key.family() => {
            let key = ring_signature::UnparsedPublicKey::new(verification, bytes.to_vec());
            Ok(Box::new(PublicKey(*algorithm, key)))
        }
        _ => Err(ErrorKind::InvalidAlgorithm.into()),
    }
}
