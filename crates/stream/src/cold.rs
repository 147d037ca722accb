//! Where to start in a room without a stored position.

use std::time::Duration;

use parlance_core::{RoomId, Timestamp};
use parlance_store::StoreError;
use parlance_store::feed::ChangeFeed;

use crate::limits::{CLOCK_MARGIN, COLD_PAGE};
use crate::log::Log;

/// The event before the first one to deliver, in a room that the feed first mentioned with the events from `first`
/// on in a record with the time `at`. If the feed is ordered, no earlier commit can follow; otherwise it may.
pub(crate) async fn start_of(
    log: &dyn Log,
    feed: &dyn ChangeFeed,
    room: &RoomId,
    first: u64,
    at: Timestamp,
) -> Result<u64, StoreError> {
    let (disorder, named) = (feed.disorder(), first.saturating_sub(1));
    if disorder.is_zero() {
        return Ok(named);
    }
    let since = Timestamp(at.0.saturating_sub(millis(disorder)));
    last_before(log, room, named, since).await
}

/// The last event of a room from before the consumer existed, for rooms that the consumer first sees in a walk.
pub(crate) async fn start_of_walked(
    log: &dyn Log,
    room: &RoomId,
    head: u64,
    created_at: Timestamp,
) -> Result<u64, StoreError> {
    if created_at == Timestamp(0) {
        return Ok(0);
    }
    let since = Timestamp(created_at.0.saturating_sub(millis(CLOCK_MARGIN)));
    last_before(log, room, head, since).await
}

/// The last event up to `seq` that was decided before `since`; 0 if there is none.
async fn last_before(log: &dyn Log, room: &RoomId, seq: u64, since: Timestamp) -> Result<u64, StoreError> {
    let mut end = seq.saturating_add(1);
    while end > 1 {
        let events = log.before(room, end, COLD_PAGE).await?;
        if let Some(event) = events.iter().rev().find(|event| event.at < since) {
            return Ok(event.seq);
        }
        match events.first() {
            Some(first) if first.seq < end => end = first.seq,
            _ => break,
        }
    }
    Ok(0)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
