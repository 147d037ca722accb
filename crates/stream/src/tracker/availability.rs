//! Whether the sink counts as available, judged by the results of work.

use std::collections::BTreeSet;

use parlance_core::RoomId;

use super::Limits;
use super::limits::SILENT_MS;
use super::room::{Millis, backoff};

pub(super) struct Availability {
    limits: Limits,
    /// Whether it has accepted or refused something since the start.
    has_answered: bool,
    /// When it did so last.
    answered_at: Millis,
    /// How often it did so after failures.
    round: u64,
    /// Failures since it last accepted or refused something.
    failures: u32,
    /// When the last of them was counted: results of work started earlier are not counted again.
    failed_at: Millis,
    /// When the first work that failed since its last answer was started, or that answer if it is later.
    silent_since: Millis,
    /// Rooms whose work failed since its last answer: as many as make it unavailable. Without those that fail while it
    /// accepts others.
    failed: BTreeSet<RoomId>,
    away_until: Millis,
}

/// Whether a room may be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Try {
    Now,
    /// Not this room, but others that have not failed: perhaps it is the only one.
    OtherRooms,
    /// No room.
    Later,
}

impl Availability {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            has_answered: false,
            answered_at: 0,
            round: 0,
            failures: 0,
            failed_at: 0,
            silent_since: 0,
            failed: BTreeSet::new(),
            away_until: 0,
        }
    }

    /// Whether the sink counts as unavailable.
    pub(super) fn is_away(&self) -> bool {
        self.failures >= self.limits.away_after
    }

    /// Whether it has answered since the start, and is not unavailable.
    pub(super) fn is_answering(&self) -> bool {
        self.has_answered && !self.is_away()
    }

    /// When an unavailable sink is tried again.
    pub(super) fn away_until(&self) -> Millis {
        self.away_until
    }

    /// Distinguishes failures before and after it has accepted or refused something.
    pub(super) fn round(&self) -> u64 {
        self.round
    }

    /// It has accepted or refused something.
    pub(super) fn answered(&mut self, now: Millis) {
        (self.has_answered, self.answered_at) = (true, now);
        self.round += u64::from(self.failures > 0);
        self.is_back();
    }

    /// It counts as available.
    pub(super) fn is_back(&mut self) {
        (self.failures, self.away_until) = (0, 0);
        self.failed.clear();
    }

    /// Work on a room that was started at `begun` has failed. `fails_alone`: so it does while others are accepted.
    pub(super) fn failed(&mut self, room: &RoomId, fails_alone: bool, begun: Millis, now: Millis) {
        let Limits { away_after, away_after_ms, backoff_ms, max_away_ms, .. } = self.limits;
        let is_first = self.failures == 0;
        let silent_since = begun.max(self.answered_at);
        self.silent_since = if is_first { silent_since } else { self.silent_since.min(silent_since) };
        if self.is_one_of_few() && !fails_alone {
            self.failed.insert(room.clone());
        }
        let is_new = is_first || begun >= self.failed_at;
        if is_new {
            self.failed_at = now;
            self.failures = self.failures.saturating_add(1);
        }
        // Many rooms that fail at once are one failure, but not for long.
        let longest = if self.is_one_of_few() { SILENT_MS } else { away_after_ms };
        let is_silent = now.saturating_sub(self.silent_since) >= longest;
        let becomes_away = is_silent && !self.is_away();
        if becomes_away {
            self.failures = away_after;
        }
        if is_new || becomes_away {
            let beyond = self.failures.saturating_sub(away_after);
            self.away_until = now + backoff(backoff_ms, beyond, max_away_ms);
        }
    }

    /// Whether an unavailable sink is tried with the last room in the queue, of those that have not failed.
    pub(super) fn tries_last(&self) -> bool {
        self.failures.saturating_sub(self.limits.away_after).is_multiple_of(2)
    }

    /// How many rooms may be worked on at once.
    pub(super) fn most_in_flight(&self) -> usize {
        if self.is_away() {
            let untried = (self.limits.away_after as usize).saturating_sub(self.failed.len());
            return untried.clamp(1, self.limits.max_in_flight);
        }
        self.limits.max_in_flight
    }

    /// Whether a room may be tried now. `has_failed`: since the last answer, or repeatedly while others were accepted.
    pub(super) fn may_try(&self, has_failed: bool, now: Millis) -> Try {
        match (self.is_away() && now < self.away_until, self.is_one_of_few()) {
            (false, _) => Try::Now,
            (true, false) => Try::Later,
            (true, true) if has_failed => Try::OtherRooms,
            (true, true) => Try::Now,
        }
    }

    /// Whether so few rooms have failed that they may be the cause.
    fn is_one_of_few(&self) -> bool {
        self.failed.len() < self.limits.away_after as usize
    }
}
