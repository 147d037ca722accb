//! A walk over all rooms: for a consumer that starts with the first event, or whose position is no longer in the
//! feed. Every room with undelivered events becomes pending.

use std::collections::BTreeMap;

use parlance_core::RoomId;
use parlance_store::StoreError;
use parlance_store::consumers::{ConsumerState, ConsumerWrite, EventKey, RoomProgress, Walk};

use super::Shared;
use crate::cold::start_of_walked;

/// Rooms per step, which is one write.
const PAGE: usize = 500;

impl Shared {
    /// Continues a walk until it is done. Completed steps are kept.
    pub(crate) async fn walk(&self, state: &mut ConsumerState) -> Result<(), StoreError> {
        while let Some(walk) = state.walk.clone() {
            let rooms = self.parts.feed.walk_rooms(walk.after.as_ref(), PAGE).await?;
            let rows = self.parts.table.progress(&self.options.name, &rooms).await?;
            let mut rows: BTreeMap<RoomId, RoomProgress> = rows.into_iter().collect();
            let mut pending = Vec::new();
            for room in &rooms {
                let row = rows.remove(room);
                if let Some(row) = self.walked(room, row, state).await? {
                    pending.push((room.clone(), row));
                }
            }
            let mut next = state.clone();
            next.walk = rooms.last().map(|room| Walk { after: Some(room.clone()) });
            let write = ConsumerWrite { state: Some(next.clone()), rooms: pending, fence: None };
            self.parts.table.write_consumer(&self.options.name, write).await?;
            *state = next;
        }
        Ok(())
    }

    /// The new row of a walked room, if it changes.
    async fn walked(
        &self,
        room: &RoomId,
        row: Option<RoomProgress>,
        state: &ConsumerState,
    ) -> Result<Option<RoomProgress>, StoreError> {
        let head = match self.parts.log.room(room).await {
            Ok(Some(head)) => head,
            Ok(None) => return Ok(None),
            // Parked when it is processed.
            Err(StoreError::Damaged(_)) => {
                return Ok(Some(RoomProgress { pending: true, ..row.unwrap_or_default() }));
            }
            Err(error) => return Err(error),
        };
        let row = match row {
            Some(row) => row,
            None => match start_of_walked(self.parts.log.as_ref(), room, head.head, state.created_at).await {
                Ok(seq) => {
                    RoomProgress { done: EventKey { epoch: head.epoch, seq }, ..RoomProgress::default() }
                }
                Err(StoreError::Damaged(_)) => RoomProgress::default(),
                Err(error) => return Err(error),
            },
        };
        let is_done = row.done.epoch == head.epoch && row.done.seq >= head.head;
        Ok((!is_done && !row.pending).then_some(RoomProgress { pending: true, ..row }))
    }
}
