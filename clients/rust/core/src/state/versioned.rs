//! Values with the version at which they are valid.

use std::collections::BTreeMap;

/// Steps of a [`Counter`] waiting for a snapshot. Beyond that, the oldest count as missing.
const MAX_STEPS: usize = 256;

/// A point in a room's log: unknown, at a seq, or between two seqs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Version(u64);

impl Version {
    /// Older than everything.
    pub(super) const UNKNOWN: Self = Self(0);

    /// At an event, or of a snapshot that contains it.
    pub(super) fn at(seq: u64) -> Self {
        Self(seq.saturating_mul(2).saturating_add(1))
    }

    /// Later than every snapshot at this seq, and before the next event.
    pub(super) fn after(seq: u64) -> Self {
        Self(seq.saturating_mul(2).saturating_add(2))
    }
}

/// A value, and the version of its room at which it is valid.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Versioned<T> {
    pub(super) value: T,
    pub(super) version: Version,
}

impl<T> Versioned<T> {
    /// Applies an event's value, unless the current one is at least as recent.
    pub(super) fn event(&mut self, value: T, version: Version) {
        if version > self.version {
            *self = Self { value, version };
        }
    }

    /// Applies the value of a snapshot that includes every event up to its version, unless the
    /// current one is more recent.
    pub(super) fn snapshot(&mut self, value: T, version: Version) {
        if version >= self.version {
            *self = Self { value, version };
        }
    }
}

/// A number set by snapshots and updated by events: the members of a room. Events that arrive
/// before their snapshot, or after a hole, wait for it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Counter {
    base: u64,
    /// The seq at which `base` is valid; `None` before the first snapshot.
    seq: Option<u64>,
    /// Steps after `seq` that are not included in `base`.
    steps: BTreeMap<u64, i64>,
    /// Events up to here may be missing: only a snapshot at or above it gives the count.
    missing_to: u64,
}

impl Counter {
    /// The count to show before the first snapshot.
    pub(super) fn assumed(count: u64) -> Self {
        Self { base: count, ..Self::default() }
    }

    /// The count, as far as known.
    pub(super) fn count(&self) -> u64 {
        self.base.saturating_add_signed(self.steps.values().sum())
    }

    /// Whether the count is right as of the last received event.
    pub(super) fn is_exact(&self) -> bool {
        self.seq.is_some_and(|seq| seq >= self.missing_to)
    }

    pub(super) fn step(&mut self, seq: u64, by: i64) {
        if Some(seq) <= self.seq || self.steps.contains_key(&seq) {
            return;
        }
        if self.is_exact() && self.steps.is_empty() {
            self.base = self.base.saturating_add_signed(by);
            self.seq = Some(seq);
            return;
        }
        self.steps.insert(seq, by);
        if self.steps.len() > MAX_STEPS
            && let Some((dropped, _)) = self.steps.pop_first()
        {
            self.hole(dropped);
        }
    }

    /// Events up to `seq` will not be received.
    pub(super) fn hole(&mut self, seq: u64) {
        if Some(seq) > self.seq {
            self.missing_to = self.missing_to.max(seq);
        }
    }

    pub(super) fn snapshot(&mut self, count: u64, seq: u64) {
        if Some(seq) < self.seq {
            return;
        }
        (self.base, self.seq) = (count, Some(seq));
        self.steps = self.steps.split_off(&seq.saturating_add(1));
        if self.is_exact()
            && let Some(last) = self.steps.last_key_value().map(|(last, _)| *last)
        {
            (self.base, self.seq) = (self.count(), Some(last));
            self.steps.clear();
        }
    }
}
