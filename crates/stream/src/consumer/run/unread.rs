//! The time for which the feed, or a part of it, cannot be read: what it would say is unknown, so it counts as lag.

use parlance_core::Timestamp;
use parlance_store::StoreError;
use parlance_store::feed::UnreadPart;

use crate::limits::UNREAD_AFTER;

/// Since when the feed, or a part of it, cannot be read, and why.
#[derive(Debug, Default)]
pub(super) struct Unread {
    part: Option<(Timestamp, String)>,
    /// Whether the last read gave nothing, and failed at least in part.
    is_vain: bool,
    /// Whether that it lasts was logged.
    is_logged: bool,
}

/// Something to log.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum News {
    /// It cannot be read for more than a moment.
    Lasts,
    /// It can be read again.
    Over,
}

impl Unread {
    /// Reading it has failed.
    pub(super) fn failed(&mut self, error: &StoreError, now: Timestamp) {
        let since = self.part.as_ref().map_or(now, |(since, _)| *since);
        self.part = Some((since, format!("cannot read the feed: {error}")));
        self.is_vain = true;
    }

    /// It was read, except for `part`. `is_empty`: it gave nothing.
    pub(super) fn read(&mut self, part: Option<UnreadPart>, is_empty: bool) {
        self.is_vain = is_empty && part.is_some();
        self.part =
            part.map(|part| (part.since, format!("cannot read a part of the feed: {}", part.because)));
    }

    /// Whether something could not be read last.
    pub(super) fn is_failing(&self) -> bool {
        self.part.is_some()
    }

    /// Whether to pause before the next read.
    pub(super) fn is_vain(&self) -> bool {
        self.is_vain
    }

    /// What is to be logged, once.
    pub(super) fn news(&mut self, now: Timestamp) -> Option<News> {
        let lasts = self.lasting(now).is_some();
        match (std::mem::replace(&mut self.is_logged, lasts), lasts) {
            (false, true) => Some(News::Lasts),
            (true, false) => Some(News::Over),
            _ => None,
        }
    }

    /// Since when and why it cannot be read, if that lasts.
    pub(super) fn lasting(&self, now: Timestamp) -> Option<(Timestamp, &str)> {
        let (since, why) = self.part.as_ref()?;
        let lasts = u128::from(now.since(*since)) >= UNREAD_AFTER.as_millis();
        lasts.then_some((*since, why.as_str()))
    }
}
