//! Whom users block, as far as this node has asked the store.
//!
//! Other nodes announce changes. Whenever an announcement may have been lost, everything is forgotten.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parlance_core::evict::survivors;
use parlance_core::{Blocks, UserId};
use parlance_runtime::map::Map;
use parlance_store::StoreError;

use crate::cluster::Cluster;
use crate::envelope::{self, encode};
use crate::limits::KNOWN_BLOCKS;

/// Lists of blocked users.
#[derive(Default)]
pub(crate) struct KnownBlocks {
    of: Map<UserId, Arc<Blocks>>,
    /// Counts what was forgotten: a list that was being read meanwhile may be out of date.
    forgotten: AtomicU64,
}

impl KnownBlocks {
    fn forget(&self, user: &UserId) {
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
        let known = self.of.len();
        if known > KNOWN_BLOCKS {
            let mut survives = survivors(known, KNOWN_BLOCKS);
            self.of.retain(|_, _| survives());
        }
    }
}

impl Cluster {
    /// Whom `user` blocks: read once, and again after a change.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn blocks_of(&self, user: &UserId) -> Result<Arc<Blocks>, StoreError> {
        if let Some(known) = self.blocks.of.get(user) {
            return Ok(known.clone());
        }
        let forgotten = self.blocks.forgotten.load(Ordering::SeqCst);
        let blocks = Arc::new(self.store.blocks(user).await?);
        self.blocks.of.insert(user.clone(), blocks.clone());
        if self.blocks.forgotten.load(Ordering::SeqCst) != forgotten {
            self.blocks.of.remove(user);
        }
        Ok(blocks)
    }

    /// Records that this node has changed whom `user` blocks, and announces it.
    pub async fn blocks_changed(&self, user: &UserId) {
        self.blocks.forget(user);
        if self.registry.is_shared()
            && self.tell_all_nodes(encode(envelope::blocks_changed(user))).await.is_err()
        {
            self.registry.report_unpublished();
        }
    }

    /// Another node has changed whom a user blocks.
    pub(crate) fn blocks_changed_elsewhere(&self, user: &str) {
        if let Ok(user) = UserId::parse(user) {
            self.blocks.forget(&user);
        }
    }
}
