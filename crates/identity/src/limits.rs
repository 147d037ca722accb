//! Bounds of tokens and keys, each with its reason.

use std::time::Duration;

/// Longest token that is looked at, bytes: a token with many claims stays below.
pub(crate) const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// Refused tokens that are logged in a second: enough to find a mistake, while anyone may send
/// as many as they like.
pub(crate) const REFUSED_TOKENS_LOGGED: u64 = 20;

/// Bytes of a fingerprint: enough to tell the few keys of one place apart.
pub(crate) const KEY_FINGERPRINT_BYTES: usize = 8;

/// Shortest RSA key that signatures are verified with, bytes of its modulus.
pub(crate) const MIN_RSA_BYTES: usize = 2048 / 8;

/// Longest one: verifying takes longer with each bit.
pub(crate) const MAX_RSA_BYTES: usize = 8192 / 8;

/// Largest published key set: a hundred RSA keys with their certificates.
pub(crate) const MAX_JWKS_BYTES: usize = 256 * 1024;

/// Keys of one set that are used. A token that names no key is tried with each of its algorithm.
pub(crate) const MAX_KEYS: usize = 64;

/// How often a key set is fetched. A parameter, so that tests need not wait.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// How long one may take to arrive, from looking up its host on.
    pub within: Duration,
    /// Between two fetches that unknown keys cause: anyone can name keys that there are not.
    pub at_most_every: Duration,
    /// Between two without a cause: so long a key that was withdrawn still counts.
    pub every: Duration,
    /// Until the next one while no key is known at all.
    pub first_again: Duration,
}

impl Pace {
    /// What a server runs with.
    pub const PRODUCTION: Self = Self {
        within: Duration::from_secs(5),
        at_most_every: Duration::from_secs(30),
        every: Duration::from_secs(300),
        first_again: Duration::from_secs(2),
    };
}

/// Revoked tokens and users that a node keeps in memory: some 20 MB.
pub(crate) const MAX_REVOCATIONS: usize = 100_000;
