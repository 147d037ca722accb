//! Restricts a consumer to the time of its lease.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use parlance_core::RoomId;
use parlance_proto::events::v1::RoomEvent;
use parlance_store::StoreError;
use parlance_store::consumers::{
    ConsumerName, ConsumerState, ConsumerTable, ConsumerWrite, Fence, ListedConsumer, Removed, RoomPage,
    RoomProgress, Wanted,
};
use tokio::time::Instant;

use crate::consumer::Parts;
use crate::sink::{Delivered, EventSink, SinkError};

/// Tracks whether the lease is still valid.
#[derive(Clone)]
pub(super) struct Guard {
    valid_until: Arc<Mutex<Instant>>,
    safe: Duration,
}

impl Guard {
    /// Valid for `safe` after `taken`, and after each renewal.
    pub(super) fn new(taken: Instant, safe: Duration) -> Self {
        Self { valid_until: Arc::new(Mutex::new(taken + safe)), safe }
    }

    /// Wraps `parts` so that sink and table only work while the lease is valid, which was
    /// acquired for `term`.
    pub(super) fn over(&self, parts: &Parts, term: u64) -> Parts {
        let sink = GuardedSink { guard: self.clone(), inner: parts.sink.clone() };
        let table =
            GuardedTable { guard: self.clone(), inner: parts.table.clone(), term, writes: AtomicU64::new(0) };
        Parts { sink: Arc::new(sink), table: Arc::new(table), ..parts.clone() }
    }

    fn valid_until(&self) -> MutexGuard<'_, Instant> {
        self.valid_until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn holds(&self) -> bool {
        Instant::now() < *self.valid_until()
    }

    pub(super) fn renewed(&self, at: Instant) {
        *self.valid_until() = at + self.safe;
    }

    /// Another process holds the lease.
    pub(super) fn lapse(&self) {
        *self.valid_until() = Instant::now();
    }
}

/// A process that is suspended between the check and the effect may repeat the effect.
struct GuardedSink {
    guard: Guard,
    inner: Arc<dyn EventSink>,
}

#[async_trait]
impl EventSink for GuardedSink {
    async fn deliver(&self, room: &RoomId, events: &[RoomEvent]) -> Delivered {
        if self.guard.holds() {
            return self.inner.deliver(room, events).await;
        }
        Delivered { count: 0, error: Some(SinkError::NotAsked) }
    }

    fn batch(&self) -> usize {
        self.inner.batch()
    }

    fn is_away(&self) -> bool {
        self.inner.is_away()
    }
}

/// Adds the term and order of each write, so that the table refuses late writes of a suspended
/// process.
struct GuardedTable {
    guard: Guard,
    inner: Arc<dyn ConsumerTable>,
    term: u64,
    writes: AtomicU64,
}

#[async_trait]
impl ConsumerTable for GuardedTable {
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
        self.inner.progress(name, rooms).await
    }

    async fn rooms(
        &self,
        name: &ConsumerName,
        wanted: Wanted,
        after: Option<&RoomId>,
        limit: usize,
    ) -> Result<RoomPage, StoreError> {
        self.inner.rooms(name, wanted, after, limit).await
    }

    async fn write_consumer(&self, name: &ConsumerName, write: ConsumerWrite) -> Result<(), StoreError> {
        if !self.guard.holds() {
            return Err(StoreError::Refused("the lease was not renewed in time".to_owned()));
        }
        let number = self.writes.fetch_add(1, Ordering::Relaxed) + 1;
        let fence = Some(Fence { term: self.term, write: number });
        self.inner.write_consumer(name, ConsumerWrite { fence, ..write }).await
    }

    async fn remove_consumer(&self, name: &ConsumerName) -> Result<Option<Removed>, StoreError> {
        self.inner.remove_consumer(name).await
    }
}
