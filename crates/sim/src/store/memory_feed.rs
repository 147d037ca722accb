use std::ops::Bound;
use std::pin::pin;

use async_trait::async_trait;
use parlance_core::RoomId;
use parlance_store::StoreError;
use parlance_store::consumers::{
    ConsumerName, ConsumerState, ConsumerTable, ConsumerWrite, ListedConsumer, Removed, RoomPage,
    RoomProgress, Wanted,
};
use parlance_store::feed::{ChangeFeed, FeedPage, Position};

use super::MemoryStore;

impl MemoryStore {
    /// Trims everything currently in the feed.
    pub fn trim_feed(&self) {
        let mut tables = self.tables();
        tables.feed.trimmed = tables.feed.tip();
    }
}

#[async_trait]
impl ChangeFeed for MemoryStore {
    async fn tip(&self) -> Result<Position, StoreError> {
        let tables = self.tables();
        Ok(Position::numbered(&tables.identity, tables.feed.tip() as u64))
    }

    async fn records_after(&self, after: &Position, limit: usize) -> Result<FeedPage, StoreError> {
        let tables = self.tables();
        Ok(tables.feed.page(&tables.identity, after, limit))
    }

    async fn wait(&self, position: &Position) {
        let moved = self.tables().feed.moved.clone();
        loop {
            let mut notified = pin!(moved.notified());
            notified.as_mut().enable();
            if self.tip().await.is_ok_and(|tip| tip != *position) {
                return;
            }
            notified.await;
        }
    }

    async fn walk_rooms(&self, after: Option<&RoomId>, limit: usize) -> Result<Vec<RoomId>, StoreError> {
        let tables = self.tables();
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let rooms = tables.rooms.range::<RoomId, _>((from, Bound::Unbounded));
        Ok(rooms.take(limit).map(|(room, _)| room.clone()).collect())
    }
}

#[async_trait]
impl ConsumerTable for MemoryStore {
    async fn consumers(&self) -> Result<Vec<ListedConsumer>, StoreError> {
        let tables = self.tables();
        Ok(tables.consumers.states.iter().map(|(name, state)| (name.clone(), Ok(state.clone()))).collect())
    }

    async fn consumer(&self, name: &ConsumerName) -> Result<Option<ConsumerState>, StoreError> {
        Ok(self.tables().consumers.states.get(name).cloned())
    }

    async fn progress(
        &self,
        name: &ConsumerName,
        rooms: &[RoomId],
    ) -> Result<Vec<(RoomId, RoomProgress)>, StoreError> {
        let tables = self.tables();
        let row = |room: &RoomId| {
            let progress = tables.consumers.rooms.get(&(name.clone(), room.clone()))?;
            Some((room.clone(), progress.clone()))
        };
        Ok(rooms.iter().filter_map(row).collect())
    }

    async fn rooms(
        &self,
        name: &ConsumerName,
        wanted: Wanted,
        after: Option<&RoomId>,
        limit: usize,
    ) -> Result<RoomPage, StoreError> {
        let tables = self.tables();
        let rows = tables.consumers.rooms.iter().filter(|((owner, room), progress)| {
            owner == name && wanted.matches(progress) && after.is_none_or(|after| room > after)
        });
        let rooms: Vec<_> =
            rows.take(limit).map(|((_, room), progress)| (room.clone(), progress.clone())).collect();
        let next = rooms.last().filter(|_| rooms.len() == limit).map(|(room, _)| room.clone());
        Ok(RoomPage { rooms, next })
    }

    async fn write_consumer(&self, name: &ConsumerName, write: ConsumerWrite) -> Result<(), StoreError> {
        let consumers = &mut self.tables().consumers;
        consumers.states.extend(write.state.map(|state| (name.clone(), state)));
        let rows = write.rooms.into_iter().map(|(room, progress)| ((name.clone(), room), progress));
        consumers.rooms.extend(rows);
        Ok(())
    }

    async fn remove_consumer(&self, name: &ConsumerName) -> Result<Option<Removed>, StoreError> {
        let consumers = &mut self.tables().consumers;
        let (mut removed, is_there) = (Removed::default(), consumers.states.remove(name).is_some());
        consumers.rooms.retain(|(owner, _), progress| {
            let is_other = owner != name;
            if !is_other {
                removed.count(progress);
            }
            is_other
        });
        Ok((is_there || removed.rooms > 0).then_some(removed))
    }
}
