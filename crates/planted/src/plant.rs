use std::sync::atomic::{AtomicU8, Ordering};

/// The variable that names the bug for `parlance-planted`.
pub const VARIABLE: &str = "PARLANCE_PLANT";

/// A bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Plant {
    /// The store answers an append before it writes.
    AckBeforeCommit = 1,
    /// An append that another node was faster than counts as written.
    SkipFence,
    /// A room catches up to the middle of another node's chunk.
    MiddleOfChunk,
    /// Now and then a publish is dropped and reported as done.
    DropPublish,
    /// A node that has lost its place in the registry does not register its users again.
    IgnoreLostLease,
    /// A publish is reported as done before it is.
    AckBeforePublish,
    /// Requests that are read from the log are not recognised when they are repeated.
    ForgetRepeatCheck,
    /// Former members, and members of before they joined, read everything.
    ReadPastHead,
    /// Another fleet publishes chunks that seem to continue the log.
    TrustHints,
    /// A registration that its caller did not wait for is not reported when it lands.
    LateRegistration,
    /// Numbers of envelopes that do not arrive are ignored.
    UncountedLoss,
    /// What a later version has added to an event is taken for damage, or dropped.
    FromTheFuture,
    /// The clock of a node is believed, however wrong it is.
    TrustClock,
}

impl Plant {
    /// All that the simulation finds.
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

    /// Those that torture finds too: between a real node and its store or registry.
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
        }
    }

    /// The bug of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|plant| plant.name() == name)
    }
}

static PLANTED: AtomicU8 = AtomicU8::new(0);

/// Plants a bug in this process, or takes it out.
pub fn plant(plant: Option<Plant>) {
    PLANTED.store(plant.map_or(0, |plant| plant as u8), Ordering::Relaxed);
}

/// Whether this bug is planted.
pub fn is(plant: Plant) -> bool {
    PLANTED.load(Ordering::Relaxed) == plant as u8
}
