use async_trait::async_trait;
use futures::stream::BoxStream;
use parlance_core::{Cursors, Entry, Member, RoomId, RoomKind, Timestamp, UserId};
use parlance_store::{Preferences, StoreError, StoredRoom};

/// A request for a page.
#[derive(Debug, Clone)]
pub struct InboxQuery {
    /// The rooms of this user.
    pub user: UserId,
    /// The last room of the previous page; `None` for the first page.
    pub after: Option<RoomId>,
    /// Maximum number of rooms.
    pub size: usize,
    /// Whether to include rooms that the user has hidden.
    pub include_hidden: bool,
    /// Which of the rooms to list.
    pub filter: InboxFilter,
}

/// Which rooms to list. By default all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InboxFilter {
    /// Only those with unread messages, or marked as unread.
    pub unread_only: bool,
    /// Only pinned ones.
    pub pinned_only: bool,
    /// Only those of these kinds; empty: of all.
    pub kinds: Vec<RoomKind>,
}

/// A room in the inbox of a member.
#[derive(Debug)]
pub struct InboxRow {
    /// The room.
    pub room: StoredRoom,
    /// The user's membership.
    pub member: Member,
    /// The user's marks.
    pub cursors: Cursors,
    /// Messages after the read mark that are not deleted.
    pub unread: u64,
    /// Whether the user has hidden the room.
    pub hidden: bool,
    /// What the user has set for the room.
    pub preferences: Preferences,
    /// The last message that the user may see.
    pub last_message: Option<Entry>,
}

/// The unread messages of a user.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UnreadTotal {
    /// Messages.
    pub messages: u64,
    /// Rooms with some, or marked as unread.
    pub rooms: u32,
    /// Whether rooms were not counted: too many, or unreadable.
    pub is_partial: bool,
    /// Rooms that were read for it.
    pub read: usize,
}

/// A room of a page; `None` if it is not listed.
pub type Lookup = (RoomId, Result<Option<InboxRow>, StoreError>);

/// A page of an inbox. Rooms are read as they are taken from the stream, so a page can end early.
pub struct InboxPage<'a> {
    /// By ascending room id. An unreadable one does not end the stream.
    pub rooms: BoxStream<'a, Lookup>,
    /// Rooms of the page whose membership is unreadable.
    pub damaged: Vec<RoomId>,
    /// The room after which the next page begins; `None` if this is the last one.
    pub next: Option<RoomId>,
}

/// Lists the rooms of users.
#[async_trait]
pub trait InboxView: Send + Sync + 'static {
    /// A page of the rooms in which a user is a member.
    ///
    /// # Errors
    /// Those of the store, if the page as a whole cannot be read.
    async fn page(&self, query: InboxQuery) -> Result<InboxPage<'_>, StoreError>;

    /// The unread messages of `user` in all rooms that they have not hidden, nor muted at `unmuted_at`, if given.
    ///
    /// # Errors
    /// Those of the store, if the rooms as a whole cannot be read.
    async fn unread_total(
        &self,
        user: &UserId,
        unmuted_at: Option<Timestamp>,
    ) -> Result<UnreadTotal, StoreError>;
}
