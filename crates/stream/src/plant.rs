//! Known bugs, planted by tests to prove that they are found.

/// A bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plant {
    /// A record's events are delivered as named, whatever came before.
    TrustTheOrder,
    /// A room whose records leave a hole waits for the record that fills it.
    WaitForHoles,
    /// A room without a position starts at its record.
    StartAtTheRecord,
    /// The events after a parked one are delivered.
    PassTheParked,
    /// Seqs are compared without their epochs.
    GuardOnSeqAlone,
    /// The checkpoint is the highest finished position.
    CheckpointTheHighest,
    /// The checkpoint does not wait for effects.
    CheckpointBeforeTheEffect,
    /// Events that a sink does not accept are dropped.
    DropOnError,
    /// After trimming, the feed is read from its end.
    SkipTheTrimmed,
}

#[cfg(test)]
thread_local! {
    static PLANTED: std::cell::Cell<Option<Plant>> = const { std::cell::Cell::new(None) };
}

/// Plants a bug on this thread, or none.
#[cfg(test)]
pub(crate) fn plant(plant: Option<Plant>) {
    PLANTED.set(plant);
}

/// Whether this bug is planted.
#[cfg(test)]
pub(crate) fn is(plant: Plant) -> bool {
    PLANTED.get() == Some(plant)
}

/// No bug is planted outside of tests.
#[cfg(not(test))]
pub(crate) const fn is(_: Plant) -> bool {
    false
}
