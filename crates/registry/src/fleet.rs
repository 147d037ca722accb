use std::fmt;

use ring::digest::{SHA256, digest};
use ring::hmac::{self, HMAC_SHA256};

/// A node's fleet: the nodes on one store that share one prefix in Redis. Short, since every envelope carries it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FleetTag([u8; Self::LENGTH]);

impl FleetTag {
    /// Length of a tag in bytes: two fleets in 2^32 pairs share one.
    pub(crate) const LENGTH: usize = 8; // format

    /// The fleet on the store with this identity and key prefix.
    pub fn of(store_identity: &str, prefix: &str) -> Self {
        // Neither can contain a zero byte, so no two pairs are joined to the same text.
        let hash = digest(&SHA256, format!("{store_identity}\0{prefix}").as_bytes());
        let mut tag = [0; Self::LENGTH];
        tag.copy_from_slice(&hash.as_ref()[..Self::LENGTH]);
        Self(tag)
    }

    #[cfg(any(feature = "redis", test))]
    pub(crate) fn from_bytes(bytes: [u8; Self::LENGTH]) -> Self {
        Self(bytes)
    }

    /// The tag as sent.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A secret shared by the nodes of one fleet, which proves that one of them published a message. Otherwise anyone who
/// can publish in Redis could impersonate them.
#[derive(Clone)]
pub struct FleetKey(hmac::Key);

/// The proof that a node of the fleet published a message.
pub type Seal = [u8; FleetKey::SEAL];

impl FleetKey {
    /// Length of a seal in bytes: one in 2^128 guesses passes.
    pub const SEAL: usize = 16; // format

    /// Derives the key of `fleet` from a secret of its store.
    pub fn derive(secret: &[u8], fleet: FleetTag) -> Self {
        let mut context = hmac::Context::with_key(&hmac::Key::new(HMAC_SHA256, secret));
        context.update(b"parlance envelopes\0");
        context.update(fleet.as_bytes());
        Self(hmac::Key::new(HMAC_SHA256, context.sign().as_ref()))
    }

    /// The seal of a message published to `channel`: covers `head`, of a fixed length after the sender's id, and
    /// `payload`.
    pub fn seal(&self, channel: &str, head: &[u8], payload: &[u8]) -> Seal {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(channel.as_bytes());
        // No channel name contains this byte.
        context.update(b"\0");
        context.update(head);
        context.update(payload);
        let mut seal = [0; Self::SEAL];
        seal.copy_from_slice(&context.sign().as_ref()[..Self::SEAL]);
        seal
    }
}

impl fmt::Debug for FleetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FleetKey")
    }
}

/// Hexadecimal.
impl fmt::Display for FleetTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for FleetTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FleetTag({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Must be the same on nodes of different versions.
    #[test]
    fn tags_are_stable() {
        assert_eq!(FleetTag::of("store", "parlance:").to_string(), "e9ce005fba3c2445");
    }

    /// Must be the same on nodes of different versions, too.
    #[test]
    fn seals_are_stable() {
        let fleet = FleetTag::from_bytes(*b"thefleet");
        let seal = FleetKey::derive(&[7; 32], fleet).seal("channel", b"head", b"payload");
        assert_eq!(seal, SEAL, "{seal:02x?}");
        for other in [
            FleetKey::derive(&[8; 32], fleet).seal("channel", b"head", b"payload"),
            FleetKey::derive(&[7; 32], FleetTag::from_bytes(*b"another!"))
                .seal("channel", b"head", b"payload"),
            FleetKey::derive(&[7; 32], fleet).seal("another", b"head", b"payload"),
            FleetKey::derive(&[7; 32], fleet).seal("channel", b"heap", b"payload"),
            FleetKey::derive(&[7; 32], fleet).seal("channel", b"head", b"payloaf"),
        ] {
            assert_ne!(other, SEAL);
        }
    }

    const SEAL: Seal =
        [0x86, 0xf5, 0x64, 0xfa, 0x5b, 0xe2, 0x2f, 0x4a, 0x7d, 0x9e, 0xe4, 0xa7, 0xb3, 0x7d, 0x33, 0x5c];

    #[test]
    fn tag_depends_on_store_and_prefix() {
        let tag = FleetTag::of("store", "parlance:");
        assert_ne!(tag, FleetTag::of("restored", "parlance:"));
        assert_ne!(tag, FleetTag::of("store", "staging:"));
        assert_ne!(FleetTag::of("ab", "c"), FleetTag::of("a", "bc"));
    }
}
