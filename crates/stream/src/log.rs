//! Reads the contents of logs.

use std::sync::Arc;

use async_trait::async_trait;
use parlance_core::{Entry, Event, RoomId, RoomKind, SeqRange, Title};
use parlance_store::{Store, StoreError};

/// The current state of a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomHead {
    /// Changes on a restore.
    pub epoch: u64,
    /// Seq of the last event.
    pub head: u64,
    /// First seq that is kept.
    pub floor: u64,
    /// The kind.
    pub kind: RoomKind,
    /// The title.
    pub title: Title,
}

/// Access of consumers to rooms.
#[async_trait]
pub trait Log: Send + Sync + 'static {
    /// A room.
    async fn room(&self, room: &RoomId) -> Result<Option<RoomHead>, StoreError>;

    /// Up to `limit` events of `range` in their present form, by ascending seq.
    async fn read(&self, room: &RoomId, range: SeqRange, limit: usize) -> Result<Vec<Entry>, StoreError>;

    /// About `limit` events that end right before `seq`, by ascending seq.
    async fn before(&self, room: &RoomId, seq: u64, limit: usize) -> Result<Vec<Event>, StoreError>;
}

/// The logs of a store.
pub struct StoreLog(pub Arc<dyn Store>);

#[async_trait]
impl Log for StoreLog {
    async fn room(&self, room: &RoomId) -> Result<Option<RoomHead>, StoreError> {
        let stored = self.0.room(room).await?;
        Ok(stored.map(|stored| RoomHead {
            epoch: stored.info.epoch,
            head: stored.head().seq(),
            floor: stored.info.floor.max(1),
            kind: stored.info.kind,
            title: stored.info.settings.title.clone(),
        }))
    }

    async fn read(&self, room: &RoomId, range: SeqRange, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.0.read(room, range, limit, false).await
    }

    async fn before(&self, room: &RoomId, seq: u64, limit: usize) -> Result<Vec<Event>, StoreError> {
        self.0.events_before(room, seq, limit).await
    }
}
