//! Consumers of the change feed, and how far they are: kept in the store, and not in the feed.

use async_trait::async_trait;
use parlance_core::{RoomId, Timestamp};

use crate::StoreError;
use crate::feed::Position;

/// Longest name, bytes.
const MAX_NAME_BYTES: usize = 64;

/// The name of a consumer: lower-case letters, digits and `-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConsumerName(String);

impl ConsumerName {
    /// The name that `name` is; `None` if it is none.
    pub fn parse(name: &str) -> Option<Self> {
        let is_plain =
            name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        (is_plain && !name.is_empty() && name.len() <= MAX_NAME_BYTES).then(|| Self(name.to_owned()))
    }

    /// As text.
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
    /// Everything up to here in the feed is done, or pending in the consumer's rooms.
    pub position: Position,
    /// What the consumer is, so that its name is not taken by another one.
    pub target: String,
    /// An operator has paused it.
    pub paused: bool,
    /// Why it was disabled; empty if it is not.
    pub disabled: String,
    /// It walks all rooms, and has looked at those up to this one.
    pub walk: Option<Walk>,
    /// When it was first started; 0 for one that began with the first event of every room.
    pub created_at: Timestamp,
    /// Since when nothing was accepted.
    pub failing_since: Option<Timestamp>,
}

/// How far a walk over all rooms is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Walk {
    /// The last room; none at the beginning.
    pub after: Option<RoomId>,
}

/// An event of a room, over restores: seqs are used again in a later epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct EventKey {
    /// The room's epoch.
    pub epoch: u64,
    /// The event's position in the log; 0 is before the first.
    pub seq: u64,
}

/// How far a consumer is in one room.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RoomProgress {
    /// The last event that is done.
    pub done: EventKey,
    /// Events after it are to be read from the log: the feed does not say so again.
    pub pending: bool,
    /// The event after `done` was refused.
    pub parked: Option<Parked>,
}

/// Why a room does not go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parked {
    /// What the sink said.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
}

/// What one write changes of a consumer. If it fails, rows of rooms may have been written, and the consumer's own
/// row only after all of them.
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

/// The consumers of a store.
#[async_trait]
pub trait ConsumerTable: Send + Sync + 'static {
    /// All consumers, by name.
    async fn consumers(&self) -> Result<Vec<(ConsumerName, ConsumerState)>, StoreError>;

    /// One consumer.
    async fn consumer(&self, name: &ConsumerName) -> Result<Option<ConsumerState>, StoreError>;

    /// How far a consumer is in those of `rooms` in which it is anywhere, in no order.
    async fn progress(
        &self,
        name: &ConsumerName,
        rooms: &[RoomId],
    ) -> Result<Vec<(RoomId, RoomProgress)>, StoreError>;

    /// Rooms of a consumer by rising id that are `wanted`, up to `limit` of them, and where to look on. A page
    /// may hold fewer, or none, and not be the last. A row that cannot be read counts as a room that begins
    /// anew: repeats are dropped by who reads, and a hole would not be noticed.
    async fn rooms(
        &self,
        name: &ConsumerName,
        wanted: Wanted,
        after: Option<&RoomId>,
        limit: usize,
    ) -> Result<RoomPage, StoreError>;

    /// Changes what is kept of a consumer. Durable once it returns.
    async fn write_consumer(&self, name: &ConsumerName, write: ConsumerWrite) -> Result<(), StoreError>;
}

/// Which rooms of a consumer are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Those with pending events, parked or not.
    Pending,
    /// Those that an operator is to decide on.
    Parked,
}

impl Wanted {
    /// Whether it is one of them.
    pub fn matches(self, progress: &RoomProgress) -> bool {
        match self {
            Self::Pending => progress.pending,
            Self::Parked => progress.parked.is_some(),
        }
    }
}

/// Some of a consumer's rooms.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RoomPage {
    /// The rooms.
    pub rooms: Vec<(RoomId, RoomProgress)>,
    /// Where to look on; `None` at the end.
    pub next: Option<RoomId>,
}

/// Who works for a consumer, where several processes could.
///
/// Whoever has it renews it; whoever else looks at it judges by their own clock whether it was renewed in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The process that has it; empty if none has.
    pub owner: String,
    /// Rises with each renewal.
    pub renewals: u64,
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
