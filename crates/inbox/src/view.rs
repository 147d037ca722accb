use std::cmp::Ordering;
use std::fmt;

use async_trait::async_trait;
use futures::stream::BoxStream;
use parlance_core::{Cursors, Entry, Member, RoomId, RoomKind, Timestamp, UserId};
use parlance_store::{Preferences, StoreError, StoredRoom};

/// A request for a page.
#[derive(Debug, Clone)]
pub struct InboxQuery {
    /// The rooms of this user.
    pub user: UserId,
    /// The order of the rooms.
    pub order: InboxOrder,
    /// The last room of the previous page, in this order; `None` for the first page.
    pub after: Option<InboxPlace>,
    /// Maximum number of rooms.
    pub size: usize,
    /// Whether to include rooms that the user has hidden.
    pub include_hidden: bool,
    /// Whether to include archived rooms.
    pub include_archived: bool,
    /// Which of the rooms to list.
    pub filter: InboxFilter,
}

/// The order of an inbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum InboxOrder {
    /// By ascending room id.
    #[default]
    Room,
    /// By latest activity, the latest first.
    Latest,
}

/// A room's place in the order of an inbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxPlace {
    /// Its latest activity, if the order is by that.
    pub active_at: Option<Timestamp>,
    /// The room.
    pub room: RoomId,
}

/// Separates the parts of a place in words: no id contains it.
const SPACE: char = ' '; // format

/// The length of a time in words, which has 64 bits.
const TIME_DIGITS: usize = 16; // format

impl InboxPlace {
    /// A place in the order of ids.
    pub(crate) fn by_id(room: RoomId) -> Self {
        Self { active_at: None, room }
    }

    /// Parses what [`fmt::Display`] has written for a place in `order`.
    pub fn parse(order: InboxOrder, text: &str) -> Option<Self> {
        let (active_at, room) = match order {
            InboxOrder::Room => (None, text),
            InboxOrder::Latest => {
                let (at, room) = text.split_once(SPACE)?;
                let is_hex = at.len() == TIME_DIGITS && at.bytes().all(|digit| digit.is_ascii_hexdigit());
                let at = u64::from_str_radix(at, 16).ok().filter(|_| is_hex)?;
                (Some(Timestamp(at)), room)
            }
        };
        Some(Self { active_at, room: RoomId::parse(room).ok()? })
    }
}

impl fmt::Display for InboxPlace {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.active_at {
            None => write!(out, "{}", self.room),
            Some(at) => write!(out, "{:016x}{SPACE}{}", at.0, self.room),
        }
    }
}

/// The order of the list: the latest first, and of one moment by room id.
impl Ord for InboxPlace {
    fn cmp(&self, other: &Self) -> Ordering {
        other.active_at.cmp(&self.active_at).then_with(|| self.room.cmp(&other.room))
    }
}

impl PartialOrd for InboxPlace {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
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
pub type Lookup = (InboxPlace, Result<Option<InboxRow>, StoreError>);

/// A page of an inbox. Rooms are read as they are taken from the stream, so a page can end early.
pub struct InboxPage<'a> {
    /// In the order asked for. An unreadable one does not end the stream.
    pub rooms: BoxStream<'a, Lookup>,
    /// Rooms of the page that cannot be read; those that have no place in the order for it, on each page.
    pub damaged: Vec<RoomId>,
    /// The place after which the next page begins; `None` if this is the last one.
    pub next: Option<InboxPlace>,
    /// Whether the user has more rooms than are put in order.
    pub is_partial: bool,
    /// Rooms that were read to put them in order.
    pub read: usize,
}

/// Lists the rooms of users.
#[async_trait]
pub trait InboxView: Send + Sync + 'static {
    /// A page of the rooms in which a user is a member.
    ///
    /// # Errors
    /// Those of the store, if the page as a whole cannot be read.
    async fn page(&self, query: InboxQuery) -> Result<InboxPage<'_>, StoreError>;

    /// The unread messages of `user` in all rooms that are not archived, and that they have not hidden, nor muted at
    /// `unmuted_at`, if given.
    ///
    /// # Errors
    /// Those of the store, if the rooms as a whole cannot be read.
    async fn unread_total(
        &self,
        user: &UserId,
        unmuted_at: Option<Timestamp>,
    ) -> Result<UnreadTotal, StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_they_were_written() {
        let room = RoomId::parse("order-42").unwrap();
        for (order, active_at) in
            [(InboxOrder::Room, None), (InboxOrder::Latest, Some(Timestamp(1_700_000_000_000)))]
        {
            let place = InboxPlace { active_at, room: room.clone() };
            assert_eq!(InboxPlace::parse(order, &place.to_string()), Some(place));
        }
        for wrong in ["", "order-42", "1 order-42", "+000000000000001 order-42", "0000000000000001 a/b"] {
            assert_eq!(InboxPlace::parse(InboxOrder::Latest, wrong), None, "{wrong}");
        }
        assert_eq!(InboxPlace::parse(InboxOrder::Room, "0000000000000001 order-42"), None);
    }

    #[test]
    fn latest_comes_first() {
        let place =
            |at, room| InboxPlace { active_at: Some(Timestamp(at)), room: RoomId::parse(room).unwrap() };
        let mut places = vec![place(1, "a"), place(2, "c"), place(2, "b"), place(3, "z")];
        places.sort();
        assert_eq!(places, [place(3, "z"), place(2, "b"), place(2, "c"), place(1, "a")]);
    }
}
