use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::uncompared::Uncompared;

/// What has to be looked for.
#[derive(Default)]
pub(crate) struct Missed {
    pub(crate) state: Mutex<MissedState>,
    pub(crate) wake: Notify,
    /// Something was committed that others could not be told.
    pub(crate) unpublished: Notify,
    /// Rooms and users still to be compared with the store in this round.
    pub(crate) left: AtomicUsize,
    pub(crate) uncompared: Uncompared,
}

#[derive(Default)]
pub(crate) struct MissedState {
    /// Counts what may have made hints go missing.
    pub(crate) asked: u64,
    /// When it last did.
    pub(crate) asked_at: Option<Instant>,
    /// The count up to which a whole round has been made since.
    pub(crate) done: u64,
    /// A node that was lost may still be writing: look again until then.
    pub(crate) again_until: Option<Instant>,
    /// Since when publishing has failed, until everything is published or others are informed.
    pub(crate) unpublished_since: Option<Instant>,
    /// The last round was cut short: the next one is not.
    pub(crate) cut_short: bool,
}
