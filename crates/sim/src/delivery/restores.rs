//! A store that is restored from a backup of the very moment: it has all events, in a later epoch of each room.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use parlance_core::{Entry, Event, RoomId, SeqRange};
use parlance_store::StoreError;
use parlance_stream::log::{Log, RoomHead, StoreLog};

/// How often the store was restored. Clones share the number.
#[derive(Clone, Default)]
pub(super) struct Restores(Arc<AtomicU64>);

impl Restores {
    pub(super) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// The logs of such a store.
pub(super) struct RestoredLog {
    pub(super) inner: StoreLog,
    pub(super) restores: Restores,
}

#[async_trait]
impl Log for RestoredLog {
    async fn room(&self, room: &RoomId) -> Result<Option<RoomHead>, StoreError> {
        let head = self.inner.room(room).await?;
        Ok(head.map(|head| RoomHead { epoch: head.epoch + self.restores.count(), ..head }))
    }

    async fn read(&self, room: &RoomId, range: SeqRange, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.inner.read(room, range, limit).await
    }

    async fn before(&self, room: &RoomId, seq: u64, limit: usize) -> Result<Vec<Event>, StoreError> {
        self.inner.before(room, seq, limit).await
    }
}
