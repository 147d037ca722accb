//! Tokens signed like those of an application's own backend: HS256.

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parlance_core::{Clock as _, SystemClock};
use ring::hmac;

/// Any secret of at least 32 bytes: it only protects a run on loopback.
pub const SECRET: &str = "the-secret-of-a-run-that-lasts-minutes";

/// Longer than any run.
const LIFETIME: u64 = 7 * 24 * 3600;

/// A token for `user`.
pub fn token(user: &str) -> Result<String> {
    signed(user, SECRET)
}

/// A token for `user`, signed with `secret`.
pub fn signed(user: &str, secret: &str) -> Result<String> {
    let now = SystemClock.now().0 / 1_000;
    let claims = serde_json::json!({ "sub": user, "exp": now + LIFETIME }).to_string();
    let header = URL_SAFE_NO_PAD.encode(br#"{"alg":"HS256","typ":"JWT"}"#);
    let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes()));
    Ok(format!("{signed}.{signature}"))
}
