//! How far a consumer is behind.

use parlance_core::Timestamp;

/// Commit times of the oldest undelivered events of rooms that are not in memory: no later than they really are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Elsewhere {
    /// Of all of them.
    all: Option<Timestamp>,
    /// Of those that were evicted since the current scan for them began: it may have passed them.
    missed: Option<Timestamp>,
}

impl Elsewhere {
    pub(super) fn new(since: Option<Timestamp>) -> Self {
        Self { all: since, missed: None }
    }

    pub(super) fn since(&self) -> Option<Timestamp> {
        self.all
    }

    /// A room was evicted.
    pub(super) fn evicted(&mut self, since: Option<Timestamp>) {
        self.all = earlier(self.all, since);
        self.missed = earlier(self.missed, since);
    }

    /// A scan has found all rooms that were there when it began.
    pub(super) fn scanned(&mut self) {
        self.all = self.missed.take();
    }
}

pub(super) fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    [one, other].into_iter().flatten().min()
}
