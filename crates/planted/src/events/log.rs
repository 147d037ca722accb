use std::sync::Arc;

use async_trait::async_trait;
use parlance_core::{Entry, Event, RoomId, SeqRange};
use parlance_store::StoreError;
use parlance_stream::log::{Log, RoomHead};

use super::seen::Seen;
use crate::Plant;

/// A log with a bug.
pub(super) struct PlantedLog {
    pub(super) inner: Arc<dyn Log>,
    pub(super) seen: Arc<Seen>,
    pub(super) bug: Plant,
}

#[async_trait]
impl Log for PlantedLog {
    async fn room(&self, room: &RoomId) -> Result<Option<RoomHead>, StoreError> {
        let mut head = self.inner.room(room).await?;
        let named = self.seen.sights().named.get(room).copied();
        if self.bug == Plant::TrustTheOrder
            && let (Some(head), Some(named)) = (&mut head, named)
        {
            // As if there were nothing before the event named by the last
            // record.
            head.floor = head.floor.max(named);
        }
        Ok(head)
    }

    async fn read(&self, room: &RoomId, range: SeqRange, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.inner.read(room, range, limit).await
    }

    async fn before(&self, room: &RoomId, seq: u64, limit: usize) -> Result<Vec<Event>, StoreError> {
        self.inner.before(room, seq, limit).await
    }
}
