use std::time::Duration;

use parlance_core::{Backoff, Timestamp};
use parlance_store::consumers::{Announced, EventKey, Parked, RoomProgress};

use super::places::Place;

/// Milliseconds of a monotonic clock.
pub(crate) type Millis = u64;

/// One room, as far as a consumer has it in memory.
#[derive(Debug, Default)]
pub(super) struct Room {
    /// The last delivered event, if known.
    pub(super) done: Option<EventKey>,
    /// What the feed reported while it was unknown.
    pub(super) origin: Origin,
    /// Whether that is all there is to be saved: it has no row that says more, and could not be read.
    pub(super) is_unread: bool,
    /// The highest seq announced by the feed.
    pub(super) target: u64,
    pub(super) phase: Phase,
    /// The first undelivered record, before which the room holds the
    /// checkpoint.
    pub(super) held: Option<u64>,
    pub(super) held_since: Millis,
    /// Commit time of its first undelivered event, or earlier. `None` if nothing is known of it.
    pub(super) behind_since: Option<Timestamp>,
    /// Whether its row says that events are pending.
    pub(super) saved_pending: bool,
    /// Whether that row is of an earlier owner: it does not count as saved before it is written again.
    pub(super) is_unconfirmed: bool,
    pub(super) parked: Option<Parked>,
    /// Attempts at the event after `done`.
    pub(super) attempts: u32,
    /// Those of them that may be the event's fault.
    pub(super) faults: u32,
    /// The round of the sink in which the work on it failed last, and when.
    pub(super) failed: Option<(u64, Millis)>,
    /// Whether it failed both before and after the sink accepted others.
    pub(super) fails_alone: bool,
    /// Until when the sink does not want to be asked about it.
    pub(super) not_before: Millis,
    /// How often in a row the work on it was postponed.
    pub(super) postponed: u32,
    /// When the current work started.
    pub(super) begun: Millis,
    /// Its place during it.
    pub(super) place: Place,
    /// Whether the feed has announced something since then.
    pub(super) is_moved: bool,
    /// Whether an operator has resumed it since then: the work may have read a row from before that.
    pub(super) is_overtaken: bool,
    /// Whether it waits for the log to show what the feed has announced.
    pub(super) is_ahead: bool,
}

impl Room {
    /// Whether there is something to be saved.
    pub(super) fn is_known(&self) -> bool {
        self.done.is_some() || self.is_unread
    }

    /// The next event has not failed.
    pub(super) fn begin_anew(&mut self) {
        (self.attempts, self.faults) = (0, 0);
        (self.failed, self.fails_alone, self.not_before) = (None, false, 0);
    }

    /// When it failed, if it did so in this round of the sink, or repeatedly while others were accepted.
    pub(super) fn failed_at(&self, round: u64) -> Option<Millis> {
        let (in_round, at) = self.failed?;
        (in_round == round || self.fails_alone).then_some(at)
    }

    /// Takes over what its row says.
    pub(super) fn meet(&mut self, row: &RoomProgress) {
        match row.announced {
            None => self.done = Some(self.done.map_or(row.done, |done| done.max(row.done))),
            Some(Announced { first, at }) => {
                self.is_unread = true;
                self.origin = Origin { first: first.unwrap_or(u64::MAX), at, ..Origin::default() };
            }
        }
    }

    /// Its row, as far as it is known.
    pub(super) fn row(&self, pending: bool) -> Option<RoomProgress> {
        let announced = self.done.is_none().then(|| self.origin.announced());
        let done = self.done.unwrap_or_default();
        self.is_known().then(|| RoomProgress { done, pending, parked: self.parked.clone(), announced })
    }
}

/// Where work on a room starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin {
    /// After this event, if it is known.
    pub(crate) done: Option<EventKey>,
    /// Otherwise at the first event announced by the feed,
    pub(crate) first: u64,
    /// or earlier, according to the time of its record.
    pub(crate) at: Timestamp,
    /// Whether the event after `done` was refused, and the room waits for an operator.
    pub(crate) is_parked: bool,
}

impl Default for Origin {
    fn default() -> Self {
        Self { done: None, first: u64::MAX, at: Timestamp(u64::MAX), is_parked: false }
    }
}

impl Origin {
    /// What announced the room.
    pub(crate) fn announced(self) -> Announced {
        Announced { first: (self.first < u64::MAX).then_some(self.first), at: self.at }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Phase {
    /// Nothing to do.
    #[default]
    Idle,
    Ready,
    InFlight,
    Waiting {
        until: Millis,
    },
    /// Waits for an operator's decision.
    Parked,
}

impl Phase {
    pub(super) fn is_active(self) -> bool {
        !matches!(self, Self::Idle | Self::Parked)
    }
}

/// The result of the work on a room.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The last delivered event, if known now.
    pub(crate) done: Option<EventKey>,
    /// Whether the sink accepted something, or refused an event for good.
    pub(crate) answered: bool,
    /// Whether its row, which was read, says that events are pending.
    pub(crate) was_pending: bool,
    /// Whether it was parked, and goes on: the refused event is gone.
    pub(crate) resumed: bool,
    /// Commit time of the first event that was not delivered, or earlier, if known.
    pub(crate) behind_since: Option<Timestamp>,
    pub(crate) outcome: Outcome,
}

#[derive(Debug)]
pub(crate) enum Outcome {
    /// Everything up to this head is done.
    UpTo {
        head: u64,
    },
    /// The sink did not accept the next event. It has to be retried.
    Unavailable {
        retry_after_ms: u64,
        /// Whether it may be the event's fault.
        is_fault: bool,
    },
    /// The work on the next event failed by itself. It has to be retried.
    Failed,
    /// Neither the event nor the sink is the cause: the store failed, or this process may not deliver now. It has to
    /// be retried, and does not count as an attempt.
    Postponed,
    Parked(Parked),
    /// It was parked before, and the refused event is still there.
    StillParked,
}

impl Ended {
    /// Nothing was done, and there is nothing to do.
    pub(crate) const NOTHING: Self = Self {
        done: None,
        answered: false,
        was_pending: false,
        resumed: false,
        behind_since: None,
        outcome: Outcome::UpTo { head: 0 },
    };
}

/// The backoff before the next attempt, after `attempts`.
pub(super) fn backoff(first_ms: Millis, attempts: u32, most_ms: Millis) -> Millis {
    let backoff = Backoff { first: Duration::from_millis(first_ms), longest: Duration::from_millis(most_ms) };
    u64::try_from(backoff.delay(attempts).as_millis()).unwrap_or(most_ms)
}
