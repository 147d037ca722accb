//! Messages in their form at an earlier seq.

use parlance_core::{Entry, PastForms, RoomId};

use crate::error::StoreError;
use crate::limits::{MAX_PAST_EVENTS, PAST_PAGE};
use crate::store::Store;
pub use crate::until::Until;

/// `entries` as of `until`. Reads the log only if a message was changed after that: for members, in a race with a
/// change.
///
/// Messages too far back are withheld from former members: they are shown as deleted. Members have to retry, as of a
/// later head.
///
/// # Errors
/// Those of the store, and [`StoreError::Overloaded`] for a member who has to retry.
pub async fn as_of(
    store: &dyn Store,
    room: &RoomId,
    until: Until,
    entries: Vec<Entry>,
) -> Result<Vec<Entry>, StoreError> {
    as_of_within(store, room, until, entries, MAX_PAST_EVENTS).await
}

/// Like [`as_of`], folding at most `max_events`.
///
/// # Errors
/// Those of [`as_of`].
pub async fn as_of_within(
    store: &dyn Store,
    room: &RoomId,
    until: Until,
    entries: Vec<Entry>,
    max_events: u64,
) -> Result<Vec<Entry>, StoreError> {
    let Some(mut past) = PastForms::of(&entries, until.seq()) else { return Ok(entries) };
    let earliest = (until.seq() + 1).saturating_sub(max_events);
    if past.needed().is_some_and(|needed| needed.from < earliest) {
        if let Until::Head(_) = until {
            return Err(StoreError::Overloaded);
        }
        metrics::counter!("parlance_past_forms_withheld_total").increment(1);
        past.withhold_before(earliest);
    }
    if let Some(needed) = past.needed() {
        let mut at = needed.from;
        while at <= needed.to {
            let chunks = store.chunks_after(room, at - 1, PAST_PAGE).await?;
            let Some(last) = chunks.last() else { break };
            at = last.head().seq() + 1;
            chunks.iter().flat_map(parlance_core::Chunk::events).for_each(|event| past.fold(event));
        }
    }
    Ok(past.put(entries))
}
