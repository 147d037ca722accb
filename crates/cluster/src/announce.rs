//! Announcing to other nodes what could not be published when it was written.
use std::collections::BTreeSet;

use futures::{StreamExt, stream};
use parlance_core::RoomId;
use parlance_hub::Terms;
use parlance_store::StoreError;
use tokio::time::{Instant, sleep, timeout};

use crate::cluster::Cluster;
use crate::limits::{COMPARED_WITHIN, LAST_WORDS_WITHIN, RECOVERY_AGAIN, REPORT_UNPUBLISHED};
use crate::written::Written;

impl Cluster {
    /// Records a commit that could not be published.
    pub(crate) fn announce_again(&self) {
        let mut missed = self.missed();
        missed.unpublished_since.get_or_insert_with(Instant::now);
        drop(missed);
        self.missed.unpublished.notify_one();
    }

    /// Announces unpublished rooms, soon and repeatedly. Separate from recovery, in which comparing everything with
    /// the store may take minutes.
    pub(crate) async fn announce_pending(&self) {
        loop {
            self.missed.unpublished.notified().await;
            // Once the registry is back, a recovery round announces everything.
            if !self.is_away() {
                self.announce_written(|written| written.unannounced.is_some()).await;
                self.report_unpublished();
            }
            sleep(RECOVERY_AGAIN).await;
        }
    }

    /// Makes other nodes recover if publishing fails for a while although the registry is reachable.
    pub(crate) fn report_unpublished(&self) {
        if !self.written.iter().any(|written| written.is_pending()) {
            self.missed().unpublished_since = None;
            return;
        }
        let mut missed = self.missed();
        if missed.unpublished_since.is_some_and(|since| since.elapsed() >= REPORT_UNPUBLISHED) {
            missed.unpublished_since = Some(Instant::now());
            drop(missed);
            tracing::warn!("publishing keeps failing, notifying other nodes to read the store");
            self.registry.report_unpublished();
        }
    }

    /// Announces the heads of rooms that were written here.
    pub(crate) async fn announce_written(&self, which: impl Fn(&Written) -> bool) {
        let written = self.written.iter().filter(|entry| which(entry.value()));
        let mut rooms: Vec<RoomId> = written.map(|entry| entry.key().clone()).collect();
        rooms.sort();
        stream::iter(rooms)
            // Only a few run at a time: a hanging one does not delay others.
            .for_each_concurrent(
                self.sizes.recovery_concurrency + self.sizes.stalled_hints,
                |room| async move {
                    self.reads.take().await;
                    if let Err(error) = self.announcing.run(self.announce_stored(&room, None)).await {
                        tracing::warn!(%error, "cannot announce a room, retrying");
                        self.note_written(&room, |written| written.not_announced(0, BTreeSet::new()));
                        self.announce_again();
                    }
                },
            )
            .await;
    }

    /// Delivers the end of a room as stored, and announces it unless it was `announced` before. Returns the head; 0
    /// if there is no room. A hanging room does not delay others.
    pub(crate) async fn announce_stored(
        &self,
        room: &RoomId,
        announced: Option<u64>,
    ) -> Result<u64, StoreError> {
        let announcing = timeout(COMPARED_WITHIN, self.announce_end(room, announced));
        announcing.await.unwrap_or_else(|_| Err(StoreError::Unreachable("a room to announce".to_owned())))
    }

    async fn announce_end(&self, room: &RoomId, announced: Option<u64>) -> Result<u64, StoreError> {
        let Some(stored) = self.store.room(room).await? else { return Ok(0) };
        let head = stored.head();
        // For sessions here, which may have missed it too.
        self.hub.deliver(room, Terms::from(&stored.info), &stored.tail);
        if announced != Some(head.seq()) {
            let users = stored.tail.concerned().cloned().collect();
            self.announce(room, head, users).await;
        }
        Ok(head.seq())
    }

    /// On shutdown, publishes what could not be published so far, or makes other nodes look for it.
    pub async fn announce_remaining(&self) {
        if !self.written.iter().any(|written| written.unannounced.is_some()) {
            return;
        }
        let announced = self.announce_written(|written| written.unannounced.is_some());
        let in_time = timeout(LAST_WORDS_WITHIN, announced).await.is_ok();
        if !in_time || self.written.iter().any(|written| written.unannounced.is_some()) {
            tracing::warn!("some commits could not be published, notifying other nodes to read the store");
            self.registry.report_unpublished();
        }
    }
}
