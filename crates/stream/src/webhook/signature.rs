use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

/// As required by the specification.
const BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// Signing key of posts: 24 to 64 bytes, written as `whsec_` and base64.
#[derive(Clone)]
pub struct Secret(hmac::Key);

/// Why a text is not a valid secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Not base64.
    #[error("must be whsec_ and base64 with its padding (=), in plain ASCII")]
    Malformed,
    /// Too short or too long.
    #[error("must hold 24 to 64 bytes")]
    Length,
}

impl Secret {
    /// Parses a secret.
    ///
    /// # Errors
    /// What is wrong with it, without revealing it.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let base64 = text.trim().strip_prefix("whsec_").ok_or(SecretError::Malformed)?;
        let bytes = STANDARD.decode(base64).map_err(|_| SecretError::Malformed)?;
        if !BYTES.contains(&bytes.len()) {
            return Err(SecretError::Length);
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }

    /// `v1,` and the signature of a post.
    pub(super) fn sign(&self, id: &str, seconds: u64, body: &[u8]) -> String {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(format!("{id}.{seconds}.").as_bytes());
        context.update(body);
        format!("v1,{}", STANDARD.encode(context.sign()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Secret(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's own libraries.
    #[test]
    fn a_post_is_signed_as_the_specification_says() {
        let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signature =
            secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn invalid_secrets_are_refused_without_showing_them() {
        for wrong in ["", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_???"] {
            assert_eq!(Secret::parse(wrong).err(), Some(SecretError::Malformed), "{wrong:?}");
        }
        assert_eq!(Secret::parse("whsec_c2hvcnQ=").err(), Some(SecretError::Length));
        let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").unwrap();
        assert_eq!(format!("{secret:?}"), "Secret(***)");
    }
}
