//! Where to start in a room of which nothing is kept.

use std::time::Duration;

use parlance_core::{RoomId, Timestamp};
use parlance_store::StoreError;
use parlance_store::consumers::{EventKey, RoomProgress};

use super::Shared;
use crate::log::RoomHead;
use crate::plant::{self, Plant};
use crate::tracker::Origin;

/// Events that are read at once to find a moment in the past.
const PAGE: usize = 256;

/// By how much the clocks of nodes and of a consumer may differ where a moment is all there is.
const CLOCK_MARGIN: Duration = Duration::from_secs(600);

impl Shared {
    /// How far the consumer is in `room`: by its row, or where it starts.
    pub(crate) async fn progress(
        &self,
        room: &RoomId,
        head: &RoomHead,
        origin: Origin,
    ) -> Result<RoomProgress, StoreError> {
        let rooms = std::slice::from_ref(room);
        if let Some((_, row)) = self.parts.table.progress(&self.options.name, rooms).await?.pop() {
            return Ok(row);
        }
        let done = EventKey { epoch: head.epoch, seq: self.start_of(room, origin).await? };
        Ok(RoomProgress { done, ..RoomProgress::default() })
    }

    /// The event before the first one to hand on. Where the feed is in order that is the first one that it
    /// named; elsewhere others may come that were committed before.
    async fn start_of(&self, room: &RoomId, origin: Origin) -> Result<u64, StoreError> {
        let disorder = self.parts.feed.disorder();
        let named = origin.first.saturating_sub(1);
        if disorder.is_zero() || plant::is(Plant::StartAtTheRecord) {
            return Ok(named);
        }
        let since = Timestamp(origin.at.0.saturating_sub(millis(disorder)));
        self.last_before(room, named, since).await
    }

    /// The last event of a room before the consumer was there, for one that meets the room in a walk.
    pub(crate) async fn start_of_walked(
        &self,
        room: &RoomId,
        head: u64,
        created_at: Timestamp,
    ) -> Result<u64, StoreError> {
        if created_at == Timestamp(0) {
            return Ok(0);
        }
        let since = Timestamp(created_at.0.saturating_sub(millis(CLOCK_MARGIN)));
        self.last_before(room, head, since).await
    }

    /// The last event up to `seq` that was decided before `since`; 0 if there is none.
    async fn last_before(&self, room: &RoomId, seq: u64, since: Timestamp) -> Result<u64, StoreError> {
        let mut end = seq.saturating_add(1);
        while end > 1 {
            let events = self.parts.log.before(room, end, PAGE).await?;
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
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
