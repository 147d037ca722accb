//! The time for which the feed cannot be read: what it would say is unknown, so it counts as lag.

use parlance_core::Timestamp;
use parlance_store::StoreError;

use crate::limits::UNREAD_AFTER;

/// Since when the feed cannot be read, and why.
#[derive(Debug, Default)]
pub(super) struct Unread(Option<(Timestamp, String)>);

impl Unread {
    /// Reading it has failed.
    pub(super) fn failed(&mut self, error: &StoreError, now: Timestamp) {
        let since = self.0.as_ref().map_or(now, |(since, _)| *since);
        self.0 = Some((since, format!("cannot read the feed: {error}")));
    }

    /// It was read.
    pub(super) fn read(&mut self) {
        self.0 = None;
    }

    /// Whether reading it failed last.
    pub(super) fn is_failing(&self) -> bool {
        self.0.is_some()
    }

    /// Since when and why it cannot be read, if that lasts.
    pub(super) fn lasting(&self, now: Timestamp) -> Option<(Timestamp, &str)> {
        let (since, why) = self.0.as_ref()?;
        let lasts = u128::from(now.since(*since)) >= UNREAD_AFTER.as_millis();
        lasts.then_some((*since, why.as_str()))
    }
}
