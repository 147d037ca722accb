use async_trait::async_trait;

use crate::error::StoreError;
use crate::room_ids::RoomIds;
use crate::{
    BlockStore, DirectoryStore, InvitationStore, LogStore, MarkStore, MemberStore, ReportStore, UserStore,
};

/// The tables of Parlance.
///
/// Reads see every write that was acknowledged before they began, and nothing that could still be lost. All of them
/// are safe to repeat.
#[async_trait]
pub trait Store:
    LogStore + MemberStore + MarkStore + UserStore + BlockStore + ReportStore + InvitationStore + DirectoryStore
{
    /// A random id of this store, of letters and digits. A copy of the store, or one restored from a backup, has
    /// another one. Must be called first: it also determines the minimum epoch of the store's rooms.
    async fn identity(&self) -> Result<String, StoreError>;

    /// How ids of groups and channels are derived in this store: always the same, on every node, in copies and in
    /// restored backups.
    async fn room_ids(&self) -> Result<RoomIds, StoreError>;

    /// The last note of a node, see [`Self::leave_note`].
    async fn last_note(&self) -> Result<Option<String>, StoreError> {
        Ok(None)
    }

    /// Replaces the one note shared by all nodes of the store. Connected nodes leave notes, so that a disconnected
    /// one can tell from changing notes that only it is cut off. A store of one node keeps none.
    async fn leave_note(&self, _note: &str) -> Result<(), StoreError> {
        Ok(())
    }

    /// Resolves once the store has failed permanently, with the reason.
    async fn failed(&self) -> String;
}
