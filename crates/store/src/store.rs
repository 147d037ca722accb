use std::time::Duration;

use async_trait::async_trait;
use parlance_core::{
    Append, Chunk, Creation, Cursors, Entry, Head, Mark, Member, Name, Overlay, RoomId, RoomInfo, SeqRange,
    Timestamp, UserId,
};

use crate::error::{AppendError, StoreError};
use crate::room_ids::RoomIds;

/// A room and where its log ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRoom {
    /// What stands beside the log.
    pub info: RoomInfo,
    /// The last chunk of the log.
    pub tail: Chunk,
}

impl StoredRoom {
    /// The end of the log.
    pub fn head(&self) -> Head {
        self.tail.head()
    }
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Who.
    pub id: UserId,
    /// The name to show.
    pub name: Name,
    /// When the user was created.
    pub created_at: Timestamp,
    /// When the profile last changed.
    pub updated_at: Timestamp,
}

/// One room of one user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserRoom {
    /// The room.
    pub room: RoomId,
    /// The membership, now or once.
    pub member: Member,
    /// How far the user has it.
    pub cursors: Cursors,
    /// Where the room was when the user hid it; the default where they have not.
    pub hidden: Mark,
}

/// A page of the rooms of one user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserRooms {
    /// By rising room id.
    pub rows: Vec<UserRoom>,
    /// Rooms whose rows lie among those and cannot be read. The others do not suffer.
    pub damaged: Vec<RoomId>,
    /// What the next page is after; `None` if this is the last.
    pub next: Option<RoomId>,
}

impl UserRooms {
    /// A page of at most `limit` rows. Fails if one of them could not be had for another reason than
    /// that it is damaged.
    pub fn from_rows(
        rows: impl IntoIterator<Item = (RoomId, Result<UserRoom, StoreError>)>,
        limit: usize,
    ) -> Result<Self, StoreError> {
        let (mut page, mut count, mut last) = (Self::default(), 0, None);
        for (room, row) in rows {
            count += 1;
            last = Some(room.clone());
            match row {
                Ok(row) => page.rows.push(row),
                Err(StoreError::Damaged(what)) => {
                    tracing::error!(%room, what, "cannot read a row of a user's room");
                    page.damaged.push(room);
                }
                Err(error) => return Err(error),
            }
        }
        page.next = last.filter(|_| count >= limit);
        Ok(page)
    }
}

impl UserRoom {
    /// Whether the room, now at `head`, is left out of the lists of its user: they have hidden it
    /// since they last joined or left, and there was no message after that.
    pub fn is_hidden(&self, head: Head) -> bool {
        let since = self.member.changed_at().max(1);
        (since..=head.seq()).contains(&self.hidden.seq) && head.message_count() <= self.hidden.message_count
    }
}

/// Whether something was created or had been there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created<T> {
    /// Created now.
    New(T),
    /// It was there; this is it.
    Existing(T),
}

impl<T> Created<T> {
    /// The same with another value.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Created<U> {
        match self {
            Self::New(value) => Created::New(change(value)),
            Self::Existing(value) => Created::Existing(change(value)),
        }
    }

    /// The value, and whether it had been there.
    pub fn into_parts(self) -> (T, bool) {
        match self {
            Self::New(value) => (value, false),
            Self::Existing(value) => (value, true),
        }
    }
}

/// The tables of Parlance.
///
/// Reads see everything whose write was acknowledged before they began, and nothing
/// that could still be lost. All of them are safe to repeat.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// A random id of this store, of letters and digits. A copy of the store has another one, and
    /// so has a store that was restored from a backup. Asked for before anything else: it also
    /// settles the epoch that no room of the store is below.
    async fn identity(&self) -> Result<String, StoreError>;

    /// How ids of groups and channels are made in this store: always the same, on every node, in
    /// copies and in restored backups.
    async fn room_ids(&self) -> Result<RoomIds, StoreError>;

    /// Stores a new room with its first chunk and members, or returns the one that has
    /// this id.
    async fn create_room(&self, creation: Creation) -> Result<Created<StoredRoom>, StoreError>;

    /// Appends a chunk with everything that belongs to it, if the room's head is still
    /// the one that the append expects. Sending a message moves the sender's read mark to
    /// it; joining starts both cursors at the join.
    async fn append(&self, room: &RoomId, append: Append) -> Result<(), AppendError>;

    /// How soon after an append to a room the next one should follow: what is asked in
    /// between can share it. Zero where another write costs no more than a larger one.
    fn gather(&self) -> Duration {
        Duration::ZERO
    }

    /// How long a write to the log whose answer did not come may still be carried out. Zero where
    /// nothing lies between the process and its store.
    fn late_append(&self) -> Duration {
        Duration::ZERO
    }

    /// A room and its last chunk.
    async fn room(&self, room: &RoomId) -> Result<Option<StoredRoom>, StoreError>;

    /// The chunk that begins at `first_seq`.
    async fn chunk(&self, room: &RoomId, first_seq: u64) -> Result<Option<Chunk>, StoreError>;

    /// Whole chunks after `head`, by rising seq, until about `limit` events.
    async fn chunks_after(&self, room: &RoomId, head: u64, limit: usize) -> Result<Vec<Chunk>, StoreError>;

    /// Events that end right before `seq`, by rising seq: whole chunks, until about
    /// `limit` events. As they were decided, with nothing merged.
    async fn events_before(
        &self,
        room: &RoomId,
        seq: u64,
        limit: usize,
    ) -> Result<Vec<parlance_core::Event>, StoreError>;

    /// Up to `limit` events of `range` in their present form, by rising seq: the first
    /// ones, or with `latest` the last ones.
    async fn read(
        &self,
        room: &RoomId,
        range: SeqRange,
        limit: usize,
        latest: bool,
    ) -> Result<Vec<Entry>, StoreError>;

    /// The present form of the message at `seq`, where it was changed.
    async fn overlay(&self, room: &RoomId, seq: u64) -> Result<Option<Overlay>, StoreError>;

    /// Messages of `range` that an event of `range` deleted.
    async fn count_deleted(&self, room: &RoomId, range: SeqRange) -> Result<u64, StoreError>;

    /// The row of one member.
    async fn member(&self, room: &RoomId, user: &UserId) -> Result<Option<Member>, StoreError>;

    /// Rows of members by rising user id, those who left included.
    async fn members(
        &self,
        room: &RoomId,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<Member>, StoreError>;

    /// The rows of those of `users` that have one, in no order; each as [`Self::member`] reads it.
    async fn members_by_id(&self, room: &RoomId, users: &[UserId]) -> Result<Vec<Member>, StoreError>;

    /// Rooms of a user by rising room id, those left included. `cursors.read` may not know
    /// of the user's latest own messages; [`Self::user_room`] does.
    async fn rooms_of(
        &self,
        user: &UserId,
        after: Option<&RoomId>,
        limit: usize,
    ) -> Result<UserRooms, StoreError>;

    /// One room of a user.
    async fn user_room(&self, user: &UserId, room: &RoomId) -> Result<Option<UserRoom>, StoreError>;

    /// Moves a member's cursors forward to `to`; returns where they are then. `None`
    /// for who never was a member.
    async fn advance(&self, user: &UserId, room: &RoomId, to: Cursors)
    -> Result<Option<Cursors>, StoreError>;

    /// Moves them as [`Self::advance`] does, but the `read` that it returns may not know of
    /// messages that the user sent after `to`: for callers who know of those. Reads nothing.
    async fn advance_stored(
        &self,
        user: &UserId,
        room: &RoomId,
        to: Cursors,
    ) -> Result<Option<Cursors>, StoreError> {
        self.advance(user, room, to).await
    }

    /// Stores where a room was when its user hid it, or with the default that they have not.
    /// Returns whether they are or were a member.
    async fn set_hidden(&self, user: &UserId, room: &RoomId, hidden: Mark) -> Result<bool, StoreError>;

    /// Stores a user, or returns the one that has this id.
    async fn create_user(&self, user: User) -> Result<Created<User>, StoreError>;

    /// One user.
    async fn user(&self, id: &UserId) -> Result<Option<User>, StoreError>;

    /// Users in an order of the store's own, each once; `after` goes on behind that one.
    async fn users(&self, after: Option<&UserId>, limit: usize) -> Result<Vec<User>, StoreError>;

    /// Changes a user's name; `None` for nobody of that id.
    async fn rename_user(&self, id: &UserId, name: Name, at: Timestamp) -> Result<Option<User>, StoreError>;

    /// The note that a node left last, see [`Self::leave_note`].
    async fn last_note(&self) -> Result<Option<String>, StoreError> {
        Ok(None)
    }

    /// Replaces the one note that all nodes of the store share. Nodes that reach each other leave
    /// notes, so that one that does not can tell from changing notes that it is alone in that. A
    /// store of one node keeps none.
    async fn leave_note(&self, _note: &str) -> Result<(), StoreError> {
        Ok(())
    }

    /// Resolves once the store has failed for good, with the reason.
    async fn failed(&self) -> String;
}
