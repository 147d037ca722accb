use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use parlance_core::{
    Append, Chunk, Creation, Entry, Event, Head, Member, Overlay, RoomId, RoomInfo, SeqRange, visible_ranges,
};

use crate::created::Created;
use crate::error::{AppendError, StoreError};
use crate::until::Until;

/// A room and the end of its log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRoom {
    /// Data stored next to the log.
    pub info: RoomInfo,
    /// The last chunk of the log.
    pub tail: Chunk,
}

impl StoredRoom {
    /// The end of the log.
    pub fn head(&self) -> Head {
        self.tail.head()
    }

    /// The last seq that `member`, or former member, may see.
    pub fn until(&self, member: &Member) -> Until {
        let head = self.head().seq();
        if member.is_active() { Until::Head(head) } else { Until::Left(member.changed_at().min(head)) }
    }

    /// What `member`, or former member, may read of the kept events, by ascending seq.
    pub fn visible_to(&self, member: &Member) -> Vec<SeqRange> {
        let head = self.head().seq();
        let kept = SeqRange { from: self.info.floor.max(1), to: head };
        let ranges = visible_ranges(member, self.info.settings.visibility, head);
        ranges.into_iter().filter_map(|range| range.intersect(kept)).collect()
    }
}

/// Rooms and their logs.
#[async_trait]
pub trait LogStore: Send + Sync + 'static {
    /// Stores a new room with its first chunk and members, or returns the existing one with this id.
    async fn create_room(&self, creation: Creation) -> Result<Created<StoredRoom>, StoreError>;

    /// Appends a chunk with everything that belongs to it, if the room's head is still the one that the append
    /// expects. Sending a message moves the sender's read mark to it; joining starts both cursors at the join.
    async fn append(&self, room: &RoomId, append: Append) -> Result<(), AppendError>;

    /// The minimum interval between appends to a room, so that operations in between share a write. Zero if another
    /// write costs no more than a larger one.
    fn append_interval(&self) -> Duration {
        Duration::ZERO
    }

    /// How long a write without an answer may still be carried out. Zero if nothing is between the process and its
    /// store.
    fn late_append(&self) -> Duration {
        Duration::ZERO
    }

    /// A room and its last chunk.
    async fn room(&self, room: &RoomId) -> Result<Option<StoredRoom>, StoreError>;

    /// Each of `rooms` as [`Self::room`] reads it, in this order: for lists, which a store may read at once.
    async fn rooms(&self, rooms: &[RoomId]) -> Vec<Result<Option<StoredRoom>, StoreError>> {
        join_all(rooms.iter().map(|room| self.room(room))).await
    }

    /// The chunk that starts at `first_seq`.
    async fn chunk(&self, room: &RoomId, first_seq: u64) -> Result<Option<Chunk>, StoreError>;

    /// Whole chunks after `head`, by ascending seq, until about `limit` events.
    async fn chunks_after(&self, room: &RoomId, head: u64, limit: usize) -> Result<Vec<Chunk>, StoreError>;

    /// Events that end right before `seq`, by ascending seq: whole chunks, until about `limit` events. As decided,
    /// with nothing merged.
    async fn events_before(&self, room: &RoomId, seq: u64, limit: usize) -> Result<Vec<Event>, StoreError>;

    /// Up to `limit` events of `range` in their present form, by ascending seq: the first ones, or with `latest` the
    /// last ones.
    async fn read(
        &self,
        room: &RoomId,
        range: SeqRange,
        limit: usize,
        latest: bool,
    ) -> Result<Vec<Entry>, StoreError>;

    /// Like [`read`](Self::read), and may end as soon as the events hold `bytes` bytes of texts and data, so that fewer than
    /// `limit` may not be all.
    async fn read_within(
        &self,
        room: &RoomId,
        range: SeqRange,
        limit: usize,
        latest: bool,
        bytes: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let _ = bytes;
        self.read(room, range, limit, latest).await
    }

    /// The present form of the message at `seq`, if it was changed.
    async fn overlay(&self, room: &RoomId, seq: u64) -> Result<Option<Overlay>, StoreError>;

    /// Messages of `range` that an event of `range` deleted.
    async fn count_deleted(&self, room: &RoomId, range: SeqRange) -> Result<u64, StoreError>;
}
