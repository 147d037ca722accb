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
    /// Signalled when a commit could not be published.
    pub(crate) unpublished: Notify,
    /// Rooms and users still to be compared with the store in this round.
    pub(crate) left: AtomicUsize,
    pub(crate) uncompared: Uncompared,
}

#[derive(Default)]
pub(crate) struct MissedState {
    /// Counts events that may have lost hints.
    pub(crate) asked: u64,
    /// The time of the last one.
    pub(crate) asked_at: Option<Instant>,
    /// The count covered by the last complete round.
    pub(crate) done: u64,
    /// A lost node may still be writing: look again until then.
    pub(crate) again_until: Option<Instant>,
    /// Since when publishing has failed, until everything is published or others are notified.
    pub(crate) unpublished_since: Option<Instant>,
    /// The last round was cut short: the next one must not be.
    pub(crate) cut_short: bool,
}
