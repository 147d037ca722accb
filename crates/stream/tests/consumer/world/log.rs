use async_trait::async_trait;
use parlance_core::{Entry, Event, RoomId, RoomKind, SeqRange, Title};
use parlance_store::StoreError;
use parlance_stream::log::{Log, RoomHead};

use super::{World, lock};

#[async_trait]
impl Log for World {
    async fn room(&self, room: &RoomId) -> Result<Option<RoomHead>, StoreError> {
        self.call().await?;
        if lock(&self.damaged).as_ref() == Some(room) {
            return Err(StoreError::Damaged("a planted one".to_owned()));
        }
        if lock(&self.unreadable).as_ref() == Some(room) {
            return Err(StoreError::Overloaded);
        }
        let state = lock(&self.state);
        Ok(state.rooms.get(room).map(|room| RoomHead {
            epoch: room.epoch,
            head: room.events.len() as u64,
            floor: room.floor,
            kind: RoomKind::Group,
            title: Title::default(),
        }))
    }

    async fn read(&self, room: &RoomId, range: SeqRange, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let state = lock(&self.state);
        let events = state.rooms.get(room).map(|room| room.events.as_slice()).unwrap_or_default();
        let events = events.iter().filter(|event| range.contains(event.seq)).take(limit);
        Ok(events.map(|event| Entry::merge(event.clone(), None)).collect())
    }

    async fn before(&self, room: &RoomId, seq: u64, limit: usize) -> Result<Vec<Event>, StoreError> {
        let state = lock(&self.state);
        let events = state.rooms.get(room).map(|room| room.events.as_slice()).unwrap_or_default();
        let end = events.len().min(seq as usize - 1);
        Ok(events[end.saturating_sub(limit.min(3))..end].to_vec())
    }
}
