use std::sync::Arc;

use super::recovery::SyncedMark;
use super::tables::{Commits, Tables};
use crate::identity::Identity;
use crate::room_ids::RoomIds;

/// An open store.
pub(super) struct Opened {
    pub(super) tables: Arc<Tables>,
    pub(super) commits: Commits,
    pub(super) synced: SyncedMark,
    pub(super) identity: Identity,
    pub(super) room_ids: RoomIds,
}
