//! Reads of a part of the feed that fail.

use parlance_core::Timestamp;
use tokio::time::Instant;

use crate::StoreError;
use crate::dynamo::limits::READER_IDLE;
use crate::feed::UnreadPart;

/// Since when reads of a shard, or listings of the shards of a table, fail, and why.
#[derive(Debug, Default)]
pub(super) struct Failing(Option<(UnreadPart, Instant)>);

impl Failing {
    /// One has failed.
    pub(super) fn failed(&mut self, error: &StoreError, now: Timestamp) {
        // Nothing is known of a time in which nobody has tried.
        let before = self.0.take().filter(|(_, last)| last.elapsed() < READER_IDLE);
        let since = before.map_or(now, |(part, _)| part.since);
        self.0 = Some((UnreadPart { since, because: error.clone() }, Instant::now()));
    }

    /// One was answered.
    pub(super) fn answered(&mut self) {
        self.0 = None;
    }

    /// What cannot be read, if the last one failed.
    pub(super) fn unread(&self) -> Option<UnreadPart> {
        self.0.as_ref().map(|(part, _)| part.clone())
    }
}

/// Counts a read or a listing that has failed.
pub(super) fn count_failure(error: &StoreError) {
    metrics::counter!("parlance_feed_failed_shards_total").increment(1);
    tracing::debug!(%error, "a part of the change feed cannot be read now");
}

/// The one of both that cannot be read for longer.
pub(super) fn earlier(one: Option<UnreadPart>, other: Option<UnreadPart>) -> Option<UnreadPart> {
    [one, other].into_iter().flatten().min_by_key(|part| part.since)
}
