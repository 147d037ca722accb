//! Saves the progress of a consumer.

use parlance_core::RoomId;
use parlance_store::StoreError;
use parlance_store::consumers::{ConsumerWrite, RoomProgress};

use super::Runner;

impl Runner {
    /// Writes the progress. A failed write is repeated later: until then events may be delivered again
    /// after a restart.
    pub(super) async fn flush(&mut self) {
        let now = self.now();
        for (room, origin) in self.tracker.to_load(now) {
            let loaded = async {
                let Some(head) = self.shared.parts.log.room(&room).await? else {
                    return Ok(RoomProgress::default());
                };
                self.shared.progress(&room, &head, origin).await
            };
            match loaded.await {
                Ok(row) => self.tracker.loaded(&room, row),
                Err(StoreError::Damaged(_)) => self.tracker.loaded(&room, RoomProgress::default()),
                Err(error) => {
                    let name = &self.shared.options.name;
                    tracing::warn!(consumer = %name, %room, %error, "cannot read how far a room is, retrying");
                }
            }
        }
        match self.tracker.flush(now) {
            Some(flush) => {
                // The position is only valid together with these rows.
                let before = std::mem::replace(&mut self.state.position, flush.position.clone());
                match self.write(flush.rows.clone()).await {
                    Ok(()) => self.tracker.flushed(&flush),
                    Err(_) => self.state.position = before,
                }
            }
            None if self.state != self.written => {
                // Retried on the next tick.
                let _ = self.write(Vec::new()).await;
            }
            None => {}
        }
    }

    pub(super) async fn write(&mut self, rooms: Vec<(RoomId, RoomProgress)>) -> Result<(), StoreError> {
        let name = &self.shared.options.name;
        let write = ConsumerWrite { state: Some(self.state.clone()), rooms, fence: None };
        match self.shared.parts.table.write_consumer(name, write).await {
            Ok(()) => {
                self.written = self.state.clone();
                Ok(())
            }
            Err(error) => {
                tracing::warn!(consumer = %name, %error, "cannot write how far the consumer is, retrying");
                Err(error)
            }
        }
    }
}
