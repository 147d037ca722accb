use parlance_core::plant::{self, Plant};
use parlance_core::{Entry, PastForms, RoomId};
use parlance_store::{Store, StoreError};

use crate::limits::PAST_PAGE;

/// `entries` as they stood at `until`, the last seq that their reader may see. Reads the log
/// only where a message was changed after that: for members, in a race with a change.
pub(crate) async fn as_of(
    store: &dyn Store,
    room: &RoomId,
    until: u64,
    entries: Vec<Entry>,
) -> Result<Vec<Entry>, StoreError> {
    let Some(mut past) = PastForms::of(&entries, until) else { return Ok(entries) };
    if plant::is(Plant::PresentForm) {
        return Ok(entries);
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
