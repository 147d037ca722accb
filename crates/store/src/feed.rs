//! The change feed: what has changed in a store, in the order of its commits.
//!
//! A record is a hint that something moved. Order, completeness and content come from the log: a room's
//! events are gap-free, so that a reader always knows what it lacks.

use std::fmt::{self, Display};
use std::time::Duration;

use async_trait::async_trait;
use parlance_core::{RoomId, Timestamp, UserId};

use crate::StoreError;

/// Longest position that is accepted, bytes: one of a feed of many shards is the longest.
const MAX_POSITION_BYTES: usize = 8 * 1024;

/// A place in a change feed, opaque to all but the feed that it is of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Position(String);

impl Position {
    /// The position that `text` is; `None` for what no feed writes.
    pub fn parse(text: &str) -> Option<Self> {
        let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:,".contains(&byte));
        (is_plain && !text.is_empty() && text.len() <= MAX_POSITION_BYTES).then(|| Self(text.to_owned()))
    }

    /// The `number`th record of the store `identity`: a position of a feed without shards.
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
    /// Where the record is.
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
    /// Marks that were moved, and rooms that their user hid. Not the mark that sending moves: sending
    /// reads up to one's own message.
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
    /// The last of the events.
    pub last: u64,
}

impl Changes {
    /// Notes the events from `first` to `last` of `room`. Those of one room follow each other.
    pub fn append(&mut self, room: &RoomId, first: u64, last: u64) {
        // A busy room is most often the last one.
        match self.heads.iter_mut().rev().find(|head| head.room == *room) {
            Some(head) => head.last = head.last.max(last),
            None => self.heads.push(MovedHead { room: room.clone(), first, last }),
        }
    }
}

/// What follows a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeedPage {
    /// Records in order, none missing; none at the end of the feed.
    Records {
        /// The records.
        records: Vec<Record>,
        /// Where to read on.
        next: Position,
    },
    /// What follows is not in the feed any more, or the position is of another store: note the end of the
    /// feed, look at every room, and go on from there.
    Trimmed,
}

/// What has changed in a store.
///
/// A write that was acknowledged is in the feed, until it is trimmed; what was not acknowledged may be.
#[async_trait]
pub trait ChangeFeed: Send + Sync + 'static {
    /// The end of the feed. What is acknowledged from now on follows it.
    async fn tip(&self) -> Result<Position, StoreError>;

    /// About `limit` records after `after`.
    async fn records_after(&self, after: &Position, limit: usize) -> Result<FeedPage, StoreError>;

    /// Resolves once there may be something after `position`.
    async fn wait(&self, position: &Position);

    /// Ids of rooms by rising id: those that were there when the walk began, and perhaps others.
    async fn walk_rooms(&self, after: Option<&RoomId>, limit: usize) -> Result<Vec<RoomId>, StoreError>;

    /// By how much a record may be later than records of commits that came after it. Zero where the feed
    /// has the order of the commits.
    fn disorder(&self) -> Duration {
        Duration::ZERO
    }
}
