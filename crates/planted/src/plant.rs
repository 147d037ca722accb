use std::sync::atomic::{AtomicU8, Ordering};

/// The environment variable that names the bug for `parlance-planted`.
pub const VARIABLE: &str = "PARLANCE_PLANT";

/// A bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Plant {
    /// The store answers an append before it writes.
    AckBeforeCommit = 1,
    /// An append that lost a race is reported as written.
    SkipFence,
    /// A room catches up to the middle of another node's chunk.
    MiddleOfChunk,
    /// Publishes are occasionally dropped and reported as done.
    DropPublish,
    /// A node that has lost its lease does not register its users again.
    IgnoreLostLease,
    /// A publish is reported as done too early.
    AckBeforePublish,
    /// Requests read from the log are not recognised when repeated.
    ForgetRepeatCheck,
    /// Former members, and members who joined later, can read everything.
    ReadPastHead,
    /// Chunks of another fleet that seem to continue the log are trusted.
    TrustHints,
    /// A late registration, whose caller no longer waits, is not reported.
    LateRegistration,
    /// Missing envelope numbers are ignored.
    UncountedLoss,
    /// Additions of a later version to an event are treated as damage, or dropped.
    FromTheFuture,
    /// A node's clock is trusted, however wrong it is.
    TrustClock,
    /// A consumer delivers a record's events as named, whatever came before.
    TrustTheOrder,
    /// A room whose records leave a hole waits for the record that fills it.
    WaitForHoles,
    /// A room without a position starts at its record.
    StartAtTheRecord,
    /// The events after a refused one are delivered.
    PassTheParked,
    /// Seqs are compared without their epochs.
    GuardOnSeqAlone,
    /// The checkpoint is the highest finished position.
    CheckpointTheHighest,
    /// The checkpoint does not wait for effects.
    CheckpointBeforeTheEffect,
    /// The checkpoint is written apart from the rows that it holds together with.
    CheckpointApart,
    /// Events that a sink does not accept are dropped.
    DropOnError,
    /// After trimming, the feed is read from its end.
    SkipTheTrimmed,
}

impl Plant {
    /// Those of nodes, all found by the simulation.
    pub const ALL: [Self; 13] = [
        Self::AckBeforeCommit,
        Self::SkipFence,
        Self::MiddleOfChunk,
        Self::DropPublish,
        Self::IgnoreLostLease,
        Self::AckBeforePublish,
        Self::ForgetRepeatCheck,
        Self::ReadPastHead,
        Self::TrustHints,
        Self::LateRegistration,
        Self::UncountedLoss,
        Self::FromTheFuture,
        Self::TrustClock,
    ];

    /// Those also found by torture: between a real node and its store or registry.
    pub const REAL: [Self; 8] = [
        Self::AckBeforeCommit,
        Self::SkipFence,
        Self::MiddleOfChunk,
        Self::DropPublish,
        Self::IgnoreLostLease,
        Self::AckBeforePublish,
        Self::ForgetRepeatCheck,
        Self::ReadPastHead,
    ];

    /// Those of consumers of the change feed: between a consumer and its feed, table, log or sink.
    pub const EVENTS: [Self; 10] = [
        Self::TrustTheOrder,
        Self::WaitForHoles,
        Self::StartAtTheRecord,
        Self::PassTheParked,
        Self::GuardOnSeqAlone,
        Self::CheckpointTheHighest,
        Self::CheckpointBeforeTheEffect,
        Self::CheckpointApart,
        Self::DropOnError,
        Self::SkipTheTrimmed,
    ];

    /// Those of them also found by torture with events: the others need a feed out of order or trimmed, a restore, refused
    /// events, or luck.
    pub const REAL_EVENTS: [Self; 5] = [
        Self::TrustTheOrder,
        Self::WaitForHoles,
        Self::CheckpointTheHighest,
        Self::CheckpointBeforeTheEffect,
        Self::DropOnError,
    ];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::AckBeforeCommit => "ack-before-commit",
            Self::SkipFence => "skip-fence",
            Self::MiddleOfChunk => "middle-of-chunk",
            Self::DropPublish => "drop-publish",
            Self::IgnoreLostLease => "ignore-lost-lease",
            Self::AckBeforePublish => "ack-before-publish",
            Self::ForgetRepeatCheck => "forget-repeat-check",
            Self::ReadPastHead => "read-past-head",
            Self::TrustHints => "trust-hints",
            Self::LateRegistration => "late-registration",
            Self::UncountedLoss => "uncounted-loss",
            Self::FromTheFuture => "from-the-future",
            Self::TrustClock => "trust-clock",
            Self::TrustTheOrder => "trust-the-order",
            Self::WaitForHoles => "wait-for-holes",
            Self::StartAtTheRecord => "start-at-the-record",
            Self::PassTheParked => "pass-the-parked",
            Self::GuardOnSeqAlone => "guard-on-seq-alone",
            Self::CheckpointTheHighest => "checkpoint-the-highest",
            Self::CheckpointBeforeTheEffect => "checkpoint-before-the-effect",
            Self::CheckpointApart => "checkpoint-apart",
            Self::DropOnError => "drop-on-error",
            Self::SkipTheTrimmed => "skip-the-trimmed",
        }
    }

    /// The bug with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().chain(Self::EVENTS).find(|plant| plant.name() == name)
    }
}

static PLANTED: AtomicU8 = AtomicU8::new(0);

/// Plants a bug in this process, or removes it.
pub fn plant(plant: Option<Plant>) {
    PLANTED.store(plant.map_or(0, |plant| plant as u8), Ordering::Relaxed);
}

/// Whether this bug is planted.
pub fn is(plant: Plant) -> bool {
    PLANTED.load(Ordering::Relaxed) == plant as u8
}
