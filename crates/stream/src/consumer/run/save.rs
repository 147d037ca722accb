//! Saves the progress of a consumer.

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, stream};
use parlance_core::RoomId;
use parlance_store::StoreError;
use parlance_store::consumers::{ConsumerWrite, RoomProgress};

use super::super::Shared;
use super::Runner;
use crate::limits::{LOADED_ROOMS, ROOMS_AT_ONCE};
use crate::tracker::Origin;

impl Shared {
    async fn load(&self, room: &RoomId, origin: Origin) -> Result<RoomProgress, StoreError> {
        if let Some(row) = self.row(room).await? {
            return Ok(row);
        }
        let unread = RoomProgress::unread(origin.announced());
        let started = async {
            match self.parts.log.room(room).await? {
                Some(head) => self.started(room, &head, unread.clone()).await,
                None => Ok(RoomProgress::default()),
            }
        };
        // A room that cannot be read is retried, or parked, when it is processed. Nothing waits for it.
        Ok(started.await.unwrap_or_else(|error| {
            tracing::debug!(consumer = %self.options.name, %room, %error, "cannot read where to start in a room");
            unread
        }))
    }
}

impl Runner {
    /// Reads the progress of rooms to be saved as pending, several at a time.
    pub(super) async fn load(&mut self) {
        let mut unknown = self.tracker.to_load(self.now());
        unknown.truncate(LOADED_ROOMS);
        let shared = self.shared.clone();
        let loads: Vec<BoxFuture<'static, _>> = unknown
            .into_iter()
            .map(|(room, origin)| {
                let shared = shared.clone();
                async move {
                    let loaded = shared.load(&room, origin).await;
                    (room, loaded)
                }
                .boxed()
            })
            .collect();
        let mut loads = stream::iter(loads).buffer_unordered(ROOMS_AT_ONCE);
        while let Some((room, loaded)) = loads.next().await {
            match loaded {
                Ok(row) => self.tracker.loaded(&room, row),
                // It holds the checkpoint, and is read again at the next tick.
                Err(error) => {
                    let name = &self.shared.options.name;
                    tracing::warn!(consumer = %name, %room, %error, "cannot read a room's progress, retrying");
                }
            }
        }
    }

    /// Writes the progress. A failed write is repeated later: until then events may be delivered again
    /// after a restart.
    pub(super) async fn save(&mut self) -> Result<(), StoreError> {
        let now = self.now();
        match self.tracker.flush(now) {
            Some(flush) => {
                // The position is only valid together with these rows.
                let before = std::mem::replace(&mut self.state.position, flush.position.clone());
                let written = self.write(flush.rows.clone()).await;
                match written {
                    Ok(()) => self.tracker.flushed(&flush),
                    Err(_) => self.state.position = before,
                }
                written
            }
            // Retried on the next tick.
            None if self.state != self.written => self.write(Vec::new()).await,
            None => Ok(()),
        }
    }

    pub(super) async fn write(&mut self, rooms: Vec<(RoomId, RoomProgress)>) -> Result<(), StoreError> {
        // Known after a restart as well, also of rooms that are not read before the consumer is resumed.
        // At the beginning of a walk, that is all that is known.
        let walks = self.state.walk.is_some().then(|| self.shared.parts.clock.now());
        self.state.behind_since = self.tracker.oldest().or(walks);
        let name = &self.shared.options.name;
        let write = ConsumerWrite { state: Some(self.state.clone()), rooms, fence: None };
        match self.shared.parts.table.write_consumer(name, write).await {
            Ok(()) => {
                self.written = self.state.clone();
                Ok(())
            }
            Err(error) => {
                tracing::warn!(consumer = %name, %error, "cannot write the consumer's progress, retrying");
                Err(error)
            }
        }
    }
}
