//! A walk over all rooms: for a consumer that starts with the first event, or whose position is no longer in the
//! feed. Every room with undelivered events becomes pending.

use std::collections::BTreeMap;

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, stream};
use parlance_core::RoomId;
use parlance_store::StoreError;
use parlance_store::consumers::{Announced, ConsumerState, ConsumerWrite, RoomProgress, Walk};

use super::Shared;
use crate::limits::{ROOMS_AT_ONCE, WALK_PAGE};

impl Shared {
    /// Makes one step of a walk, if it is not done. Returns whether all rooms of the step were read.
    ///
    /// If one cannot be read, the step ends before it; with `goes_past`, the room becomes pending, and is read later.
    pub(crate) async fn walk_on(
        &self,
        state: &mut ConsumerState,
        goes_past: bool,
    ) -> Result<bool, StoreError> {
        let Some(walk) = state.walk.clone() else { return Ok(true) };
        let rooms = self.parts.feed.walk_rooms(walk.after.as_ref(), WALK_PAGE).await?;
        let rows = self.parts.table.progress(&self.options.name, &rooms).await?;
        let mut rows: BTreeMap<RoomId, RoomProgress> = rows.into_iter().collect();
        let (mut pending, mut reached, mut failed, mut all_read) = (Vec::new(), None, None, true);
        let met = Announced { first: None, at: state.created_at };
        let walked: Vec<BoxFuture<'_, _>> = rooms
            .iter()
            .map(|room| {
                let row = unstarted(rows.remove(room), met);
                async move { (room, self.walked(room, row.clone()).await, row) }.boxed()
            })
            .collect();
        let mut walked = stream::iter(walked).buffered(ROOMS_AT_ONCE);
        while let Some((room, walked, row)) = walked.next().await {
            match walked {
                Ok(row) => pending.extend(row.map(|row| (room.clone(), row))),
                Err(error) if goes_past => {
                    let name = &self.options.name;
                    tracing::warn!(consumer = %name, %room, %error, "cannot read a room, walking on");
                    pending.push((room.clone(), RoomProgress { pending: true, ..row }));
                    all_read = false;
                }
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
        failed.map_or(Ok(all_read), Err)
    }

    /// The new row of a walked room, if it changes.
    async fn walked(&self, room: &RoomId, row: RoomProgress) -> Result<Option<RoomProgress>, StoreError> {
        let started = async {
            let Some(head) = self.parts.log.room(room).await? else { return Ok(None) };
            Ok(Some((self.started(room, &head, row.clone()).await?, head)))
        };
        match started.await {
            Ok(None) => Ok(None),
            Ok(Some((started, head))) => {
                let is_done = started.done.epoch == head.epoch && started.done.seq >= head.head;
                // A room that was announced and not read has a row without a place to start.
                let is_due = if row.pending { row.announced.is_some() } else { !is_done };
                Ok(is_due.then_some(RoomProgress { pending: true, ..started }))
            }
            // Parked when it is processed.
            Err(StoreError::Damaged(_)) => Ok(Some(RoomProgress { pending: true, ..row })),
            Err(error) => Err(error),
        }
    }
}

/// The row of a room, or what stands for it. What a record has announced may be of a history that was replaced since:
/// then only the time counts.
fn unstarted(row: Option<RoomProgress>, met: Announced) -> RoomProgress {
    match row {
        None => RoomProgress::unread(met),
        Some(row) if row.announced.is_some() => RoomProgress { announced: Some(met), ..row },
        Some(row) => row,
    }
}
