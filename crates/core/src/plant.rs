//! Known bugs, planted to prove that the checkers find them.
//!
//! Only in builds with debug assertions, and only on request: `PARLANCE_PLANT=skip-fence`.
//! In a release build [`is`] is `false` and what hangs on it is not even compiled in.

use std::sync::atomic::{AtomicU8, Ordering};

/// A bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Plant {
    /// Senders are answered before the write.
    AckBeforeCommit = 1,
    /// A chunk is written whether or not another one is there.
    SkipFence,
    /// A room catches up to the middle of another node's chunk.
    MiddleOfChunk,
    /// Now and then other nodes are not told of a chunk, and nobody makes up for it.
    DropPublish,
    /// A node whose lease is gone does not register its users again.
    IgnoreLostLease,
    /// Senders are answered before other nodes are told.
    AckBeforePublish,
    /// A repeated request is carried out again.
    ForgetRepeatCheck,
    /// Readers get what lies past the head that they were authorised at.
    ReadPastHead,
    /// What other nodes publish is applied without comparing it with what is known of the log.
    TrustHints,
    /// A session that opens reads each page of rooms a second time by its size, not to its last
    /// row: rooms that were pushed off the page are forgotten.
    RereadPage,
    /// Creating a room ends with its caller, before the members are told.
    CreateInCaller,
    /// One room that cannot be read keeps its members from connecting.
    OneBadRoom,
    /// Former members read messages in their present form.
    PresentForm,
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

    /// Those that tests of a single node find; the others are found by the simulation.
    pub const SINGLE_NODE: [Self; 4] =
        [Self::RereadPage, Self::CreateInCaller, Self::OneBadRoom, Self::PresentForm];

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
            Self::RereadPage => "reread-page",
            Self::CreateInCaller => "create-in-caller",
            Self::OneBadRoom => "one-bad-room",
            Self::PresentForm => "present-form",
            Self::LateRegistration => "late-registration",
            Self::UncountedLoss => "uncounted-loss",
            Self::FromTheFuture => "from-the-future",
            Self::TrustClock => "trust-clock",
        }
    }

    /// The plant of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().chain(Self::SINGLE_NODE).find(|plant| plant.name() == name)
    }
}

static PLANTED: AtomicU8 = AtomicU8::new(0);

/// Plants a bug in this process, or takes it out. Does nothing in a release build.
pub fn plant(plant: Option<Plant>) {
    PLANTED.store(plant.map_or(0, |plant| plant as u8), Ordering::Relaxed);
}

/// Whether this bug is planted.
#[inline]
pub fn is(plant: Plant) -> bool {
    cfg!(debug_assertions) && PLANTED.load(Ordering::Relaxed) == plant as u8
}
