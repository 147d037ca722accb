//! Known mistakes, which tests plant to prove that they would be found.

/// A mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plant {
    /// A record's events are handed on as it names them, whatever came before.
    TrustTheOrder,
    /// A room whose records leave a hole waits for the record that fills it.
    WaitForHoles,
    /// A room of which nothing is known starts at its record.
    StartAtTheRecord,
    /// The events after a parked one are handed on.
    PassTheParked,
    /// Seqs are compared without their epochs.
    GuardOnSeqAlone,
    /// The checkpoint is the highest position that is finished.
    CheckpointTheHighest,
    /// The checkpoint does not wait for effects.
    CheckpointBeforeTheEffect,
    /// What a sink does not take is dropped.
    DropOnError,
    /// A trimmed feed is read on from its end.
    SkipTheTrimmed,
}

#[cfg(test)]
thread_local! {
    static PLANTED: std::cell::Cell<Option<Plant>> = const { std::cell::Cell::new(None) };
}

/// Plants a mistake on this thread, or none.
#[cfg(test)]
pub(crate) fn plant(plant: Option<Plant>) {
    PLANTED.set(plant);
}

/// Whether this mistake is planted.
#[cfg(test)]
pub(crate) fn is(plant: Plant) -> bool {
    PLANTED.get() == Some(plant)
}

/// No mistake is planted outside of tests.
#[cfg(not(test))]
pub(crate) const fn is(_: Plant) -> bool {
    false
}
