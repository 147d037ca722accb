use std::collections::BTreeMap;
use std::ops::Bound;

use parlance_core::{
    Append, Blocks, Chunk, Creation, Cursors, DataTooLarge, Entry, Event, FoldedName, Invitations, Listed,
    Listing, Member, Overlay, RoomId, RoomIdKey, RoomInfo, SeqRange, Timestamp, TitlePlace, TooManyBlocks,
    UserId,
};
use parlance_store::{
    AppendError, Created, FoundRooms, FoundUsers, ListedRoom, NamePlace, Preferences, PreferencesChange,
    RoomIds, StoredRoom, User, UserChange, UserRoom, UserRooms,
};

use super::feed::{Consumers, FeedLog};
use super::reports::Reports;

/// Everything that is stored, as plain values. Each method is atomic.
pub struct Tables {
    /// Distinguishes this store from its copies.
    pub identity: String,
    /// How room ids are derived.
    pub room_ids: RoomIds,
    /// The minimum epoch of rooms.
    pub epoch: u64,
    /// Rooms by id.
    pub rooms: BTreeMap<RoomId, RoomRow>,
    /// Each user's cursors in their rooms.
    pub cursors: BTreeMap<(UserId, RoomId), Cursors>,
    preferences: BTreeMap<(UserId, RoomId), Preferences>,
    blocks: BTreeMap<UserId, Blocks>,
    pub(super) reports: Reports,
    /// Rooms that users were invited to, or asked to join.
    pub(super) invited: BTreeMap<(UserId, RoomId), Listed>,
    /// Maximum difference by which an event's time was ahead of its append, in
    /// milliseconds.
    pub ahead_ms: u64,
    users: BTreeMap<UserId, User>,
    /// The last note left by a node for the others.
    pub note: Option<String>,
    /// What changed, commit by commit.
    pub(super) feed: FeedLog,
    /// Consumers of the feed, and their progress.
    pub(super) consumers: Consumers,
}

impl Default for Tables {
    fn default() -> Self {
        Self {
            identity: "5".repeat(32),
            room_ids: RoomIds { key: RoomIdKey::new([5; RoomIdKey::BYTES]), some_unkeyed: false },
            epoch: 1,
            rooms: BTreeMap::new(),
            cursors: BTreeMap::new(),
            preferences: BTreeMap::new(),
            blocks: BTreeMap::new(),
            reports: Reports::default(),
            invited: BTreeMap::new(),
            ahead_ms: 0,
            users: BTreeMap::new(),
            note: None,
            feed: FeedLog::default(),
            consumers: Consumers::default(),
        }
    }
}

/// One room.
pub struct RoomRow {
    /// Data next to the log.
    pub info: RoomInfo,
    /// Chunks by their first seq.
    pub log: BTreeMap<u64, Chunk>,
    /// Rows of members.
    pub members: BTreeMap<UserId, Member>,
    overlays: BTreeMap<u64, Overlay>,
    pub(super) invitations: Invitations,
}

impl RoomRow {
    /// The last chunk.
    pub fn tail(&self) -> Option<&Chunk> {
        self.log.values().next_back()
    }

    /// Seq of the last event.
    pub fn head(&self) -> u64 {
        self.tail().map_or(0, |tail| tail.head().seq())
    }

    /// All events, as originally decided.
    pub fn events(&self) -> impl Iterator<Item = &Event> {
        self.log.values().flat_map(Chunk::events)
    }

    fn stored(&self) -> Option<StoredRoom> {
        Some(StoredRoom { info: self.info.clone(), tail: self.tail()?.clone() })
    }

    /// The chunks that hold events from `from` to `to`.
    fn chunks(&self, from: u64, to: u64) -> impl DoubleEndedIterator<Item = &Chunk> {
        let first = self.log.range(..=from).next_back().map_or(from, |(first, _)| *first);
        let found = self.log.range(first..=to.max(first)).map(|(_, chunk)| chunk);
        found.filter(move |chunk| from <= to && chunk.head().seq() >= from && chunk.first_seq() <= to)
    }

    fn entry(&self, event: &Event) -> Entry {
        let overlay = Entry::overlay_key(event).and_then(|key| self.overlays.get(&key));
        Entry::merge(event.clone(), overlay.cloned())
    }
}

impl Tables {
    pub(super) fn create(&mut self, creation: Creation) -> Created<StoredRoom> {
        let Creation { info, append } = creation;
        if let Some(stored) = self.rooms.get(&info.id).and_then(RoomRow::stored) {
            return Created::Existing(stored);
        }
        let new = StoredRoom { info: info.clone(), tail: append.chunk.clone() };
        let row = RoomRow {
            info: info.clone(),
            log: BTreeMap::new(),
            members: BTreeMap::new(),
            overlays: BTreeMap::new(),
            invitations: Invitations::default(),
        };
        self.rooms.insert(info.id.clone(), row);
        self.write(&info.id, append);
        Created::New(new)
    }

    /// The key is the only fence, as on DynamoDB: it must suffice.
    pub(crate) fn append(&mut self, room: &RoomId, append: Append) -> Result<(), AppendError> {
        let expected = append.expected.seq();
        let first = append.chunk.first_seq();
        let Some(row) = self.rooms.get(room) else { return Err(AppendError::HeadMoved) };
        if expected == 0 || expected + 1 != first {
            return Err(AppendError::HeadMoved);
        }
        match row.log.get(&first) {
            // Our own first attempt, whose answer was lost.
            Some(there) if there.nonce() == append.chunk.nonce() => return Ok(()),
            Some(_) => return Err(AppendError::HeadMoved),
            _ => {}
        }
        self.write(room, append);
        Ok(())
    }

    fn write(&mut self, room: &RoomId, append: Append) {
        let Some(row) = self.rooms.get_mut(room) else { return };
        self.feed.append(room, &append);
        row.log.insert(append.chunk.first_seq(), append.chunk);
        row.members.extend(append.members.into_iter().map(|member| (member.user.clone(), member)));
        row.overlays.extend(append.overlays);
        if let Some(info) = append.info {
            row.info.update(&info);
        }
        if let Some(change) = append.invitations {
            row.invitations = change.all;
            for (user, listed) in change.lists {
                let key = (user, room.clone());
                match listed {
                    Some(listed) => drop(self.invited.insert(key, listed)),
                    None => drop(self.invited.remove(&key)),
                }
            }
        }
        // The first event to receive is the member's own join.
        let joins =
            append.joins.into_iter().map(|(user, read)| (user, Cursors { delivered: read.seq - 1, read }));
        let sent = append.sent.into_iter().map(|(user, read)| (user, Cursors { delivered: 0, read }));
        for (user, to) in joins.chain(sent) {
            self.cursors.entry((user, room.clone())).or_default().advance(to);
        }
    }

    pub(super) fn blocks(&self, user: &UserId) -> Blocks {
        self.blocks.get(user).cloned().unwrap_or_default()
    }

    pub(super) fn set_block(
        &mut self,
        user: &UserId,
        other: &UserId,
        since: Option<Timestamp>,
    ) -> Result<Blocks, TooManyBlocks> {
        let blocks = self.blocks.entry(user.clone()).or_default();
        blocks.set(other, since)?;
        Ok(blocks.clone())
    }

    pub(super) fn room(&self, room: &RoomId) -> Option<StoredRoom> {
        let mut stored = self.rooms.get(room)?.stored()?;
        stored.info.epoch = stored.info.epoch.max(self.epoch);
        Some(stored)
    }

    pub(super) fn chunk(&self, room: &RoomId, first: u64) -> Option<Chunk> {
        self.rooms.get(room)?.log.get(&first).cloned()
    }

    pub(super) fn chunks_after(&self, room: &RoomId, head: u64, limit: usize) -> Vec<Chunk> {
        let Some(row) = self.rooms.get(room) else { return Vec::new() };
        let mut events = 0;
        let wanted = row.chunks(head.saturating_add(1), u64::MAX).take_while(|chunk| {
            let more = events < limit;
            events += chunk.events().len();
            more
        });
        wanted.cloned().collect()
    }

    pub(super) fn events_before(&self, room: &RoomId, seq: u64, limit: usize) -> Vec<Event> {
        let Some(row) = self.rooms.get(room) else { return Vec::new() };
        let mut count = 0;
        let wanted = row.chunks(1, seq.saturating_sub(1)).rev().take_while(|chunk| {
            let more = count < limit;
            count += chunk.events().len();
            more
        });
        let chunks: Vec<&Chunk> = wanted.collect();
        let events = chunks.into_iter().rev().flat_map(Chunk::events);
        events.filter(|event| event.seq < seq).cloned().collect()
    }

    pub(super) fn read(&self, room: &RoomId, range: SeqRange, limit: usize, latest: bool) -> Vec<Entry> {
        let Some(row) = self.rooms.get(room) else { return Vec::new() };
        let events = row.chunks(range.from, range.to).flat_map(Chunk::events);
        let events = events.filter(|event| range.contains(event.seq));
        if latest {
            let mut entries: Vec<Entry> = events.rev().take(limit).map(|event| row.entry(event)).collect();
            entries.reverse();
            entries
        } else {
            events.take(limit).map(|event| row.entry(event)).collect()
        }
    }

    pub(super) fn overlay(&self, room: &RoomId, seq: u64) -> Option<Overlay> {
        self.rooms.get(room)?.overlays.get(&seq).cloned()
    }

    pub(super) fn count_deleted(&self, room: &RoomId, range: SeqRange) -> u64 {
        let Some(row) = self.rooms.get(room) else { return 0 };
        let deleted = row.overlays.iter().filter(|(seq, overlay)| overlay.deleted_in(range, **seq));
        deleted.count() as u64
    }

    pub(super) fn member(&self, room: &RoomId, user: &UserId) -> Option<Member> {
        self.rooms.get(room)?.members.get(user).cloned()
    }

    pub(super) fn members_by_id(&self, room: &RoomId, users: &[UserId]) -> Vec<Member> {
        users.iter().filter_map(|user| self.member(room, user)).collect()
    }

    pub(super) fn members(&self, room: &RoomId, after: Option<&UserId>, limit: usize) -> Vec<Member> {
        let Some(row) = self.rooms.get(room) else { return Vec::new() };
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let rows = row.members.range::<UserId, _>((from, Bound::Unbounded));
        rows.take(limit).map(|(_, member)| member.clone()).collect()
    }

    pub(super) fn user_room(&self, user: &UserId, room: &RoomId) -> Option<UserRoom> {
        let key = (user.clone(), room.clone());
        let cursors = *self.cursors.get(&key)?;
        let preferences = self.preferences.get(&key).copied().unwrap_or_default();
        let member = self.member(room, user)?.without_data();
        Some(UserRoom { room: room.clone(), member, cursors, preferences })
    }

    pub(super) fn rooms_of(&self, user: &UserId, after: Option<&RoomId>, limit: usize) -> UserRooms {
        let of_user = self.cursors.keys().filter(|(owner, _)| owner == user).map(|(_, room)| room);
        let rooms = of_user.filter(|room| after.is_none_or(|after| *room > after));
        let rows: Vec<_> = rooms.filter_map(|room| self.user_room(user, room)).take(limit).collect();
        let next = rows.last().filter(|_| rows.len() == limit).map(|row| row.room.clone());
        UserRooms { rows, damaged: Vec::new(), next }
    }

    pub(super) fn set_preferences(
        &mut self,
        user: &UserId,
        room: &RoomId,
        change: PreferencesChange,
    ) -> bool {
        let key = (user.clone(), room.clone());
        let is_there = self.cursors.contains_key(&key);
        if is_there {
            let preferences = self.preferences.entry(key).or_default();
            *preferences = change.apply(*preferences);
            self.feed.mark(room, user);
        }
        is_there
    }

    pub(super) fn advance(&mut self, user: &UserId, room: &RoomId, to: Cursors) -> Option<Cursors> {
        let cursors = self.cursors.get_mut(&(user.clone(), room.clone()))?;
        let before = *cursors;
        cursors.advance(to);
        if *cursors != before {
            self.feed.mark(room, user);
        }
        Some(*cursors)
    }

    pub(super) fn create_user(&mut self, user: User) -> Created<User> {
        if let Some(there) = self.users.get(&user.id) {
            return Created::Existing(there.clone());
        }
        self.users.insert(user.id.clone(), user.clone());
        self.feed.profile(&user.id);
        Created::New(user)
    }

    pub(super) fn user(&self, id: &UserId) -> Option<User> {
        self.users.get(id).cloned()
    }

    pub(super) fn users_by_id(&self, ids: &[UserId]) -> Vec<User> {
        self.users.values().filter(|user| ids.contains(&user.id)).cloned().collect()
    }

    pub(super) fn users(&self, after: Option<&UserId>, limit: usize) -> Vec<User> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let users = self.users.range::<UserId, _>((from, Bound::Unbounded));
        users.take(limit).map(|(_, user)| user.clone()).collect()
    }

    pub(super) fn find_users(
        &self,
        prefix: &FoldedName,
        after: Option<&NamePlace>,
        limit: usize,
    ) -> FoundUsers {
        let mut places: Vec<_> = self.users.values().filter_map(User::place).collect();
        places.retain(|place| place.name.starts_with(prefix) && after.is_none_or(|after| place > after));
        places.sort();
        places.truncate(limit);
        let users = places.iter().filter_map(|place| self.user(&place.user)).collect();
        FoundUsers { users, next: places.pop().filter(|_| places.len() + 1 == limit) }
    }

    /// Computed from the rooms, as the rows of other stores should be.
    pub(super) fn listed_rooms(
        &self,
        prefix: &FoldedName,
        after: Option<&TitlePlace>,
        limit: usize,
    ) -> FoundRooms {
        let rows = self.rooms.values().filter_map(|row| {
            let members = row.tail()?.head().member_count();
            Some((Listing::of(&row.info, members)?, row.info.clone()))
        });
        let mut rows: Vec<_> = rows
            .filter(|(listing, _)| listing.place.title.starts_with(prefix))
            .filter(|(listing, _)| after.is_none_or(|after| listing.place > *after))
            .collect();
        rows.sort_by(|(one, _), (other, _)| one.place.cmp(&other.place));
        rows.truncate(limit);
        let next = rows.last().filter(|_| rows.len() == limit).map(|(listing, _)| listing.place.clone());
        let rooms = rows.into_iter().map(|(listing, info)| ListedRoom { info, members: listing.members });
        FoundRooms { rooms: rooms.collect(), damaged: Vec::new(), next }
    }

    pub(super) fn update_user(
        &mut self,
        id: &UserId,
        change: UserChange,
        at: Timestamp,
    ) -> Result<Option<User>, DataTooLarge> {
        let Some(user) = self.users.get_mut(id) else { return Ok(None) };
        if !change.may_change(user) {
            return Ok(None);
        }
        change.apply(user, at)?;
        self.feed.profile(id);
        Ok(Some(user.clone()))
    }
}
