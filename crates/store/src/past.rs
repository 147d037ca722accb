//! Messages in their form at an earlier seq.

use parlance_core::limits::MAX_PAGE_SIZE;
use parlance_core::{Body, Entry, Event, PastForms, RoomId};

use crate::error::StoreError;
use crate::limits::{MAX_PAST_EVENTS, PAST_PAGE, PAST_PAGE_BYTES};
use crate::store::Store;
pub use crate::until::Until;

/// What was read of the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogRead {
    /// The number of events.
    pub events: usize,
    /// Their texts and data.
    pub bytes: usize,
}

impl LogRead {
    /// As many as pages of a list with these events.
    pub fn pages(self) -> usize {
        (self.events / MAX_PAGE_SIZE).max(self.bytes / PAST_PAGE_BYTES)
    }

    /// Counts an event.
    pub fn add(&mut self, event: &Event) {
        self.events += 1;
        self.bytes += content_bytes(event);
    }
}

/// Bytes of the texts and data of an event that may be large.
pub(crate) fn content_bytes(event: &Event) -> usize {
    match &event.body {
        Body::Message(message) => message.text.as_str().len() + message.data.bytes(),
        Body::MessageEdited { text, data, .. } => {
            text.as_str().len() + data.as_ref().map_or(0, parlance_core::Data::bytes)
        }
        _ => 0,
    }
}

/// Whether one of `entries` was changed after `until`: then [`as_of`] reads the log.
pub fn is_changed(entries: &[Entry], until: Until) -> bool {
    PastForms::of(entries, until.seq()).is_some()
}

/// `entries` as of `until`. Reads the log only if a message was changed after that: for members, in a race with a
/// change. It is read once for all of them: call it for a whole page.
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
    as_of_within(store, room, until, entries, MAX_PAST_EVENTS, &mut LogRead::default()).await
}

/// Like [`as_of`], adding what is read to `read`.
///
/// # Errors
/// Those of [`as_of`].
pub async fn as_of_counted(
    store: &dyn Store,
    room: &RoomId,
    until: Until,
    entries: Vec<Entry>,
    read: &mut LogRead,
) -> Result<Vec<Entry>, StoreError> {
    as_of_within(store, room, until, entries, MAX_PAST_EVENTS, read).await
}

/// Like [`as_of_counted`], folding at most `max_events`.
///
/// # Errors
/// Those of [`as_of`].
pub async fn as_of_within(
    store: &dyn Store,
    room: &RoomId,
    until: Until,
    entries: Vec<Entry>,
    max_events: u64,
    read: &mut LogRead,
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
            for event in chunks.iter().flat_map(parlance_core::Chunk::events) {
                read.add(event);
                past.fold(event);
            }
        }
    }
    Ok(past.put(entries))
}
