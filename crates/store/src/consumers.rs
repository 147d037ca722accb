//! Consumers of the change feed and their progress: kept in the store, but not in the feed.

use async_trait::async_trait;
use parlance_core::{RoomId, Timestamp};

use crate::StoreError;
use crate::feed::Position;
use crate::limits::MAX_CONSUMER_NAME_BYTES;

/// The name of a consumer: lower-case letters, digits and `-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConsumerName(String);

impl ConsumerName {
    /// Parses a name; `None` if it is invalid.
    pub fn parse(name: &str) -> Option<Self> {
        let is_plain =
            name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        (is_plain && !name.is_empty() && name.len() <= MAX_CONSUMER_NAME_BYTES).then(|| Self(name.to_owned()))
    }

    /// The name of the lease of the process that reads the feed: no consumer has it.
    pub fn of_the_reader() -> Self {
        Self("#reader".to_owned())
    }

    /// As a string.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for ConsumerName {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.0)
    }
}

/// A consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerState {
    /// Every record of the feed up to here is done, or pending in the consumer's rooms.
    pub position: Position,
    /// The consumer's target, so that another consumer cannot take over its name.
    pub target: String,
    /// Whether an operator has paused it.
    pub paused: bool,
    /// Why it was disabled; empty if it is not.
    pub disabled: String,
    /// Progress of its current walk over all rooms.
    pub walk: Option<Walk>,
    /// When it was first started; 0 if it began with the first event of every room.
    pub created_at: Timestamp,
    /// Since when nothing was accepted.
    pub failing_since: Option<Timestamp>,
    /// Commit time of the oldest undelivered event when this was written, as far as it was known.
    pub behind_since: Option<Timestamp>,
}

/// Progress of a walk over all rooms.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Walk {
    /// The last visited room; `None` at the beginning.
    pub after: Option<RoomId>,
}

/// Identifies an event of a room across restores: a later epoch reuses seqs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct EventKey {
    /// The room's epoch.
    pub epoch: u64,
    /// The event's position in the log; 0 is before the first.
    pub seq: u64,
}

/// A consumer's progress in one room.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RoomProgress {
    /// The last event that was delivered.
    pub done: EventKey,
    /// Whether later events have to be read from the log: the feed will not announce them again.
    pub pending: bool,
    /// Set if the event after `done` was refused.
    pub parked: Option<Parked>,
    /// What announced the room, as long as it could not be read: then the place to start is unknown, and `done` counts
    /// for nothing.
    pub announced: Option<Announced>,
}

impl RoomProgress {
    /// Of a room that could not be read yet.
    pub fn unread(announced: Announced) -> Self {
        Self { announced: Some(announced), ..Self::default() }
    }
}

/// What first announced a room to a consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Announced {
    /// The first event named by the feed; `None` if a walk over all rooms found the room.
    pub first: Option<u64>,
    /// Time of that record, or since when the consumer gets events.
    pub at: Timestamp,
}

/// Why delivery in a room has stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parked {
    /// The answer of the sink.
    pub reason: String,
    /// When it stopped.
    pub since: Timestamp,
}

/// One write of a consumer's progress. The consumer's own row is written after the rows of its rooms: if the
/// write fails, some rooms may have been written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConsumerWrite {
    /// The consumer's own row.
    pub state: Option<ConsumerState>,
    /// Rows of rooms.
    pub rooms: Vec<(RoomId, RoomProgress)>,
    /// Its place among all writes of the consumer, where several processes could run it: a row that was written
    /// later stays as it is, and the write fails. A store that one process has to itself does not look at it.
    pub fence: Option<Fence>,
}

/// The place of a write among all writes of a consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Fence {
    /// Rises each time a process takes the consumer's lease.
    pub term: u64,
    /// Rises with each write of that process.
    pub write: u64,
}

/// What was stored of a consumer that was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Removed {
    /// Rooms with progress.
    pub rooms: usize,
    /// Those of them with undelivered events, parked ones included.
    pub pending: usize,
    /// Those of them that were parked.
    pub parked: usize,
}

impl Removed {
    /// Counts a room.
    pub fn count(&mut self, progress: &RoomProgress) {
        self.rooms += 1;
        self.pending += usize::from(progress.pending || progress.parked.is_some());
        self.parked += usize::from(progress.parked.is_some());
    }
}

/// A consumer as listed; the error if its row is unreadable.
pub type ListedConsumer = (ConsumerName, Result<ConsumerState, StoreError>);

/// The consumers of a store.
#[async_trait]
pub trait ConsumerTable: Send + Sync + 'static {
    /// All consumers, by name. A damaged one hides no other.
    async fn consumers(&self) -> Result<Vec<ListedConsumer>, StoreError>;

    /// One consumer.
    async fn consumer(&self, name: &ConsumerName) -> Result<Option<ConsumerState>, StoreError>;

    /// The consumer's progress in those of `rooms` that have a row, in any order.
    async fn progress(
        &self,
        name: &ConsumerName,
        rooms: &[RoomId],
    ) -> Result<Vec<(RoomId, RoomProgress)>, StoreError>;

    /// Up to `limit` `wanted` rooms of a consumer by ascending id, and where to continue. A page may be short or
    /// empty without being the last. An unreadable row counts as a room without progress: readers drop
    /// duplicates, but would not notice a hole.
    async fn rooms(
        &self,
        name: &ConsumerName,
        wanted: Wanted,
        after: Option<&RoomId>,
        limit: usize,
    ) -> Result<RoomPage, StoreError>;

    /// Updates a consumer. Durable once it returns.
    async fn write_consumer(&self, name: &ConsumerName, write: ConsumerWrite) -> Result<(), StoreError>;

    /// Removes a consumer that runs nowhere, readable or not: its own row last, so that it stays listed if this fails,
    /// and can be removed again. `None` if there is none.
    async fn remove_consumer(&self, name: &ConsumerName) -> Result<Option<Removed>, StoreError>;
}

/// A filter of a consumer's rooms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Rooms with pending events, parked or not.
    Pending,
    /// Rooms that need an operator's decision.
    Parked,
}

impl Wanted {
    /// Whether it matches.
    pub fn matches(self, progress: &RoomProgress) -> bool {
        match self {
            Self::Pending => progress.pending,
            Self::Parked => progress.parked.is_some(),
        }
    }
}

/// A page of a consumer's rooms.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RoomPage {
    /// The rooms.
    pub rooms: Vec<(RoomId, RoomProgress)>,
    /// Where to continue; `None` at the end.
    pub next: Option<RoomId>,
}

/// Lease of a consumer, held by one process at a time.
///
/// The owner renews it; others decide by their own clock whether it was renewed in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The process that holds it; empty if none does.
    pub owner: String,
    /// Increases with each renewal.
    pub renewals: u64,
}

impl Lease {
    /// Whether a process holds it, or held it when it died.
    pub fn is_held(&self) -> bool {
        !self.owner.is_empty()
    }
}

/// The leases of a store.
#[async_trait]
pub trait LeaseTable: Send + Sync + 'static {
    /// The lease of a consumer.
    async fn lease(&self, name: &ConsumerName) -> Result<Option<Lease>, StoreError>;

    /// Writes `new` if the lease still is `old`. Returns whether it is `new` now.
    async fn replace_lease(
        &self,
        name: &ConsumerName,
        old: Option<&Lease>,
        new: &Lease,
    ) -> Result<bool, StoreError>;

    /// Refuses writes before `fence` to the consumer's own row from now on, if there is one. What is read of the
    /// consumer after that, only writes from `fence` on change.
    async fn fence(&self, name: &ConsumerName, fence: Fence) -> Result<(), StoreError>;
}
