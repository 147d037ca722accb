//! The time for which the feed, or a part of it, cannot be read: what it would say is unknown, so it counts as lag.

use parlance_core::Timestamp;
use parlance_store::StoreError;
use parlance_store::feed::UnreadPart;

use crate::limits::UNREAD_AFTER;

/// Since when the feed, or a part of it, cannot be read, and why.
#[derive(Debug, Default)]
pub(super) struct Unread {
    part: Option<(Timestamp, String)>,
    last: Last,
    /// Whether that it lasts was logged.
    is_logged: bool,
}

/// The last read of the feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Last {
    /// Nothing failed.
    #[default]
    Whole,
    /// It gave something, but a part of the feed could not be read.
    Part,
    /// It gave nothing, and a part of the feed could not be read.
    EmptyPart,
    /// It failed.
    Failed,
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
        self.last = Last::Failed;
    }

    /// It was read, except for `part`. `is_empty`: it gave nothing.
    pub(super) fn read(&mut self, part: Option<UnreadPart>, is_empty: bool) {
        self.last = match (part.is_some(), is_empty) {
            (false, _) => Last::Whole,
            (true, false) => Last::Part,
            (true, true) => Last::EmptyPart,
        };
        self.part =
            part.map(|part| (part.since, format!("cannot read a part of the feed: {}", part.because)));
    }

    /// The last read.
    pub(super) fn last(&self) -> Last {
        self.last
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
