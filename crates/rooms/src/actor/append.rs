//! Appends decided events, then delivers and publishes them.
use parlance_core::{Append, Room};
use parlance_hub::Terms;
use parlance_store::AppendError;
use tokio::time::Instant;

use super::Actor;
use crate::limits::MAX_RACES;

impl Actor {
    /// Appends, resolving an unknown outcome, and delivers.
    pub(super) async fn append(&mut self, append: Append, after: Room) -> Result<(), AppendError> {
        let store = &self.shared.store;
        // The room is unusable until the outcome is known.
        let before = self.room.take();
        self.last_append = Some(Instant::now());
        let mut result = store.append(&self.id, append.clone()).await;
        let mut unanswered = false;
        for _ in 0..MAX_RACES {
            if result != Err(AppendError::Unknown) {
                break;
            }
            unanswered = true;
            result = match store.chunk(&self.id, append.chunk.first_seq()).await {
                Ok(Some(chunk)) if chunk.nonce() == append.chunk.nonce() => Ok(()),
                Ok(Some(_)) => Err(AppendError::HeadMoved),
                Ok(None) => store.append(&self.id, append.clone()).await,
                Err(error) => Err(error.into()),
            };
        }
        match result {
            Ok(()) => {
                self.shared.hub.deliver(&self.id, Terms::from(after.info()), &append.chunk);
                self.shared.cluster.committed(&self.id, &append.chunk);
                if !self.perhaps_unannounced.is_empty() {
                    let users = std::mem::take(&mut self.perhaps_unannounced);
                    self.shared.cluster.may_be_unannounced(&self.id, users);
                }
                // Before the callers are answered: a sender without an answer retries.
                self.shared.cluster.publish(after.info(), &append.chunk).await;
                self.room = Some(after);
                Ok(())
            }
            Err(AppendError::HeadMoved) => {
                self.room = before;
                Err(AppendError::HeadMoved)
            }
            Err(error) => {
                if unanswered {
                    // It may have been written without being announced.
                    self.shared.find_out(&self.id, &append.chunk);
                }
                Err(error)
            }
        }
    }
}
