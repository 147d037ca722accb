//! What a consumer is made of, and how it works.

use std::sync::Arc;
use std::time::Duration;

use parlance_core::{Clock, RoomId, Timestamp};
use parlance_store::StoreError;
use parlance_store::consumers::{ConsumerName, ConsumerTable, EventKey, RoomProgress};
use parlance_store::feed::ChangeFeed;
use tokio::sync::oneshot;

use crate::cold::start_of;
use crate::event::Content;
use crate::log::{Log, RoomHead};
use crate::sink::EventSink;
use crate::tracker::{Limits, Origin};

/// What a consumer is made of.
#[derive(Clone)]
pub struct Parts {
    /// What has changed.
    pub feed: Arc<dyn ChangeFeed>,
    /// Where it is kept how far the consumer is.
    pub table: Arc<dyn ConsumerTable>,
    /// What happened.
    pub log: Arc<dyn Log>,
    /// What it is handed to.
    pub sink: Arc<dyn EventSink>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
}

/// Where a new consumer begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Start {
    /// With what happens from now on.
    #[default]
    Now,
    /// With the first event of every room.
    Beginning,
}

/// What becomes of an event that the sink refuses for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnRefused {
    /// Its room is parked until an operator decides. Other rooms go on.
    #[default]
    Park,
    /// It is skipped, with a line in the log and a count.
    Skip,
}

/// How a consumer works.
#[derive(Debug, Clone)]
pub struct Options {
    /// Its name.
    pub name: ConsumerName,
    /// What it is: the name is of nothing else.
    pub target: String,
    /// Where it begins if it is new.
    pub start: Start,
    /// What becomes of events that are refused.
    pub on_refused: OnRefused,
    /// How much of an event is handed on.
    pub content: Content,
    /// How long the sink may take.
    pub effect_timeout: Duration,
    /// After how long without anything taken the consumer is disabled; `None`: never.
    pub disable_after: Option<Duration>,
    /// Whether it goes on when it starts if it was disabled.
    pub enable: bool,
    /// How often the checkpoint is written.
    pub flush_every: Duration,
    /// Bounds; [`Limits::PRODUCTION`] unless something is tested.
    pub limits: Limits,
}

impl Options {
    /// The usual options for the consumer `name` of `target`.
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
            flush_every: Duration::from_millis(500),
            limits: Limits::PRODUCTION,
        }
    }
}

/// Why a consumer does not start, or a command is not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The name is taken.
    #[error("the consumer {name} is {there}: give the new one another name, or remove the old one")]
    NameInUse {
        /// The name.
        name: ConsumerName,
        /// What it is of.
        there: String,
    },
    /// The room is not parked.
    #[error("room {0} is not parked")]
    NotParked(RoomId),
    /// The consumer has ended.
    #[error("the consumer has ended")]
    Ended,
    /// The store did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How a consumer stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Status {
    /// When the oldest event was committed that is not done; `None` if all are, as far as is known.
    pub behind_since: Option<Timestamp>,
    /// Rooms with unfinished events, as far as they are in memory.
    pub rooms: usize,
    /// All that was read is done.
    pub is_idle: bool,
    /// The sink takes nothing.
    pub is_away: bool,
    /// An operator has paused it.
    pub paused: bool,
    /// Why it was disabled; empty if it is not.
    pub disabled: String,
}

/// What an operator wants.
pub(crate) enum Command {
    Pause(bool),
    Unpark { room: RoomId, skip: bool },
    Replay,
}

pub(crate) type Answer = oneshot::Sender<Result<(), Error>>;

pub(crate) struct Shared {
    pub(crate) parts: Parts,
    pub(crate) options: Options,
}

impl Shared {
    /// How far the consumer is in `room`: by its row, or where it starts.
    pub(crate) async fn progress(
        &self,
        room: &RoomId,
        head: &RoomHead,
        origin: Origin,
    ) -> Result<RoomProgress, StoreError> {
        let Parts { table, log, feed, .. } = &self.parts;
        if let Some((_, row)) = table.progress(&self.options.name, std::slice::from_ref(room)).await?.pop() {
            return Ok(row);
        }
        let seq = start_of(log.as_ref(), feed.as_ref(), room, origin.first, origin.at).await?;
        let done = EventKey { epoch: head.epoch, seq };
        Ok(RoomProgress { done, ..RoomProgress::default() })
    }
}
