use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use parlance_core::RoomId;
use parlance_store::StoreError;
use parlance_store::consumers::{
    ConsumerName, ConsumerState, ConsumerTable, ConsumerWrite, ListedConsumer, Removed, RoomPage,
    RoomProgress, Wanted,
};
use parlance_stream::log::Log;

use super::seen::Seen;
use crate::Plant;

/// A table of consumers with a bug.
pub(super) struct PlantedTable {
    inner: Arc<dyn ConsumerTable>,
    log: Arc<dyn Log>,
    seen: Arc<Seen>,
    bug: Plant,
    /// Rows deferred to the next write.
    put_off: Mutex<Vec<(RoomId, RoomProgress)>>,
}

impl PlantedTable {
    pub(super) fn new(inner: Arc<dyn ConsumerTable>, log: Arc<dyn Log>, seen: Arc<Seen>, bug: Plant) -> Self {
        Self { inner, log, seen, bug, put_off: Mutex::default() }
    }

    /// Modifies rows as they are read.
    async fn read(&self, rows: &mut [(RoomId, RoomProgress)]) -> Result<(), StoreError> {
        if self.bug == Plant::GuardOnSeqAlone {
            for (room, row) in rows {
                // Delivered events count as delivered, in any epoch.
                if let Some(head) = self.log.room(room).await? {
                    row.done.epoch = head.epoch;
                }
            }
        }
        Ok(())
    }
}

#[async_trait]
impl ConsumerTable for PlantedTable {
    async fn consumers(&self) -> Result<Vec<ListedConsumer>, StoreError> {
        self.inner.consumers().await
    }

    async fn consumer(&self, name: &ConsumerName) -> Result<Option<ConsumerState>, StoreError> {
        self.inner.consumer(name).await
    }

    async fn progress(
        &self,
        name: &ConsumerName,
        rooms: &[RoomId],
    ) -> Result<Vec<(RoomId, RoomProgress)>, StoreError> {
        let mut rows = self.inner.progress(name, rooms).await?;
        self.read(&mut rows).await?;
        Ok(rows)
    }

    async fn rooms(
        &self,
        name: &ConsumerName,
        wanted: Wanted,
        after: Option<&RoomId>,
        limit: usize,
    ) -> Result<RoomPage, StoreError> {
        let mut page = self.inner.rooms(name, wanted, after, limit).await?;
        self.read(&mut page.rooms).await?;
        Ok(page)
    }

    async fn write_consumer(&self, name: &ConsumerName, mut write: ConsumerWrite) -> Result<(), StoreError> {
        let is_early = match self.bug {
            Plant::CheckpointTheHighest => write.rooms.iter().any(|(_, row)| !row.pending),
            Plant::CheckpointBeforeTheEffect => true,
            _ => false,
        };
        if let (true, Some(state), Some(read)) =
            (is_early, &mut write.state, self.seen.sights().position.clone())
        {
            state.position = read;
        }
        if self.bug == Plant::CheckpointApart {
            let mut put_off = self.put_off.lock().unwrap_or_else(PoisonError::into_inner);
            write.rooms = std::mem::replace(&mut *put_off, write.rooms);
        }
        self.inner.write_consumer(name, write).await
    }

    async fn remove_consumer(&self, name: &ConsumerName) -> Result<Option<Removed>, StoreError> {
        self.inner.remove_consumer(name).await
    }
}
