//! Whom users block, as far as this node has asked the store.
//!
//! Other nodes announce changes. Whenever an announcement may have been lost, everything is forgotten.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parlance_core::{Blocks, UserId};
use parlance_runtime::map::Map;

use crate::limits::KNOWN_BLOCKS;

/// Lists of blocked users.
#[derive(Default)]
pub(crate) struct KnownBlocks {
    pub(crate) of: Map<UserId, Arc<Blocks>>,
    /// Incremented when something is forgotten: a list that was read in the meantime may be out of date.
    pub(crate) forgotten: AtomicU64,
}

impl KnownBlocks {
    pub(crate) fn forget(&self, user: &UserId) {
        self.forgotten.fetch_add(1, Ordering::SeqCst);
        self.of.remove(user);
    }

    /// Forgets all of them.
    pub(crate) fn forget_all(&self) {
        self.forgotten.fetch_add(1, Ordering::SeqCst);
        self.of.clear();
    }

    /// Evicts a part of an oversized cache.
    pub(crate) fn trim(&self) {
        self.of.evict(KNOWN_BLOCKS);
    }
}
