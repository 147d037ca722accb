//! Finding what nobody told: one way for every trouble with the registry.
//!
//! After it, and again and again while it lasts, the rooms and users of this node are
//! compared with the store: most recently active rooms first, so many reads a second. One that cannot
//! be compared is tried again by itself.
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

/// How far a node is with finding what it missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovery {
    /// Nothing that was published lately may be missing here, in no room.
    pub settled: bool,
    /// Rooms and users that are still to be compared with the store, those that could not be among
    /// them.
    pub left: usize,
}

impl Cluster {
    /// Hints may have gone missing until now, and for `again` may go on to.
    pub(crate) fn look_for_missed(&self, cause: &'static str, again: Option<Duration>) {
        metrics::counter!("parlance_recoveries_total", "cause" => cause).increment(1);
        let mut missed = self.missed();
        missed.asked += 1;
        missed.asked_at = Some(Instant::now());
        if let Some(again) = again {
            missed.again_until = Some(Instant::now() + again);
        }
        drop(missed);
        self.missed.wake.notify_one();
    }

    /// How far this node is with finding what it was not told.
    pub fn recovery(&self) -> Recovery {
        let missed = self.missed();
        let failed = self.missed.uncompared.len();
        let settled = missed.asked == missed.done && !self.is_away() && failed == 0;
        Recovery { settled, left: self.missed.left.load(Ordering::Relaxed) + failed }
    }

    /// Looks for what was missed whenever something may have been.
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
            () = self.announce_untold() => {}
        }
    }

    /// Compares what could not be compared, each by itself: those that hang hold up no others.
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
                // Not at once: the round before may have had nothing to do.
                let _ = timeout(RECOVERY_AGAIN, self.missed.wake.notified()).await;
                return;
            }
            tokio::select! {
                biased;
                () = self.missed.wake.notified() => {}
                changed = health.changed() => {
                    if changed.is_err() {
                        // The registry is closed: so are we, soon.
                        std::future::pending::<()>().await;
                    }
                }
            }
        }
    }

    /// One comparison of everything here with the store. Returns whether it was complete. New trouble
    /// restarts it with the most active rooms, but never twice in a row: lasting trouble must not
    /// keep the least active rooms from being compared.
    async fn round(&self, asked: u64) -> bool {
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
            // Those that were heard of since are most likely whole.
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
                "cannot compare with the store, retrying each by itself"
            );
        }
        self.goes_on(asked)
    }

    /// Whether a round goes on that began when this was asked.
    fn goes_on(&self, asked: u64) -> bool {
        let missed = self.missed();
        missed.cut_short || missed.asked == asked
    }

    /// Compares some at a time, until there is new trouble. Returns how many failed.
    async fn compare_each(&self, asked: u64, all: Vec<Target>) -> usize {
        stream::iter(all)
            .take_while(|_| std::future::ready(self.goes_on(asked)))
            .map(|target| self.compare_one(target))
            // Of these, few are under way: see `Cluster::comparing`.
            .buffer_unordered(self.sizes.recovery_concurrency + self.sizes.stalled_hints)
            .fold(0, |all_failed, failed| {
                self.missed.left.fetch_sub(1, Ordering::Relaxed);
                std::future::ready(all_failed + usize::from(failed))
            })
            .await
    }

    /// Compares one with the store, if anybody is there who might have missed something. Returns
    /// whether that failed and had not before.
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
