//! Appends whose outcome the store did not report.
use std::sync::Arc;

use parlance_core::RoomId;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::cluster::Cluster;
use crate::limits::{FIND_OUT_BACKOFF, FIND_OUT_FOR};

impl Cluster {
    /// Determines the outcome of an append that the store did not report; its sender may never retry. Reads the room
    /// until a chunk begins at `first_seq` or the append can no longer be applied, and delivers and announces what it
    /// finds. On `shutdown` it reads once more and ends.
    pub async fn find_out(self: Arc<Self>, room: RoomId, first_seq: u64, shutdown: CancellationToken) {
        let watch = self.unsettled.begin(&room);
        let begun = Instant::now();
        let (late_until, give_up) = (begun + self.store.late_append(), begun + FIND_OUT_FOR);
        let mut looks = 1;
        let mut pause = FIND_OUT_BACKOFF.first;
        let mut announced = None;
        let is_there = loop {
            let is_last = tokio::select! {
                biased;
                () = shutdown.cancelled() => {
                    sleep(FIND_OUT_BACKOFF.first).await;
                    true
                }
                () = sleep(pause) => false,
            };
            if !self.unsettled.is_current(&room, watch) {
                return;
            }
            let now = Instant::now();
            self.reads.take().await;
            let ends = match self.announce_stored(&room, announced).await {
                Ok(head) => {
                    announced = Some(head);
                    // The key of a chunk is written once: an existing chunk settles the outcome.
                    head >= first_seq || now >= late_until
                }
                Err(error) => {
                    tracing::warn!(%room, %error, "cannot determine the outcome of an append");
                    now >= give_up.max(late_until)
                }
            };
            if ends || is_last {
                break announced != Some(0);
            }
            looks += 1;
            pause = FIND_OUT_BACKOFF.delay(looks);
            if now < late_until {
                pause = pause.min(late_until - now);
            }
        };
        if !is_there {
            // It was never created: there is nothing to announce.
            self.written.remove(&room);
        }
        self.unsettled.end(&room, watch);
    }
}
