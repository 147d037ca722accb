use std::sync::Arc;

use async_trait::async_trait;
use parlance_core::RoomId;
use parlance_store::StoreError;
use parlance_store::consumers::{
    ConsumerName, ConsumerState, ConsumerTable, ConsumerWrite, ListedConsumer, Removed, RoomPage,
    RoomProgress, Wanted,
};
use tokio::time::sleep;

use crate::store::MemoryStore;
use crate::weather::Weather;

/// The table of consumers, which takes time, fails and loses answers.
pub(super) struct LossyTable {
    memory: MemoryStore,
    weather: Arc<Weather>,
}

impl LossyTable {
    pub(super) fn new(memory: MemoryStore, weather: Arc<Weather>) -> Self {
        Self { memory, weather }
    }

    async fn go(&self) -> Result<(), StoreError> {
        sleep(self.weather.store_latency()).await;
        if self.weather.store_fails() { Err(StoreError::Overloaded) } else { Ok(()) }
    }
}

#[async_trait]
impl ConsumerTable for LossyTable {
    async fn consumers(&self) -> Result<Vec<ListedConsumer>, StoreError> {
        self.go().await?;
        self.memory.consumers().await
    }

    async fn consumer(&self, name: &ConsumerName) -> Result<Option<ConsumerState>, StoreError> {
        self.go().await?;
        self.memory.consumer(name).await
    }

    async fn progress(
        &self,
        name: &ConsumerName,
        rooms: &[RoomId],
    ) -> Result<Vec<(RoomId, RoomProgress)>, StoreError> {
        self.go().await?;
        self.memory.progress(name, rooms).await
    }

    async fn rooms(
        &self,
        name: &ConsumerName,
        wanted: Wanted,
        after: Option<&RoomId>,
        limit: usize,
    ) -> Result<RoomPage, StoreError> {
        self.go().await?;
        self.memory.rooms(name, wanted, after, limit).await
    }

    async fn write_consumer(&self, name: &ConsumerName, write: ConsumerWrite) -> Result<(), StoreError> {
        self.go().await?;
        self.memory.write_consumer(name, write).await?;
        if self.weather.answer_lost() { Err(StoreError::Overloaded) } else { Ok(()) }
    }

    async fn remove_consumer(&self, name: &ConsumerName) -> Result<Option<Removed>, StoreError> {
        self.go().await?;
        self.memory.remove_consumer(name).await
    }
}
