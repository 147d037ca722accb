use std::fmt;

use ring::digest::{SHA256, digest};

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

    pub(crate) fn from_bytes(bytes: [u8; Self::LENGTH]) -> Self {
        Self(bytes)
    }

    /// The tag as it is sent.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
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

    #[test]
    fn store_and_prefix_both_make_the_tag() {
        let tag = FleetTag::of("store", "parlance:");
        assert_ne!(tag, FleetTag::of("restored", "parlance:"));
        assert_ne!(tag, FleetTag::of("store", "staging:"));
        assert_ne!(FleetTag::of("ab", "c"), FleetTag::of("a", "bc"));
    }
}
