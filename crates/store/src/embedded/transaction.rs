use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parlance_core::{Chunk, Head, RoomId};

use super::keys;
use super::tables::{Table, Tables, damaged};
use super::view::last_chunk;
use crate::StoreError;
use crate::record::{decode_chunk, encode_chunk};

/// What a group writes, by table and key.
pub(super) type Writes = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

/// Heads of rooms that were written to lately. Finding one in the tables takes as long as
/// everything else about an append.
pub(super) type Heads = HashMap<RoomId, Head>;

/// A group of operations, each of which sees what those before it wrote.
pub(super) struct Transaction {
    tables: Arc<Tables>,
    pub(super) writes: Writes,
    pub(super) heads: Heads,
}

impl Transaction {
    pub(super) fn new(tables: Arc<Tables>, heads: Heads) -> Self {
        Self { tables, writes: BTreeMap::new(), heads }
    }

    pub(super) fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        if let Some(value) = self.writes.get(&(table, key.to_vec())) {
            return Ok(Some(value.clone()));
        }
        let value = self.tables.keyspace(table).get(key).map_err(damaged)?;
        Ok(value.map(|value| value.to_vec()))
    }

    /// An operation checks first and writes then: there is no undoing.
    pub(super) fn put(&mut self, table: Table, key: Vec<u8>, value: Vec<u8>) {
        self.writes.insert((table, key), value);
    }

    pub(super) fn put_chunk(&mut self, room: &RoomId, chunk: &Chunk) {
        self.put(Table::Log, keys::chunk(room, chunk.first_seq()), encode_chunk(chunk));
        self.heads.insert(room.clone(), chunk.head());
    }

    pub(super) fn head(&self, room: &RoomId) -> Result<Head, StoreError> {
        match self.heads.get(room) {
            Some(head) => Ok(*head),
            None => Ok(self.tail(room)?.head()),
        }
    }

    pub(super) fn tail(&self, room: &RoomId) -> Result<Chunk, StoreError> {
        let (first, last) = (keys::chunk(room, 0), keys::chunk(room, u64::MAX));
        let written = self.writes.range((Table::Log, first.clone())..=(Table::Log, last.clone()));
        if let Some(((_, key), value)) = written.last() {
            return decode_chunk(room, keys::seq(key).unwrap_or_default(), value);
        }
        last_chunk(room, self.tables.keyspace(Table::Log).range(first..=last))
    }
}
