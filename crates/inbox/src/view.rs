use async_trait::async_trait;
use futures::stream::BoxStream;
use parlance_core::{Cursors, Entry, Member, RoomId, UserId};
use parlance_store::{StoreError, StoredRoom};

/// A page that is asked for.
#[derive(Debug, Clone)]
pub struct InboxQuery {
    /// The rooms of this user.
    pub user: UserId,
    /// The last room of the page before; `None` for the first page.
    pub after: Option<RoomId>,
    /// Most rooms of the page.
    pub size: usize,
    /// Whether rooms that the user has hidden are in it.
    pub include_hidden: bool,
}

/// A room in the inbox of a user who is a member.
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
    /// The last message that the user may see.
    pub last_message: Option<Entry>,
}

/// A room of a page; `None` where it is not to be listed.
pub type Lookup = (RoomId, Result<Option<InboxRow>, StoreError>);

/// A page of an inbox. Its rooms are looked up as they are taken from the stream, so that a page can end early.
pub struct InboxPage<'a> {
    /// By rising room id. One that cannot be read does not end the stream.
    pub rooms: BoxStream<'a, Lookup>,
    /// Rooms of the page whose membership cannot be read.
    pub damaged: Vec<RoomId>,
    /// The room after which the next page begins; `None` if this is the last one.
    pub next: Option<RoomId>,
}

/// Lists the rooms of users.
#[async_trait]
pub trait InboxView: Send + Sync + 'static {
    /// A page of the rooms of which a user is a member.
    ///
    /// # Errors
    /// Those of the store, where the page as a whole cannot be read.
    async fn page(&self, query: InboxQuery) -> Result<InboxPage<'_>, StoreError>;
}
