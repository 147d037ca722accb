//! Limits of tokens and keys, each with its reason.

use std::time::Duration;

use parlance_runtime::rate::Rate;

/// Longest accepted token, bytes: even tokens with many claims are shorter.
pub(crate) const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// Refused tokens logged per second: enough to find a mistake, although anyone may send any
/// number of them.
pub(crate) const REFUSED_TOKENS_LOGGED: Rate = Rate::per_second(20, 20);

/// Bytes of a fingerprint: enough to distinguish the few keys of one deployment.
pub(crate) const KEY_FINGERPRINT_BYTES: usize = 8;

/// Shortest accepted RSA key, bytes of its modulus.
pub(crate) const MIN_RSA_BYTES: usize = 2048 / 8;

/// Longest accepted RSA key: verification time grows with its length.
pub(crate) const MAX_RSA_BYTES: usize = 8192 / 8;

/// Largest published key set: a hundred RSA keys with their certificates.
pub(crate) const MAX_JWKS_BYTES: usize = 256 * 1024;

/// Keys used from one set. A token without a key id is tried with each key of its algorithm.
pub(crate) const MAX_KEYS: usize = 64;

/// How often a key set is fetched. A parameter, so that tests need not wait.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Timeout of a fetch, including the DNS lookup.
    pub within: Duration,
    /// Minimum interval between fetches for unknown keys: anyone can name keys that do not
    /// exist.
    pub at_most_every: Duration,
    /// Interval of regular fetches: a withdrawn key is accepted for this long.
    pub every: Duration,
    /// Retry interval while no key is known at all.
    pub first_again: Duration,
}

impl Pace {
    /// Values for production.
    pub const PRODUCTION: Self = Self {
        within: Duration::from_secs(5),
        at_most_every: Duration::from_secs(30),
        every: Duration::from_secs(300),
        first_again: Duration::from_secs(2),
    };
}

/// Revocations that a node keeps in memory: some 20 MB.
pub(crate) const MAX_REVOCATIONS: usize = 100_000;
