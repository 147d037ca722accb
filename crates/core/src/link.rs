use std::fmt;
use std::hint::black_box;

use crate::{Timestamp, UserId};

/// The SHA-256 of a link's secret. The secret itself is stored nowhere.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LinkHash([u8; Self::BYTES]);

impl LinkHash {
    /// Its size.
    pub const BYTES: usize = 32; // format

    /// The hash of these bytes.
    pub fn new(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    /// Whether both are the same, in a time that does not depend on where they differ.
    fn is(&self, other: &Self) -> bool {
        let differing = self.0.iter().zip(&other.0).fold(0, |all, (one, two)| black_box(all | (one ^ two)));
        differing == 0
    }
}

impl fmt::Debug for LinkHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkHash(..)")
    }
}

/// Whoever has its secret may become a member of a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The event that made it: the public id of the link.
    pub seq: u64,
    /// The hash of its secret.
    pub hash: LinkHash,
    /// Who made it.
    pub by: UserId,
    /// When.
    pub at: Timestamp,
    /// When it expires.
    pub until: Timestamp,
    /// How many may join by it; 0 for any number.
    pub max_uses: u32,
    /// How many have.
    pub uses: u32,
    /// Whether the app's own backend made it, which may always invite.
    pub by_app: bool,
}

impl Link {
    /// Whether it can be used at `at`, as long as who made it may invite.
    pub fn is_open_at(&self, at: Timestamp) -> bool {
        at < self.until && (self.max_uses == 0 || self.uses < self.max_uses)
    }

    /// Whether `hash` is that of its secret.
    pub(crate) fn has(&self, hash: &LinkHash) -> bool {
        self.hash.is(hash)
    }
}
