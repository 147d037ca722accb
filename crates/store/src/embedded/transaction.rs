use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parlance_core::evict::survivors;
use parlance_core::{Chunk, Head, RoomId};

use super::keys;
use super::limits::{REMEMBERED_KEYS, SEARCHED_ROOMS};
use super::tables::{Table, Tables, damaged};
use super::view::last_chunk;
use crate::StoreError;
use crate::feed::{Changes, MovedHead};
use crate::record::{decode_chunk, encode_chunk};

/// The writes of a group, by table and key; `None` removes the row.
pub(super) type Writes = BTreeMap<(Table, Vec<u8>), Option<Vec<u8>>>;

/// A cache of data that is read before each write: heads of rooms, and users' positions in them. Looking one up in
/// the tables takes as long as the rest of an append, and longer the more often it was written.
#[derive(Default)]
pub(super) struct Lately {
    heads: HashMap<RoomId, Head>,
    user_rooms: HashMap<Vec<u8>, Vec<u8>>,
}

impl Lately {
    /// Evicts a part of an oversized cache.
    pub(super) fn trim(&mut self) {
        self.trim_to(REMEMBERED_KEYS);
    }

    fn trim_to(&mut self, limit: usize) {
        if self.heads.len() > limit {
            let mut survives = survivors(self.heads.len(), limit);
            self.heads.retain(|_, _| survives());
        }
        if self.user_rooms.len() > limit {
            let mut survives = survivors(self.user_rooms.len(), limit);
            self.user_rooms.retain(|_, _| survives());
        }
    }
}

/// A group of operations, each of which sees the writes of earlier ones.
pub(super) struct Transaction {
    tables: Arc<Tables>,
    pub(super) writes: Writes,
    pub(super) lately: Lately,
    /// Its changes for the feed.
    pub(super) changes: Changes,
    /// Where each room is among the heads of `changes`, if there are many.
    moved: HashMap<RoomId, usize>,
}

impl Transaction {
    pub(super) fn new(tables: Arc<Tables>, lately: Lately) -> Self {
        Self { tables, writes: BTreeMap::new(), lately, changes: Changes::default(), moved: HashMap::new() }
    }

    pub(super) fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let known = match table {
            Table::UserRooms => self.lately.user_rooms.get(key).map(Some),
            _ => self.writes.get(&(table, key.to_vec())).map(Option::as_ref),
        };
        if let Some(value) = known {
            return Ok(value.cloned());
        }
        let value = self.tables.keyspace(table).get(key).map_err(damaged)?;
        Ok(value.map(|value| value.to_vec()))
    }

    /// Operations check first and write afterwards: there is no rollback.
    pub(super) fn put(&mut self, table: Table, key: Vec<u8>, value: Vec<u8>) {
        if table == Table::UserRooms {
            self.lately.user_rooms.insert(key.clone(), value.clone());
        }
        self.writes.insert((table, key), Some(value));
    }

    /// Removes a row, if there is one.
    pub(super) fn remove(&mut self, table: Table, key: Vec<u8>) {
        if table == Table::UserRooms {
            self.lately.user_rooms.remove(&key);
        }
        self.writes.insert((table, key), None);
    }

    pub(super) fn put_chunk(&mut self, room: &RoomId, chunk: &Chunk) {
        self.put(Table::Log, keys::chunk(room, chunk.first_seq()), encode_chunk(chunk));
        self.record_moved(room, chunk.first_seq(), chunk.head().seq());
        self.lately.heads.insert(room.clone(), chunk.head());
    }

    fn record_moved(&mut self, room: &RoomId, first: u64, last: u64) {
        let heads = &mut self.changes.heads;
        if heads.len() < SEARCHED_ROOMS {
            return self.changes.append(room, first, last);
        }
        if self.moved.is_empty() {
            self.moved.extend(heads.iter().enumerate().map(|(index, head)| (head.room.clone(), index)));
        }
        match self.moved.get(room) {
            Some(index) => heads[*index].last = last,
            None => {
                self.moved.insert(room.clone(), heads.len());
                heads.push(MovedHead { room: room.clone(), first, last });
            }
        }
    }

    pub(super) fn head(&self, room: &RoomId) -> Result<Head, StoreError> {
        match self.lately.heads.get(room) {
            Some(head) => Ok(*head),
            None => Ok(self.tail(room)?.head()),
        }
    }

    pub(super) fn tail(&self, room: &RoomId) -> Result<Chunk, StoreError> {
        let (first, last) = (keys::chunk(room, 0), keys::chunk(room, u64::MAX));
        let written = self.writes.range((Table::Log, first.clone())..=(Table::Log, last.clone()));
        // Chunks are never removed.
        if let Some(((_, key), Some(value))) = written.last() {
            return decode_chunk(room, keys::seq(key).unwrap_or_default(), value);
        }
        last_chunk(room, self.tables.keyspace(Table::Log).range(first..=last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_cache_keeps_a_part_of_its_entries() {
        let mut lately = Lately::default();
        for number in 0..20u8 {
            lately.user_rooms.insert(vec![number], vec![number]);
            lately.trim_to(3);
            let kept = lately.user_rooms.len();
            assert!((1..=3).contains(&kept) && (number == 0 || kept >= 2), "{kept} after {number}");
            assert!(lately.user_rooms.iter().all(|(key, value)| key == value));
        }
    }
}
