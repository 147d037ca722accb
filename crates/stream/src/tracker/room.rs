use parlance_core::Timestamp;
use parlance_store::consumers::{EventKey, Parked};

/// Milliseconds of a clock that only rises.
pub(crate) type Millis = u64;

/// One room, as far as a consumer has it in memory.
#[derive(Debug, Default)]
pub(super) struct Room {
    /// The last event that is done, where that is known.
    pub(super) done: Option<EventKey>,
    /// What the feed said while it was not known.
    pub(super) origin: Origin,
    /// The highest seq that the feed named.
    pub(super) target: u64,
    pub(super) phase: Phase,
    /// The first unfinished record, before which the room holds the checkpoint.
    pub(super) held: Option<u64>,
    pub(super) held_since: Millis,
    /// When that was committed.
    pub(super) held_at: Option<Timestamp>,
    /// Its row says that events are pending.
    pub(super) saved_pending: bool,
    pub(super) parked: Option<Parked>,
    /// Attempts at the event after `done`.
    pub(super) attempts: u32,
    /// When the work on it was begun.
    pub(super) begun: Millis,
}

/// Where work on a room starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin {
    /// After this event, where it is known.
    pub(crate) done: Option<EventKey>,
    /// Otherwise at the first event that the feed named,
    pub(crate) first: u64,
    /// or earlier, by the time of its record.
    pub(crate) at: Timestamp,
}

impl Default for Origin {
    fn default() -> Self {
        Self { done: None, first: u64::MAX, at: Timestamp(u64::MAX) }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Phase {
    /// Nothing is to be done.
    #[default]
    Idle,
    Ready,
    InFlight,
    Waiting {
        until: Millis,
    },
    /// An operator is to decide.
    Parked,
}

impl Phase {
    pub(super) fn is_active(self) -> bool {
        !matches!(self, Self::Idle | Self::Parked)
    }
}

/// How work on a room has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The last event that is done, where that is known now.
    pub(crate) done: Option<EventKey>,
    /// The sink took something.
    pub(crate) delivered: bool,
    /// Its row, which was read, says that events are pending.
    pub(crate) was_pending: bool,
    pub(crate) outcome: Outcome,
}

#[derive(Debug)]
pub(crate) enum Outcome {
    /// The room's head was this one.
    UpTo {
        head: u64,
    },
    /// It is to be tried again.
    Unavailable {
        retry_after_ms: u64,
        /// It was the sink.
        sink: bool,
    },
    Parked(Parked),
}

impl Ended {
    /// Nothing was done, and there is nothing to do.
    pub(crate) const NOTHING: Self =
        Self { done: None, delivered: false, was_pending: false, outcome: Outcome::UpTo { head: 0 } };
}

impl Outcome {
    /// It failed for no reason of the sink.
    pub(crate) const FAILED: Self = Self::Unavailable { retry_after_ms: 0, sink: false };
}
