use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};

/// Prefixes that turn an Ed25519 or P-256 public key into a SubjectPublicKeyInfo.
const ED25519_SPKI: &[u8] = &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
const P256_SPKI: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// Signs tokens like an app's own backend.
pub enum Signer {
    /// With a shared secret.
    Hs256(Vec<u8>),
    /// With an Ed25519 key.
    EdDsa(Ed25519KeyPair),
    /// With a P-256 key.
    Es256(EcdsaKeyPair),
}

impl Signer {
    /// A new Ed25519 key.
    pub fn ed25519() -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("random bytes");
        Self::EdDsa(Ed25519KeyPair::from_pkcs8(document.as_ref()).expect("ring reads what it wrote"))
    }

    /// A new P-256 key.
    pub fn p256() -> Self {
        let (random, kind) = (SystemRandom::new(), &ECDSA_P256_SHA256_FIXED_SIGNING);
        let document = EcdsaKeyPair::generate_pkcs8(kind, &random).expect("random bytes");
        let pair = EcdsaKeyPair::from_pkcs8(kind, document.as_ref(), &random);
        Self::Es256(pair.expect("ring reads what it wrote"))
    }

    /// The public key in PEM.
    pub fn public_pem(&self) -> String {
        let (prefix, key) = match self {
            Self::Hs256(_) => panic!("a shared secret has no public half"),
            Self::EdDsa(pair) => (ED25519_SPKI, pair.public_key().as_ref()),
            Self::Es256(pair) => (P256_SPKI, pair.public_key().as_ref()),
        };
        let base64 = STANDARD.encode([prefix, key].concat());
        let lines = base64.as_bytes().chunks(64).map(String::from_utf8_lossy).collect::<Vec<_>>();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
    }

    /// A token with these claims.
    pub fn token(&self, claims: &Value) -> String {
        let algorithm = match self {
            Self::Hs256(_) => "HS256",
            Self::EdDsa(_) => "EdDSA",
            Self::Es256(_) => "ES256",
        };
        self.token_that_says(algorithm, claims)
    }

    /// A token with a key id.
    pub fn token_of(&self, kid: &str, claims: &Value) -> String {
        self.sign(json!({"alg": "ES256", "kid": kid}), claims)
    }

    /// The public P-256 key as in key sets.
    pub fn jwk(&self, kid: &str) -> Value {
        let Self::Es256(pair) = self else { panic!("of P-256 only") };
        let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        json!({"kty": "EC", "crv": "P-256", "use": "sig", "kid": kid, "x": text(x), "y": text(y)})
    }

    /// A token with any algorithm in its header. `none` is not signed.
    pub fn token_that_says(&self, algorithm: &str, claims: &Value) -> String {
        self.sign(json!({"alg": algorithm, "typ": "JWT"}), claims)
    }

    fn sign(&self, header: Value, claims: &Value) -> String {
        let is_unsigned = header["alg"] == "none";
        let part = |json: Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let signed = format!("{}.{}", part(header), part(claims.clone()));
        if is_unsigned {
            return format!("{signed}.");
        }
        let signature = match self {
            Self::Hs256(secret) => {
                hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), signed.as_bytes()).as_ref().to_vec()
            }
            Self::EdDsa(pair) => pair.sign(signed.as_bytes()).as_ref().to_vec(),
            Self::Es256(pair) => {
                let signature = pair.sign(&SystemRandom::new(), signed.as_bytes());
                signature.expect("random bytes").as_ref().to_vec()
            }
        };
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// The claims of a user with this expiry, seconds since the Unix epoch.
pub fn claims(user: &str, expires_at: u64) -> Value {
    json!({"sub": user, "exp": expires_at})
}
