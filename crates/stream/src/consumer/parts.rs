//! Dependencies and options of a consumer.

use std::sync::Arc;
use std::time::Duration;

use parlance_core::{Clock, RoomId, Timestamp};
use parlance_store::StoreError;
use parlance_store::consumers::{ConsumerName, ConsumerTable, EventKey, RoomProgress};
use parlance_store::feed::ChangeFeed;
use tokio::sync::oneshot;

use crate::cold::{start_of, start_of_walked};
use crate::event::Content;
use crate::log::{Log, RoomHead};
use crate::sink::EventSink;
use crate::tracker::Limits;

/// Dependencies of a consumer.
#[derive(Clone)]
pub struct Parts {
    /// Announces changes.
    pub feed: Arc<dyn ChangeFeed>,
    /// Stores the consumer's progress.
    pub table: Arc<dyn ConsumerTable>,
    /// Source of the events.
    pub log: Arc<dyn Log>,
    /// Receives the events.
    pub sink: Arc<dyn EventSink>,
    /// Source of the time.
    pub clock: Arc<dyn Clock>,
}

/// Where a new consumer starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Start {
    /// With events from now on.
    #[default]
    Now,
    /// With the first event of every room.
    Beginning,
}

/// How to handle an event that the sink refuses permanently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnRefused {
    /// Park its room until an operator decides. Other rooms continue.
    #[default]
    Park,
    /// Skip it, log and count it. One that only failed, however often, parks its room.
    Skip,
}

/// Options of a consumer.
#[derive(Debug, Clone)]
pub struct Options {
    /// Its name.
    pub name: ConsumerName,
    /// Its target, which the name cannot be reused for another of.
    pub target: String,
    /// Where a new consumer starts.
    pub start: Start,
    /// How to handle refused events.
    pub on_refused: OnRefused,
    /// How much of an event is delivered.
    pub content: Content,
    /// Timeout of the sink.
    pub effect_timeout: Duration,
    /// Time without any accepted event after which the consumer is disabled; `None`: never.
    pub disable_after: Option<Duration>,
    /// Whether to enable it on startup if it was disabled, and to count the time of failures anew.
    pub enable: bool,
    /// Whether the store was restored, perhaps without the consumer's progress: it is reported if it is new.
    pub restored: bool,
    /// How often the checkpoint is written.
    pub flush_every: Duration,
    /// Limits; [`Limits::PRODUCTION`] except in tests.
    pub limits: Limits,
}

impl Options {
    /// Default options for the consumer `name` of `target`.
    pub fn new(name: ConsumerName, target: impl Into<String>) -> Self {
        Self {
            name,
            target: target.into(),
            start: Start::Now,
            on_refused: OnRefused::Park,
            content: Content::Full,
            effect_timeout: Duration::from_secs(30),
            disable_after: None,
            enable: false,
            restored: false,
            flush_every: Duration::from_millis(500),
            limits: Limits::PRODUCTION,
        }
    }
}

/// Why a consumer does not start, or a command fails.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The name is in use.
    #[error("the consumer {name} is {there}: give the new one another name")]
    NameInUse {
        /// The name.
        name: ConsumerName,
        /// The target that it belongs to.
        there: String,
    },
    /// The room is not parked.
    #[error("room {0} is not parked")]
    NotParked(RoomId),
    /// The consumer has stopped.
    #[error("the consumer has ended")]
    Ended,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Status of a consumer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Status {
    /// Commit time of the oldest undelivered event, those of parked rooms apart; `None` if all are delivered, as far as
    /// is known. While the feed cannot be read, no later than when that began, and so it is during a walk.
    pub behind_since: Option<Timestamp>,
    /// Rooms in memory with undelivered events.
    pub rooms: usize,
    /// Whether all events read so far are delivered.
    pub is_idle: bool,
    /// Whether the sink is unavailable.
    pub is_away: bool,
    /// Why it is.
    pub away_because: String,
    /// Why the feed cannot be read, if it cannot for more than a moment; empty if it can.
    pub unread_because: String,
    /// Parked rooms, as far as they were counted since the start.
    pub parked_rooms: usize,
    /// Since when the first of them is parked.
    pub parked_since: Option<Timestamp>,
    /// Whether an operator has paused it.
    pub paused: bool,
    /// Why it was disabled; empty if it is not.
    pub disabled: String,
}

/// An operator's command.
pub(crate) enum Command {
    Pause(bool),
    Unpark { room: RoomId, skip: bool },
    UnparkAll,
    Replay,
}

pub(crate) type Answer = oneshot::Sender<Result<(), Error>>;

pub(crate) struct Shared {
    pub(crate) parts: Parts,
    pub(crate) options: Options,
}

impl Shared {
    /// The consumer's stored progress in `room`.
    pub(crate) async fn row(&self, room: &RoomId) -> Result<Option<RoomProgress>, StoreError> {
        let rows = self.parts.table.progress(&self.options.name, std::slice::from_ref(room)).await?;
        Ok(rows.into_iter().next().map(|(_, row)| row))
    }

    /// `row` with the place to start in `room`, if that was unknown.
    pub(crate) async fn started(
        &self,
        room: &RoomId,
        head: &RoomHead,
        row: RoomProgress,
    ) -> Result<RoomProgress, StoreError> {
        let Some(announced) = row.announced else { return Ok(row) };
        let Parts { log, feed, .. } = &self.parts;
        let seq = match announced.first {
            Some(first) => start_of(log.as_ref(), feed.as_ref(), room, first, announced.at).await?,
            None => start_of_walked(log.as_ref(), room, head.head, announced.at).await?,
        };
        Ok(RoomProgress { done: EventKey { epoch: head.epoch, seq }, announced: None, ..row })
    }
}
