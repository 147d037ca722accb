//! Finding missed hints: one procedure for every registry failure.
//!
//! After a failure, and repeatedly while it lasts, the rooms and users of this node are compared with the store, most
//! recently active rooms first and those with deliveries since last, at a limited rate. One that cannot be compared is
//! retried on its own.
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use futures::stream::FuturesUnordered;
use futures::{StreamExt, stream};
use parlance_core::{RoomId, UserId};
use parlance_hub::Feed;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::cluster::Cluster;
use crate::limits::{COMPARED_WITHIN, RECOVERY_AGAIN};
use crate::missed::MissedState;
use crate::uncompared::Target;

/// The progress of recovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovery {
    /// Nothing published recently may be missing here, in any room.
    pub settled: bool,
    /// Rooms and users still to be compared with the store, including failed ones.
    pub left: usize,
}

impl Cluster {
    /// Hints may have been lost until now, and for `again` may still be.
    pub(crate) fn look_for_missed(&self, cause: &'static str, again: Option<Duration>) {
        metrics::counter!("parlance_recoveries_total", "cause" => cause).increment(1);
        self.blocks.forget_all();
        let mut missed = self.missed();
        missed.asked += 1;
        missed.asked_at = Some(Instant::now());
        if let Some(again) = again {
            missed.again_until = Some(Instant::now() + again);
        }
        drop(missed);
        self.missed.wake.notify_one();
    }

    /// The progress of this node's recovery.
    pub fn recovery(&self) -> Recovery {
        let missed = self.missed();
        let failed = self.missed.uncompared.len();
        let settled = missed.asked == missed.done && !self.is_away() && failed == 0;
        Recovery { settled, left: self.missed.left.load(Ordering::Relaxed) + failed }
    }

    /// Recovers whenever hints may have been lost.
    pub async fn recover(self: Arc<Self>, shutdown: CancellationToken) {
        let rounds = async {
            loop {
                self.wait_for_trouble().await;
                let asked = self.missed().asked;
                let complete = self.round(asked).await;
                let mut missed = self.missed();
                missed.cut_short = !complete && !missed.cut_short;
                if complete && !self.is_away() {
                    missed.done = asked;
                }
            }
        };
        tokio::select! {
            biased;
            () = shutdown.cancelled() => {}
            () = rounds => {}
            () = self.retry_uncompared() => {}
            () = self.announce_pending() => {}
        }
    }

    /// Retries failed comparisons, each on its own: a hanging one does not delay others.
    async fn retry_uncompared(&self) {
        let mut running = FuturesUnordered::new();
        loop {
            tokio::select! {
                biased;
                Some(_) = running.next() => {}
                due = self.missed.uncompared.due() => {
                    running.extend(due.into_iter().map(|target| self.compare_one(target)));
                }
            }
        }
    }

    /// Waits until hints may be missing.
    async fn wait_for_trouble(&self) {
        let mut health = self.health.clone();
        loop {
            let (pending, again) = {
                let missed = self.missed();
                let again = missed.again_until.is_some_and(|until| Instant::now() < until);
                (missed.asked > missed.done, again)
            };
            if pending && !self.is_away() {
                return;
            }
            if self.is_away() || again {
                // Not at once: the previous round may have had nothing to do.
                let _ = timeout(RECOVERY_AGAIN, self.missed.wake.notified()).await;
                return;
            }
            tokio::select! {
                biased;
                () = self.missed.wake.notified() => {}
                changed = health.changed() => {
                    if changed.is_err() {
                        // The registry is closed: this node is shutting down.
                        std::future::pending::<()>().await;
                    }
                }
            }
        }
    }

    /// Compares everything here with the store once. Returns whether it was complete. New trouble restarts the round
    /// with the most active rooms, but never twice in a row: lasting trouble must not keep the least active rooms
    /// from being compared.
    async fn round(&self, asked: u64) -> bool {
        self.blocks.forget_all();
        let announced = async {
            if !self.is_away() {
                self.announce_written(|_| true).await;
                self.report_unpublished();
            }
        };
        let (compared, ()) = tokio::join!(self.compare(asked), announced);
        compared
    }

    async fn compare(&self, asked: u64) -> bool {
        let mut rooms = self.hub.rooms_by_activity();
        if let Some(asked_at) = self.missed().asked_at {
            // Rooms with deliveries since then are most likely complete.
            rooms.sort_by_key(|room| room.last_delivery().is_some_and(|at| at > asked_at));
        }
        let rooms: Vec<_> = rooms.iter().map(|feed| Target::Room(feed.room().clone())).collect();
        let users: Vec<_> = self.hub.users().into_iter().map(Target::User).collect();
        let [rooms, users] = [rooms, users].map(|mut targets| {
            targets.retain(|target| !self.missed.uncompared.defers(target));
            targets
        });
        self.missed.left.store(rooms.len() + users.len(), Ordering::Relaxed);
        let failed_rooms = self.compare_each(asked, rooms).await;
        let failed_users = self.compare_each(asked, users).await;
        if failed_rooms + failed_users > 0 {
            tracing::warn!(
                failed_rooms,
                failed_users,
                "cannot compare with the store, retrying each separately"
            );
        }
        self.goes_on(asked)
    }

    /// Whether a round that began at this count may continue.
    fn goes_on(&self, asked: u64) -> bool {
        let missed = self.missed();
        missed.cut_short || missed.asked == asked
    }

    /// Compares a few at a time, until there is new trouble. Returns how many failed.
    async fn compare_each(&self, asked: u64, all: Vec<Target>) -> usize {
        stream::iter(all)
            .take_while(|_| std::future::ready(self.goes_on(asked)))
            .map(|target| self.compare_one(target))
            // Only a few of them run at once: see `Cluster::comparing`.
            .buffer_unordered(self.sizes.recovery_concurrency + self.sizes.stalled_hints)
            .fold(0, |all_failed, failed| {
                self.missed.left.fetch_sub(1, Ordering::Relaxed);
                std::future::ready(all_failed + usize::from(failed))
            })
            .await
    }

    /// Compares one with the store, if any session here might have missed something. Returns whether it failed for
    /// the first time.
    async fn compare_one(&self, target: Target) -> bool {
        let comparing = async {
            match &target {
                Target::Room(room) => match self.hub.feed(room) {
                    Some(feed) => self.compare_room(&feed).await,
                    None => true,
                },
                Target::User(user) => !self.hub.has_session(user) || self.compare_user(user).await,
            }
        };
        let compared = self.comparing.run(comparing).await;
        self.missed.uncompared.note(target, compared)
    }

    /// Returns whether the store answered in time.
    async fn compare_room(&self, feed: &Feed) -> bool {
        self.reads.take().await;
        matches!(timeout(COMPARED_WITHIN, self.hub.refresh(feed)).await, Ok(Ok(())))
    }

    /// Finds rooms that the user was added to. Returns whether the store answered in time.
    async fn compare_user(&self, user: &UserId) -> bool {
        let size = self.sizes.rooms_page;
        let mut after: Option<RoomId> = None;
        loop {
            self.reads.take().await;
            let read = timeout(COMPARED_WITHIN, self.store.rooms_of(user, after.as_ref(), size));
            let Ok(Ok(page)) = read.await else { return false };
            after = page.next;
            for user_room in page.rows.iter().filter(|room| room.member.is_active()) {
                self.hub.joined(user, &user_room.room, user_room.member.changed_at());
            }
            if after.is_none() {
                return true;
            }
        }
    }

    pub(crate) fn missed(&self) -> MutexGuard<'_, MissedState> {
        self.missed.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
