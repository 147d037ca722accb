//! Random values.

use parlance_core::Nonce;
use ring::rand::{SecureRandom, SystemRandom};

/// `N` random bytes.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    if SystemRandom::new().fill(&mut bytes).is_err() {
        unreachable!("the operating system has random bytes");
    }
    bytes
}

/// Tells one append from any other.
pub(crate) fn nonce() -> Nonce {
    bytes()
}
