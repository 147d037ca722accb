//! The table of consumers in the embedded engine. Writes to it share the commits of all others; feed
//! records do not mention them.

use async_trait::async_trait;
use parlance_core::RoomId;
use parlance_proto::storage::v1::{ConsumerRecord, ConsumerRoomRecord};

use super::limits::CONSUMER_SCAN;
use super::tables::Table;
use super::{Embedded, keys};
use crate::StoreError;
use crate::consumers::{
    ConsumerName, ConsumerState, ConsumerTable, ConsumerWrite, ListedConsumer, Removed, RoomPage,
    RoomProgress, Wanted,
};
use crate::feed_record::{decode_consumer, decode_progress, encode_consumer, encode_progress};
use crate::record::carry_unknown;

#[async_trait]
impl ConsumerTable for Embedded {
    async fn consumers(&self) -> Result<Vec<ListedConsumer>, StoreError> {
        self.view(|view| {
            let (mut found, mut after) = (Vec::new(), None);
            // Skips the rows of a consumer's rooms to the next consumer.
            while let Some(name) =
                view.readable_page(Table::Consumers, &[], after, 1, |key, _| name_of(key))?.pop()
            {
                let bytes = view.get(Table::Consumers, &keys::id(name.as_str()))?;
                // Without a row of its own, what it has is what a removal that failed has left.
                let state = bytes.map(|bytes| decode_consumer(&name, &bytes));
                found.extend(state.map(|state| (name.clone(), state)));
                let mut end = name.as_str().as_bytes().to_vec();
                end.push(1);
                after = Some(end);
            }
            Ok(found)
        })
        .await
    }

    async fn consumer(&self, name: &ConsumerName) -> Result<Option<ConsumerState>, StoreError> {
        let name = name.clone();
        self.view(move |view| {
            let bytes = view.get(Table::Consumers, &keys::id(name.as_str()))?;
            bytes.map(|bytes| decode_consumer(&name, &bytes)).transpose()
        })
        .await
    }

    async fn progress(
        &self,
        name: &ConsumerName,
        rooms: &[RoomId],
    ) -> Result<Vec<(RoomId, RoomProgress)>, StoreError> {
        let (name, rooms) = (name.clone(), rooms.to_vec());
        self.view(move |view| {
            let mut found = Vec::with_capacity(rooms.len());
            for room in rooms {
                let key = keys::pair(name.as_str(), room.as_str());
                if let Some(bytes) = view.get(Table::Consumers, &key)? {
                    let progress = decode_progress(&name, &room, &bytes);
                    found.push((room, progress));
                }
            }
            Ok(found)
        })
        .await
    }

    async fn rooms(
        &self,
        name: &ConsumerName,
        wanted: Wanted,
        after: Option<&RoomId>,
        limit: usize,
    ) -> Result<RoomPage, StoreError> {
        let (name, after) = (name.clone(), after.cloned());
        self.view(move |view| {
            let own = keys::id(name.as_str());
            // After the consumer's own row, whose key is a prefix of its rooms' keys.
            let from = match &after {
                Some(room) => keys::pair(name.as_str(), room.as_str()),
                None => own.clone(),
            };
            let rows =
                view.readable_page(Table::Consumers, &own, Some(from), CONSUMER_SCAN, |key, value| {
                    let room = keys::last_id(key).and_then(|id| RoomId::parse(id).ok());
                    let room = room.ok_or_else(|| StoreError::Damaged("a key of consumers".into()))?;
                    let progress = decode_progress(&name, &room, value);
                    Ok((room, progress))
                })?;
            let is_last = rows.len() < CONSUMER_SCAN;
            let mut page = RoomPage { rooms: Vec::new(), next: None };
            for (room, progress) in rows {
                page.next = Some(room.clone());
                if wanted.matches(&progress) {
                    page.rooms.push((room, progress));
                    if page.rooms.len() >= limit {
                        return Ok(page);
                    }
                }
            }
            if is_last {
                page.next = None;
            }
            Ok(page)
        })
        .await
    }

    async fn write_consumer(&self, name: &ConsumerName, write: ConsumerWrite) -> Result<(), StoreError> {
        let name = name.clone();
        self.committer
            .commit(move |txn| {
                let mut rows = Vec::with_capacity(write.rooms.len() + 1);
                if let Some(state) = &write.state {
                    let key = keys::id(name.as_str());
                    let row = match txn.get(Table::Consumers, &key)? {
                        Some(stored) => carry_unknown::<ConsumerRecord>(&stored, encode_consumer(state)),
                        None => encode_consumer(state),
                    };
                    rows.push((key, row));
                }
                for (room, progress) in &write.rooms {
                    let key = keys::pair(name.as_str(), room.as_str());
                    let row = match txn.get(Table::Consumers, &key)? {
                        Some(stored) => {
                            carry_unknown::<ConsumerRoomRecord>(&stored, encode_progress(progress))
                        }
                        None => encode_progress(progress),
                    };
                    rows.push((key, row));
                }
                for (key, row) in rows {
                    txn.put(Table::Consumers, key, row);
                }
                Ok(())
            })
            .await?
    }

    async fn remove_consumer(&self, name: &ConsumerName) -> Result<Option<Removed>, StoreError> {
        let own = keys::id(name.as_str());
        let (mut removed, mut after) = (Removed::default(), own.clone());
        loop {
            let (prefix, from, of) = (own.clone(), after.clone(), name.clone());
            let rows = self.view(move |view| {
                view.page(Table::Consumers, &prefix, Some(from), CONSUMER_SCAN, |key, value| {
                    let room = keys::last_id(key).and_then(|id| RoomId::parse(id).ok());
                    // What is unreadable is removed as well.
                    let progress = room.map(|room| decode_progress(&of, &room, value));
                    Ok((key.to_vec(), progress.unwrap_or_default()))
                })
            });
            let rows = rows.await?;
            let Some((last, _)) = rows.last() else { break };
            after.clone_from(last);
            rows.iter().for_each(|(_, progress)| removed.count(progress));
            let keys = rows.into_iter().map(|(key, _)| key);
            self.committer.commit(move |txn| keys.for_each(|key| txn.remove(Table::Consumers, key))).await?;
        }
        let removing = self.committer.commit(move |txn| {
            let is_there = txn.get(Table::Consumers, &own)?.is_some();
            txn.remove(Table::Consumers, own);
            Ok::<_, StoreError>(is_there)
        });
        let is_there = removing.await??;
        Ok((is_there || removed.rooms > 0).then_some(removed))
    }
}

fn name_of(key: &[u8]) -> Result<ConsumerName, StoreError> {
    let name = key.split(|byte| *byte == 0).next().and_then(|name| std::str::from_utf8(name).ok());
    name.and_then(ConsumerName::parse).ok_or_else(|| StoreError::Damaged("a key of consumers".into()))
}

#[cfg(test)]
mod tests {
    use parlance_core::Timestamp;

    use super::*;
    use crate::Options;
    use crate::feed::Position;

    /// As on DynamoDB.
    #[tokio::test]
    async fn damaged_keys_of_consumers_hide_no_others() {
        let dir = tempfile::tempdir().unwrap();
        let store = Embedded::open(dir.path(), Options::default()).unwrap();
        let name = |name: &str| ConsumerName::parse(name).unwrap();
        let state = ConsumerState {
            position: Position::numbered("store", 1),
            target: "test".to_owned(),
            paused: false,
            disabled: String::new(),
            walk: None,
            created_at: Timestamp(1),
            failing_since: None,
            behind_since: None,
        };
        let pending = RoomProgress { pending: true, ..RoomProgress::default() };
        let room = |room: &str| RoomId::parse(room).unwrap();
        for consumer in ["audit", "hook"] {
            let rooms = vec![(room("room-1"), pending.clone()), (room("room-5"), pending.clone())];
            let write = ConsumerWrite { state: Some(state.clone()), rooms, fence: None };
            store.write_consumer(&name(consumer), write).await.unwrap();
        }
        let planting = store.committer.commit(|txn| {
            for key in [keys::pair("hook", "not a room"), keys::id("Not a name"), keys::id("h ook")] {
                txn.put(Table::Consumers, key, vec![0xff; 5]);
            }
        });
        planting.await.unwrap();
        let listed = store.consumers().await.unwrap();
        assert_eq!(listed, [(name("audit"), Ok(state.clone())), (name("hook"), Ok(state))]);
        let page = store.rooms(&name("hook"), Wanted::Pending, None, 100).await.unwrap();
        assert_eq!(page.rooms, [(room("room-1"), pending.clone()), (room("room-5"), pending)]);
        assert_eq!(page.next, None);
    }
}
