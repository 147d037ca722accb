use std::time::Duration;

use async_trait::async_trait;
use parlance_core::RoomId;
use parlance_store::StoreError;
use parlance_store::feed::{ChangeFeed, FeedPage, Position, Record};

use super::{DISORDER, World, lock};

impl World {
    fn end(&self) -> Position {
        Position::numbered(&self.identity(), lock(&self.state).records.len() as u64)
    }
}

#[async_trait]
impl ChangeFeed for World {
    async fn tip(&self) -> Result<Position, StoreError> {
        let takes = *lock(&self.tip_takes);
        tokio::time::sleep(takes).await;
        if *lock(&self.tips_failing) {
            return Err(StoreError::Overloaded);
        }
        Ok(self.end())
    }

    async fn records_after(&self, after: &Position, limit: usize) -> Result<FeedPage, StoreError> {
        if let Some(error) = lock(&self.feed_failing).clone() {
            return Err(error);
        }
        if self.chance(5) {
            return Err(StoreError::Overloaded);
        }
        let identity = self.identity();
        let state = lock(&self.state);
        let after = after.number_in(&identity).map(|number| number as usize);
        let Some(after) = after.filter(|after| (state.trimmed..=state.records.len()).contains(after)) else {
            return Ok(FeedPage::Trimmed);
        };
        let to = state.records.len().min(after + limit);
        let record = |index: usize| {
            let (at, changes) = state.records[index].clone();
            Record { position: Position::numbered(&identity, index as u64 + 1), at, changes }
        };
        let records = (after..to).map(record).collect();
        let unread = lock(&self.part_failing).clone();
        Ok(FeedPage::Records { records, next: Position::numbered(&identity, to as u64), unread })
    }

    async fn wait(&self, position: &Position) {
        loop {
            let moved = self.moved.notified();
            if self.end() != *position {
                return;
            }
            moved.await;
        }
    }

    async fn walk_rooms(&self, after: Option<&RoomId>, limit: usize) -> Result<Vec<RoomId>, StoreError> {
        let slow = *lock(&self.slow);
        tokio::time::sleep(slow).await;
        let state = lock(&self.state);
        let rooms = state.rooms.keys().filter(|room| after.is_none_or(|after| *room > after));
        Ok(rooms.take(limit).cloned().collect())
    }

    fn disorder(&self) -> Duration {
        if self.disorderly { DISORDER } else { Duration::ZERO }
    }
}
