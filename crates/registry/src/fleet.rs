use std::fmt;

use ring::digest::{SHA256, digest};
use ring::hmac::{self, HMAC_SHA256};

/// The fleet that a node belongs to: nodes on one store that share one prefix in Redis. Short,
/// since every envelope carries it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FleetTag([u8; Self::LENGTH]);

impl FleetTag {
    /// Bytes of a tag: two fleets in 2^32 pairs share one.
    pub(crate) const LENGTH: usize = 8;

    /// The fleet on the store of this identity with this key prefix.
    pub fn of(store_identity: &str, prefix: &str) -> Self {
        // Neither can hold a zero byte, so no two pairs are joined to the same text.
        let hash = digest(&SHA256, format!("{store_identity}\0{prefix}").as_bytes());
        let mut tag = [0; Self::LENGTH];
        tag.copy_from_slice(&hash.as_ref()[..Self::LENGTH]);
        Self(tag)
    }

    #[cfg(any(feature = "redis", test))]
    pub(crate) fn from_bytes(bytes: [u8; Self::LENGTH]) -> Self {
        Self(bytes)
    }

    /// The tag as it is sent.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// What nodes of one fleet know and nobody else: it proves that one of them published something.
/// Whoever can publish in Redis could otherwise say anything in their name.
#[derive(Clone)]
pub struct FleetKey(hmac::Key);

/// The proof that a node of the fleet published something.
pub type Seal = [u8; FleetKey::SEAL];

impl FleetKey {
    /// Bytes of a seal: one in 2^128 guesses passes.
    pub const SEAL: usize = 16;

    /// The key of `fleet`, out of a secret of its store.
    pub fn derive(secret: &[u8], fleet: FleetTag) -> Self {
        let mut context = hmac::Context::with_key(&hmac::Key::new(HMAC_SHA256, secret));
        context.update(b"parlance envelopes\0");
        context.update(fleet.as_bytes());
        Self(hmac::Key::new(HMAC_SHA256, context.sign().as_ref()))
    }

    /// The seal of what is published to `channel`: `head` of a fixed length behind the sender's
    /// id, and `payload`.
    pub fn seal(&self, channel: &str, head: &[u8], payload: &[u8]) -> Seal {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(channel.as_bytes());
        // No channel has this in its name.
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

    /// Nodes of different versions have to agree.
    #[test]
    fn tags_are_stable() {
        assert_eq!(FleetTag::of("store", "parlance:").to_string(), "e9ce005fba3c2445");
    }

    /// Nodes of different versions have to agree on this, too.
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
    fn store_and_prefix_both_make_the_tag() {
        let tag = FleetTag::of("store", "parlance:");
        assert_ne!(tag, FleetTag::of("restored", "parlance:"));
        assert_ne!(tag, FleetTag::of("store", "staging:"));
        assert_ne!(FleetTag::of("ab", "c"), FleetTag::of("a", "bc"));
    }
}
