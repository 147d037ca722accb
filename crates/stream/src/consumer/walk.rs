//! A walk over all rooms: for a consumer that starts with the first event, or whose position is no longer in the
//! feed. Every room with undelivered events becomes pending.

use std::collections::BTreeMap;

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, stream};
use parlance_core::{RoomId, Timestamp};
use parlance_store::StoreError;
use parlance_store::consumers::{ConsumerState, ConsumerWrite, EventKey, RoomProgress, Walk};

use super::Shared;
use crate::cold::start_of_walked;
use crate::limits::{ROOMS_AT_ONCE, WALK_PAGE};

impl Shared {
    /// Makes one step of a walk, if it is not done. If a room cannot be read, the rooms before it are kept.
    pub(crate) async fn walk_on(&self, state: &mut ConsumerState) -> Result<(), StoreError> {
        let Some(walk) = state.walk.clone() else { return Ok(()) };
        let rooms = self.parts.feed.walk_rooms(walk.after.as_ref(), WALK_PAGE).await?;
        let rows = self.parts.table.progress(&self.options.name, &rooms).await?;
        let mut rows: BTreeMap<RoomId, RoomProgress> = rows.into_iter().collect();
        let (mut pending, mut reached, mut failed) = (Vec::new(), None, None);
        let created_at = state.created_at;
        let walked: Vec<BoxFuture<'_, _>> = rooms
            .iter()
            .map(|room| {
                let row = rows.remove(room);
                async move { (room, self.walked(room, row, created_at).await) }.boxed()
            })
            .collect();
        let mut walked = stream::iter(walked).buffered(ROOMS_AT_ONCE);
        while let Some((room, row)) = walked.next().await {
            match row {
                Ok(row) => pending.extend(row.map(|row| (room.clone(), row))),
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
            reached = Some(room);
        }
        if let (None, Some(error)) = (reached, &failed) {
            return Err(error.clone());
        }
        drop(walked);
        let mut next = state.clone();
        next.walk = reached.map(|room| Walk { after: Some(room.clone()) });
        let write = ConsumerWrite { state: Some(next.clone()), rooms: pending, fence: None };
        self.parts.table.write_consumer(&self.options.name, write).await?;
        *state = next;
        failed.map_or(Ok(()), Err)
    }

    /// The new row of a walked room, if it changes.
    async fn walked(
        &self,
        room: &RoomId,
        row: Option<RoomProgress>,
        created_at: Timestamp,
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
            None => match start_of_walked(self.parts.log.as_ref(), room, head.head, created_at).await {
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
