use async_trait::async_trait;

use crate::error::StoreError;
use crate::room_ids::RoomIds;
use crate::{LogStore, MarkStore, MemberStore, UserStore};

/// The tables of Parlance.
///
/// Reads see everything whose write was acknowledged before they began, and nothing
/// that could still be lost. All of them are safe to repeat.
#[async_trait]
pub trait Store: LogStore + MemberStore + MarkStore + UserStore {
    /// A random id of this store, of letters and digits. A copy of the store has another one, and
    /// so has a store that was restored from a backup. Asked for before anything else: it also
    /// settles the epoch that no room of the store is below.
    async fn identity(&self) -> Result<String, StoreError>;

    /// How ids of groups and channels are made in this store: always the same, on every node, in
    /// copies and in restored backups.
    async fn room_ids(&self) -> Result<RoomIds, StoreError>;

    /// The note that a node left last, see [`Self::leave_note`].
    async fn last_note(&self) -> Result<Option<String>, StoreError> {
        Ok(None)
    }

    /// Replaces the one note that all nodes of the store share. Nodes that reach each other leave
    /// notes, so that one that does not can tell from changing notes that it is alone in that. A
    /// store of one node keeps none.
    async fn leave_note(&self, _note: &str) -> Result<(), StoreError> {
        Ok(())
    }

    /// Resolves once the store has failed for good, with the reason.
    async fn failed(&self) -> String;
}
