//! The change feed and its consumers, as plain values.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::pin::pin;
use std::sync::Arc;

use async_trait::async_trait;
use parlance_core::{Append, RoomId, Timestamp, UserId};
use parlance_store::StoreError;
use parlance_store::consumers::{
    ConsumerName, ConsumerState, ConsumerTable, ConsumerWrite, RoomPage, RoomProgress, Wanted,
};
use parlance_store::feed::{ChangeFeed, Changes, FeedPage, Position, Record};
use tokio::sync::Notify;

use super::MemoryStore;

/// One entry for each commit.
#[derive(Default)]
pub(super) struct FeedLog {
    entries: Vec<(Timestamp, Changes)>,
    /// Entries that are no longer there.
    trimmed: usize,
    moved: Arc<Notify>,
}

impl FeedLog {
    pub(super) fn append(&mut self, room: &RoomId, append: &Append) {
        let mut changes = Changes::default();
        changes.append(room, append.chunk.first_seq(), append.chunk.head().seq());
        changes.members = append.members.iter().map(|member| (room.clone(), member.user.clone())).collect();
        let at = append.chunk.events().last().map(|event| event.at);
        self.push(at.unwrap_or(Timestamp(0)), changes);
    }

    pub(super) fn mark(&mut self, room: &RoomId, user: &UserId) {
        let marks = vec![(room.clone(), user.clone())];
        self.push(self.last_at(), Changes { marks, ..Changes::default() });
    }

    pub(super) fn profile(&mut self, user: &UserId) {
        self.push(self.last_at(), Changes { profiles: vec![user.clone()], ..Changes::default() });
    }

    /// The time of the last append: what else is written has none.
    fn last_at(&self) -> Timestamp {
        self.entries.last().map_or(Timestamp(0), |(at, _)| *at)
    }

    fn push(&mut self, at: Timestamp, changes: Changes) {
        self.entries.push((at, changes));
        self.moved.notify_waiters();
    }

    fn tip(&self) -> usize {
        self.entries.len()
    }

    fn page(&self, identity: &str, after: &Position, limit: usize) -> FeedPage {
        let after = after.number_in(identity).and_then(|number| usize::try_from(number).ok());
        let Some(after) = after.filter(|after| (self.trimmed..=self.tip()).contains(after)) else {
            return FeedPage::Trimmed;
        };
        let to = self.tip().min(after.saturating_add(limit));
        let records = (after..to).map(|index| {
            let (at, changes) = self.entries[index].clone();
            Record { position: Position::numbered(identity, index as u64 + 1), at, changes }
        });
        FeedPage::Records { records: records.collect(), next: Position::numbered(identity, to as u64) }
    }
}

/// Consumers, and rows of their rooms.
#[derive(Default)]
pub(super) struct Consumers {
    states: BTreeMap<ConsumerName, ConsumerState>,
    rooms: BTreeMap<(ConsumerName, RoomId), RoomProgress>,
}

impl MemoryStore {
    /// Drops everything that is in the feed now.
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
    async fn consumers(&self) -> Result<Vec<(ConsumerName, ConsumerState)>, StoreError> {
        let tables = self.tables();
        Ok(tables.consumers.states.iter().map(|(name, state)| (name.clone(), state.clone())).collect())
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
}
