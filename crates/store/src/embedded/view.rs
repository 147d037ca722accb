use std::ops::Bound;
use std::sync::Arc;

use fjall::{Guard, Iter, Readable, Slice};
use parlance_core::{Chunk, Entry, Event, Member, Overlay, RoomId, SeqRange, UserId};

use super::keys;
use super::tables::{Table, Tables, Visible, damaged};
use crate::past::content_bytes;
use crate::record::{
    Place, decode_chunk, decode_member, decode_overlay, decode_place, decode_room, decode_user,
};
use crate::{StoreError, StoredRoom, User, UserRoom, UserRooms};

/// A snapshot of the store, which contains every commit completely or not at all. Only synced commits: the engine
/// applies a batch to its tables after its journal is synced.
pub(super) struct View {
    tables: Arc<Tables>,
    visible: Arc<Visible>,
}

/// Up to `limit` of `rows`, without those that cannot be read.
pub(super) fn readable<T>(
    rows: impl Iterator<Item = Guard>,
    limit: usize,
    read: impl Fn(&[u8], &[u8]) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let mut found = Vec::new();
    for guard in rows {
        if found.len() == limit {
            break;
        }
        let (key, value) = guard.into_inner().map_err(damaged)?;
        match read(&key, &value) {
            Ok(row) => found.push(row),
            Err(error) => tracing::error!(%error, "cannot read a row of a list, leaving it out"),
        }
    }
    Ok(found)
}

impl View {
    pub(super) fn new(tables: Arc<Tables>) -> Self {
        let visible = tables.visible();
        Self { tables, visible }
    }

    pub(super) fn get(&self, table: Table, key: &[u8]) -> Result<Option<Slice>, StoreError> {
        self.visible.snapshot.get(self.tables.keyspace(table), key).map_err(damaged)
    }

    pub(super) fn range(&self, table: Table, from: Bound<Vec<u8>>, to: Bound<Vec<u8>>) -> Iter {
        self.visible.snapshot.range::<Vec<u8>, _>(self.tables.keyspace(table), (from, to))
    }

    /// The last commit in this snapshot.
    pub(super) fn commit(&self) -> u64 {
        self.visible.commit
    }

    /// The records of the feed from commit `first` on.
    pub(super) fn feed(&self, first: u64) -> Iter {
        let from = Bound::Included(keys::feed(first).to_vec());
        self.visible.snapshot.range::<Vec<u8>, _>(self.tables.feed(), (from, Bound::Unbounded))
    }

    /// Up to `limit` rows of `table` whose keys start with `prefix`, after `after`.
    pub(super) fn page<T>(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<Vec<u8>>,
        limit: usize,
        read: impl Fn(&[u8], &[u8]) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let rows = self.rows_after(table, prefix, after).take(limit).map(|guard| {
            let (key, value) = guard.into_inner().map_err(damaged)?;
            read(&key, &value)
        });
        rows.collect()
    }

    /// The same rows without those that cannot be read, in whose places others are read: one hides no others.
    pub(super) fn readable_page<T>(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<Vec<u8>>,
        limit: usize,
        read: impl Fn(&[u8], &[u8]) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        readable(self.rows_after(table, prefix, after), limit, read)
    }

    fn rows_after(&self, table: Table, prefix: &[u8], after: Option<Vec<u8>>) -> Iter {
        let from = match after {
            Some(after) => Bound::Excluded(after),
            None if prefix.is_empty() => Bound::Excluded(keys::COMMIT.to_vec()),
            None => Bound::Included(prefix.to_vec()),
        };
        let mut end = prefix.to_vec();
        // Prefixes end in the byte 0, and ids contain no byte below 1.
        if let Some(last) = end.last_mut() {
            *last = 1;
        }
        let to = if prefix.is_empty() { Bound::Unbounded } else { Bound::Excluded(end) };
        self.range(table, from, to)
    }

    /// The chunks that hold the events from `from` to `to`.
    pub(super) fn chunks<'a>(
        &self,
        room: &'a RoomId,
        from: u64,
        to: u64,
    ) -> Result<impl DoubleEndedIterator<Item = Result<Chunk, StoreError>> + use<'a>, StoreError> {
        // The chunk that contains `from` may begin before it.
        let first = Bound::Included(keys::chunk(room, 0));
        let mut before = self.range(Table::Log, first, Bound::Included(keys::chunk(room, from)));
        let start = match before.next_back() {
            Some(guard) => guard.key().map_err(damaged)?.to_vec(),
            None => keys::chunk(room, from),
        };
        let end = Bound::Included(keys::chunk(room, to.max(from)));
        let found = self.range(Table::Log, Bound::Included(start), end);
        let chunks = found.map(|guard| read_chunk(room, guard));
        // The previous chunk may end there; and an empty range contains nothing.
        Ok(chunks.filter(move |chunk| {
            chunk.as_ref().map_or(true, |chunk| from <= to && from <= chunk.head().seq())
        }))
    }

    pub(super) fn tail(&self, room: &RoomId) -> Result<Chunk, StoreError> {
        let from = Bound::Included(keys::chunk(room, 0));
        let to = Bound::Included(keys::chunk(room, u64::MAX));
        last_chunk(room, self.range(Table::Log, from, to))
    }

    pub(super) fn room(&self, room: &RoomId) -> Result<Option<StoredRoom>, StoreError> {
        let Some(bytes) = self.get(Table::Rooms, &keys::id(room.as_str()))? else { return Ok(None) };
        Ok(Some(StoredRoom { info: decode_room(room, &bytes)?, tail: self.tail(room)? }))
    }

    pub(super) fn overlay(&self, room: &RoomId, seq: u64) -> Result<Option<Overlay>, StoreError> {
        let bytes = self.get(Table::Overlays, &keys::chunk(room, seq))?;
        bytes.map(|bytes| decode_overlay(room, seq, &bytes)).transpose()
    }

    pub(super) fn count_deleted(&self, room: &RoomId, range: SeqRange) -> Result<u64, StoreError> {
        let from = Bound::Included(keys::chunk(room, range.from));
        let to = Bound::Included(keys::chunk(room, range.to.max(range.from)));
        let mut count = 0;
        for guard in self.range(Table::Overlays, from, to) {
            let (key, value) = guard.into_inner().map_err(damaged)?;
            let seq = keys::seq(&key).unwrap_or_default();
            count += u64::from(decode_overlay(room, seq, &value)?.deleted_in(range, seq));
        }
        Ok(count)
    }

    pub(super) fn read(
        &self,
        room: &RoomId,
        range: SeqRange,
        limit: usize,
        latest: bool,
        bytes: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let mut events: Vec<Event> = Vec::with_capacity(limit.min(256));
        let mut chunks = self.chunks(room, range.from, range.to)?;
        let mut held = 0;
        while events.len() < limit && held < bytes {
            let Some(chunk) = (if latest { chunks.next_back() } else { chunks.next() }) else { break };
            let (of_chunk, before) = (chunk?.into_events(), events.len());
            let within = of_chunk.into_iter().filter(|event| range.contains(event.seq));
            if latest {
                events.extend(within.rev());
            } else {
                events.extend(within);
            }
            held += events[before..].iter().map(content_bytes).sum::<usize>();
        }
        events.truncate(limit);
        if latest {
            events.reverse();
        }
        let entries = events.into_iter().map(|event| {
            let overlay = match Entry::overlay_key(&event) {
                Some(key) => self.overlay(room, key)?,
                None => None,
            };
            Ok(Entry::merge(event, overlay))
        });
        entries.collect()
    }

    pub(super) fn member(&self, room: &RoomId, user: &UserId) -> Result<Option<Member>, StoreError> {
        let bytes = self.get(Table::Members, &keys::pair(room.as_str(), user.as_str()))?;
        bytes.map(|bytes| decode_member(room, user, &bytes)).transpose()
    }

    pub(super) fn members(
        &self,
        room: &RoomId,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<Member>, StoreError> {
        let after = after.map(|user| keys::pair(room.as_str(), user.as_str()));
        self.page(Table::Members, &keys::id(room.as_str()), after, limit, |key, value| {
            decode_member(room, &user_of(key)?, value)
        })
    }

    pub(super) fn user_room(&self, user: &UserId, room: &RoomId) -> Result<Option<UserRoom>, StoreError> {
        let bytes = self.get(Table::UserRooms, &keys::pair(user.as_str(), room.as_str()))?;
        bytes.map(|bytes| self.with_member(user, room.clone(), &bytes)).transpose()
    }

    pub(super) fn rooms_of(
        &self,
        user: &UserId,
        after: Option<&RoomId>,
        limit: usize,
    ) -> Result<UserRooms, StoreError> {
        let after = after.map(|room| keys::pair(user.as_str(), room.as_str()));
        let rows = self.page(Table::UserRooms, &keys::id(user.as_str()), after, limit, |key, value| {
            let room = keys::last_id(key).and_then(|id| RoomId::parse(id).ok());
            let room = room.ok_or_else(|| StoreError::Damaged("a key of user_rooms".into()))?;
            Ok((room.clone(), self.with_member(user, room, value)))
        })?;
        UserRooms::from_rows(rows, limit)
    }

    fn with_member(&self, user: &UserId, room: RoomId, place: &[u8]) -> Result<UserRoom, StoreError> {
        let Place { cursors, preferences } = decode_place(&room, user, place)?;
        let missing = || StoreError::Damaged(format!("no member row of {user} in room {room}"));
        let member = self.member(&room, user)?.ok_or_else(missing)?.without_data();
        Ok(UserRoom { room, member, cursors, preferences })
    }

    pub(super) fn user(&self, id: &UserId) -> Result<Option<User>, StoreError> {
        let bytes = self.get(Table::Users, &keys::id(id.as_str()))?;
        bytes.map(|bytes| decode_user(id, &bytes)).transpose()
    }

    pub(super) fn users(&self, after: Option<&UserId>, limit: usize) -> Result<Vec<User>, StoreError> {
        let after = after.map(|user| keys::id(user.as_str()));
        self.page(Table::Users, &[], after, limit, |key, value| decode_user(&user_of(key)?, value))
    }
}

/// The chunk stored under a key of the log.
fn read_chunk(room: &RoomId, guard: Guard) -> Result<Chunk, StoreError> {
    let (key, value) = guard.into_inner().map_err(damaged)?;
    decode_chunk(room, keys::seq(&key).unwrap_or_default(), &value)
}

/// The last chunk of a room's whole `log`.
pub(super) fn last_chunk(room: &RoomId, mut log: Iter) -> Result<Chunk, StoreError> {
    match log.next_back() {
        Some(guard) => read_chunk(room, guard),
        // Not an empty log: a room is created together with its first chunk.
        None => Err(StoreError::Damaged(format!("room {room} has no log"))),
    }
}

pub(super) fn user_of(key: &[u8]) -> Result<UserId, StoreError> {
    let user = keys::last_id(key).and_then(|id| UserId::parse(id).ok());
    user.ok_or_else(|| StoreError::Damaged("a key that ends in no user id".into()))
}
