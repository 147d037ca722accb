//! Finding what nobody told: one way for every trouble with the registry.
//!
//! After it, and again and again while it lasts, the rooms and users of this node are
//! compared with the store: most recently active rooms first, so many reads a second. One that cannot
//! be compared is tried again by itself.
//! What this node wrote and may not have published is announced once more.
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use futures::stream;
use parlance_core::{RoomId, UserId};
use parlance_hub::{Feed, Terms};
use parlance_store::StoreError;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::cluster::Cluster;
use crate::limits::{COMPARED_WITHIN, LAST_WORDS_WITHIN, RECOVERY_AGAIN, REPORT_UNPUBLISHED};
use crate::missed::MissedState;
use crate::uncompared::Target;
use crate::written::Written;

/// How far a node is with finding what it missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovery {
    /// Nothing that was published lately may be missing here, in no room.
    pub settled: bool,
    /// Rooms and users that are still to be compared with the store, those that could not be among
    /// them.
    pub left: usize,
}

#[derive(PartialEq)]
enum Trouble {
    /// What others published may not have arrived.
    Missed,
    /// What was published here did not arrive, and that is all.
    Unpublished,
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

    /// Something was committed that others could not be told.
    pub(crate) fn announce_again(&self) {
        let mut missed = self.missed();
        missed.unpublished = true;
        missed.unpublished_since.get_or_insert_with(Instant::now);
        drop(missed);
        self.missed.wake.notify_one();
    }

    /// Has other nodes informed if publishing fails for a while although the registry is there.
    fn report_unpublished(&self) {
        if !self.written.iter().any(|written| written.is_untold()) {
            self.missed().unpublished_since = None;
            return;
        }
        let mut missed = self.missed();
        if missed.unpublished_since.is_some_and(|since| since.elapsed() >= REPORT_UNPUBLISHED) {
            missed.unpublished_since = Some(Instant::now());
            drop(missed);
            tracing::warn!("cannot publish for a while, having other nodes read the store");
            self.registry.report_unpublished();
        }
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
                if self.wait_for_trouble().await == Trouble::Unpublished {
                    self.announce_written(|written| written.untold.is_some()).await;
                    self.report_unpublished();
                    sleep(RECOVERY_AGAIN).await;
                    continue;
                }
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
        }
    }

    /// Compares what could not be compared, each by itself.
    async fn retry_uncompared(&self) {
        loop {
            let due = self.missed.uncompared.due().await;
            stream::iter(due)
                .for_each_concurrent(self.sizes.recovery_concurrency, |target| async {
                    self.compare_one(target).await;
                })
                .await;
        }
    }

    async fn wait_for_trouble(&self) -> Trouble {
        let mut health = self.health.clone();
        loop {
            let (pending, again, unpublished) = {
                let mut missed = self.missed();
                let again = missed.again_until.is_some_and(|until| Instant::now() < until);
                let pending = missed.asked > missed.done;
                // A whole round announces them, too.
                let unpublished = missed.unpublished && !pending && !self.is_away();
                missed.unpublished &= !unpublished;
                (pending, again, unpublished)
            };
            if unpublished {
                return Trouble::Unpublished;
            }
            if pending && !self.is_away() {
                return Trouble::Missed;
            }
            if self.is_away() || again {
                // Not at once: the round before may have had nothing to do.
                let _ = timeout(RECOVERY_AGAIN, self.missed.wake.notified()).await;
                return Trouble::Missed;
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
            .buffer_unordered(self.sizes.recovery_concurrency)
            .fold(0, |all_failed, failed| {
                self.missed.left.fetch_sub(1, Ordering::Relaxed);
                std::future::ready(all_failed + usize::from(failed))
            })
            .await
    }

    /// Compares one with the store, if anybody is there who might have missed something. Returns
    /// whether that failed and had not before.
    async fn compare_one(&self, target: Target) -> bool {
        let compared = match &target {
            Target::Room(room) => match self.hub.feed(room) {
                Some(feed) => self.compare_room(&feed).await,
                None => true,
            },
            Target::User(user) => !self.hub.has_session(user) || self.compare_user(user).await,
        };
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

    /// Tells other nodes where the rooms are that were written here.
    async fn announce_written(&self, which: impl Fn(&Written) -> bool) {
        let written = self.written.iter().filter(|entry| which(entry.value()));
        let mut rooms: Vec<RoomId> = written.map(|entry| entry.key().clone()).collect();
        rooms.sort();
        stream::iter(rooms)
            .for_each_concurrent(self.sizes.recovery_concurrency, |room| async move {
                self.reads.take().await;
                if let Err(error) = self.announce_stored(&room, None).await {
                    tracing::warn!(%error, "cannot announce a room; trying again");
                    self.note_written(&room, |written| written.not_told(0, BTreeSet::new()));
                    self.announce_again();
                }
            })
            .await;
    }

    /// Delivers the end of a room as it is stored, and announces it unless it was `announced` before.
    /// Returns the head; 0 where there is no room. A room that hangs holds up no others.
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
        // For the sessions here, who may not have been told either.
        self.hub.deliver(room, Terms::from(&stored.info), &stored.tail);
        if announced != Some(head.seq()) {
            let users = stored.tail.concerned().cloned().collect();
            self.announce(room, head, users).await;
        }
        Ok(head.seq())
    }

    /// This node ends: what other nodes could not be told so far they are told now, or have to look
    /// for themselves.
    pub async fn last_words(&self) {
        if !self.written.iter().any(|written| written.untold.is_some()) {
            return;
        }
        let announced = self.announce_written(|written| written.untold.is_some());
        let in_time = timeout(LAST_WORDS_WITHIN, announced).await.is_ok();
        if !in_time || self.written.iter().any(|written| written.untold.is_some()) {
            tracing::warn!("other nodes were not told of everything, having them read the store");
            self.registry.report_unpublished();
        }
    }

    fn missed(&self) -> MutexGuard<'_, MissedState> {
        self.missed.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
