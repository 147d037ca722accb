//! Random numbers without a dependency.

use std::hash::{BuildHasher, RandomState};

/// The standard library seeds its hash maps from the operating system, so the hash of
/// nothing under a fresh seed is a random number without a dependency. Good enough to
/// distinguish clients, but not for secrets.
#[expect(clippy::disallowed_methods, reason = "a client has no seeded source, and needs none")]
pub(crate) fn random_number() -> u64 {
    RandomState::new().hash_one(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_numbers_differ() {
        assert_ne!(random_number(), random_number());
    }
}
