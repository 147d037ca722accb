use std::time::Duration;

use async_trait::async_trait;
use parlance_core::{Clock as _, RoomId};
use parlance_store::StoreError;
use parlance_store::consumers::{
    ConsumerName, ConsumerState, ConsumerTable, ConsumerWrite, ListedConsumer, Removed, RoomPage,
    RoomProgress, Wanted,
};
use parlance_store::feed::Changes;

use super::{World, lock};

#[async_trait]
impl ConsumerTable for World {
    async fn consumers(&self) -> Result<Vec<ListedConsumer>, StoreError> {
        let states = lock(&self.state).states.clone();
        Ok(states.into_iter().map(|(name, state)| (name, Ok(state))).collect())
    }

    async fn consumer(&self, name: &ConsumerName) -> Result<Option<ConsumerState>, StoreError> {
        Ok(lock(&self.state).states.get(name).cloned())
    }

    async fn progress(
        &self,
        name: &ConsumerName,
        rooms: &[RoomId],
    ) -> Result<Vec<(RoomId, RoomProgress)>, StoreError> {
        if self.chance(5) {
            return Err(StoreError::Overloaded);
        }
        let read = {
            let state = lock(&self.state);
            let row =
                |room: &RoomId| Some((room.clone(), state.rows.get(&(name.clone(), room.clone()))?.clone()));
            rooms.iter().filter_map(row).collect()
        };
        let is_slow = lock(&self.slow_row).take_if(|slow| rooms.contains(slow)).is_some();
        if is_slow {
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        Ok(read)
    }

    async fn rooms(
        &self,
        name: &ConsumerName,
        wanted: Wanted,
        after: Option<&RoomId>,
        limit: usize,
    ) -> Result<RoomPage, StoreError> {
        if self.chance(5) {
            return Err(StoreError::Overloaded);
        }
        // As on DynamoDB, a page is of rows, of which few or none may be wanted.
        let most = limit.min(2);
        let state = lock(&self.state);
        let rows = state
            .rows
            .iter()
            .filter(|((owner, room), _)| owner == name && after.is_none_or(|after| room > after));
        let rows: Vec<_> = rows.take(most).map(|((_, id), row)| (id.clone(), row.clone())).collect();
        let next = rows.last().filter(|_| rows.len() == most).map(|(id, _)| id.clone());
        let rooms = rows.into_iter().filter(|(_, row)| wanted.matches(row)).collect();
        Ok(RoomPage { rooms, next })
    }

    async fn write_consumer(&self, name: &ConsumerName, write: ConsumerWrite) -> Result<(), StoreError> {
        let failing = *lock(&self.store_failing);
        if *lock(&self.writes_failing) || self.chance(2 * failing) {
            return Err(StoreError::Overloaded);
        }
        {
            let state = &mut *lock(&self.state);
            let fence = write.fence.unwrap_or_default();
            let mut is_later = |key| {
                let before = state.fences.entry(key).or_default();
                let is_later = fence >= *before;
                *before = fence.max(*before);
                is_later
            };
            let rows: Vec<_> = write
                .rooms
                .into_iter()
                .map(|(room, row)| ((name.clone(), room.clone()), row, Some(room)))
                .collect();
            let mut all = true;
            let mut written = Vec::new();
            for (key, row, room) in rows {
                let is_later = is_later((name.clone(), room));
                all &= is_later;
                written.extend(is_later.then_some((key, row)));
            }
            let own = write.state.filter(|_| all && is_later((name.clone(), None)));
            all &= own.is_some();
            state.rows.extend(written);
            state.states.extend(own.map(|row| (name.clone(), row)));
            if !all {
                return Err(StoreError::Refused("written later".to_owned()));
            }
            // As on the embedded engine, a write produces a record itself.
            state.records.push((self.now(), Changes::default()));
        }
        self.moved.notify_waiters();
        // The answer is lost.
        if self.chance(failing) { Err(StoreError::Overloaded) } else { Ok(()) }
    }

    async fn remove_consumer(&self, name: &ConsumerName) -> Result<Option<Removed>, StoreError> {
        let state = &mut *lock(&self.state);
        let (mut removed, is_there) = (Removed::default(), state.states.remove(name).is_some());
        state.rows.retain(|(owner, _), progress| {
            let is_other = owner != name;
            if !is_other {
                removed.count(progress);
            }
            is_other
        });
        Ok((is_there || removed.rooms > 0).then_some(removed))
    }
}
