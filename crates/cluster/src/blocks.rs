//! Whom users block, read from the store once, and announced to other nodes when it changes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parlance_core::{Blocks, RoomId, UserId};
use parlance_store::StoreError;

use crate::cluster::Cluster;
use crate::envelope::{self, encode};
use crate::signal_room::SignalRoom;

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
            && self.notify_all_nodes(encode(envelope::blocks_changed(user))).await.is_err()
        {
            self.registry.report_unpublished();
        }
    }

    /// Whether `room` is a direct room in which `user` or the other one blocks the other.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn has_block_in(&self, user: &UserId, room: &SignalRoom) -> Result<bool, StoreError> {
        if !room.room.may_be_direct() || room.head.member_count() != 2 {
            return Ok(false);
        }
        let (store, page) = (self.store.as_ref(), self.sizes.members_page);
        let members = self.audiences.of(store, &room.room, room.head, &BTreeSet::new(), page).await?;
        let Some(other) = members.iter().find(|member| *member != user) else { return Ok(false) };
        self.has_block_between(user, other).await.map(|has| has && RoomId::direct(user, other) == room.room)
    }

    /// Whether one of the two blocks the other.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn has_block_between(&self, user: &UserId, other: &UserId) -> Result<bool, StoreError> {
        Ok(self.blocks_of(user).await?.contains(other) || self.blocks_of(other).await?.contains(user))
    }

    /// Another node has changed whom a user blocks.
    pub(crate) fn blocks_changed_elsewhere(&self, user: &str) {
        if let Ok(user) = UserId::parse(user) {
            self.blocks.forget(&user);
        }
    }
}
