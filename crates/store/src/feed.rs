//! The change feed: the changes of a store, in commit order.
//!
//! A record is a hint that something has changed. Order, completeness and content come from the log: a room's events
//! are gap-free, so a reader always knows what is missing.

use std::fmt::{self, Display};
use std::time::Duration;

use async_trait::async_trait;
use parlance_core::{RoomId, Timestamp, UserId};

use crate::StoreError;
use crate::limits::MAX_POSITION_BYTES;

/// A position in a change feed, opaque to everything but that feed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Position(String);

impl Position {
    /// Parses a position; `None` if no feed writes this.
    pub fn parse(text: &str) -> Option<Self> {
        let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:,".contains(&byte));
        (is_plain && !text.is_empty() && text.len() <= MAX_POSITION_BYTES).then(|| Self(text.to_owned()))
    }

    /// The `number`th record of the store `identity`: a position in a feed without shards.
    pub fn numbered(identity: &str, number: u64) -> Self {
        Self(format!("{identity}.{number}"))
    }

    /// The number of a position in the feed of the store `identity`.
    pub fn number_in(&self, identity: &str) -> Option<u64> {
        self.0.strip_prefix(identity)?.strip_prefix('.')?.parse().ok()
    }

    /// As text, to be stored and parsed again.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Display for Position {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// What one commit changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The position of the record.
    pub position: Position,
    /// When it was committed.
    pub at: Timestamp,
    /// What changed.
    pub changes: Changes,
}

/// Keys that changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// Rooms whose logs grew, each once.
    pub heads: Vec<MovedHead>,
    /// Marks that were moved, and rooms that their user hid. Excludes the mark moved by sending, which reads up to
    /// the user's own message.
    pub marks: Vec<(RoomId, UserId)>,
    /// Memberships that changed.
    pub members: Vec<(RoomId, UserId)>,
    /// Users whose profiles changed.
    pub profiles: Vec<UserId>,
}

/// Events that were appended to a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovedHead {
    /// The room.
    pub room: RoomId,
    /// The first of the events.
    pub first: u64,
    /// The last of the events; where the feed is not in order, one of them.
    pub last: u64,
}

impl Changes {
    /// Adds the events from `first` to `last` of `room`. Those of one room are consecutive.
    pub fn append(&mut self, room: &RoomId, first: u64, last: u64) {
        // A busy room is usually the last one.
        match self.heads.iter_mut().rev().find(|head| head.room == *room) {
            Some(head) => head.last = head.last.max(last),
            None => self.heads.push(MovedHead { room: room.clone(), first, last }),
        }
    }
}

/// A part of a feed that cannot be read, while others can.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadPart {
    /// Since when.
    pub since: Timestamp,
    /// Why.
    pub because: StoreError,
}

/// The records after a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeedPage {
    /// Records in order, with none missing; empty at the end of the feed.
    Records {
        /// The records.
        records: Vec<Record>,
        /// Where to continue reading.
        next: Position,
        /// The part of the feed that cannot be read now: what it has is missing until it can be.
        unread: Option<UnreadPart>,
    },
    /// The next records are no longer in the feed, or the position belongs to another store: note the end of the
    /// feed, walk all rooms, and continue from there.
    Trimmed,
}

/// The changes of a store.
///
/// Acknowledged writes are in the feed until trimmed; unacknowledged ones may be.
#[async_trait]
pub trait ChangeFeed: Send + Sync + 'static {
    /// The end of the feed. Later acknowledgements follow it.
    async fn tip(&self) -> Result<Position, StoreError>;

    /// About `limit` records after `after`.
    async fn records_after(&self, after: &Position, limit: usize) -> Result<FeedPage, StoreError>;

    /// Resolves once there may be something after `position`.
    async fn wait(&self, position: &Position);

    /// Room ids in an order of the store's own, each once: those that existed when the walk began, and perhaps others.
    /// The next page follows the last room of this one.
    async fn walk_rooms(&self, after: Option<&RoomId>, limit: usize) -> Result<Vec<RoomId>, StoreError>;

    /// How much later a record may be than records of later commits. Zero if the feed is in commit order.
    fn disorder(&self) -> Duration {
        Duration::ZERO
    }
}
