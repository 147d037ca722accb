//! Rooms and users that could not be compared with the store: each is retried on its own with backoff, so that an
//! unreadable one does not cause all others to be compared again.
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use parlance_core::{RoomId, UserId};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::limits::{COMPARE_BACKOFF, COMPARE_UNDER_WAY};

/// A room or a user here that is compared with the store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    Room(RoomId),
    User(UserId),
}

#[derive(Debug)]
struct Entry {
    failures: u32,
    due: Instant,
    /// Hints may have been lost since the last attempt began.
    is_stale: bool,
}

#[derive(Default)]
pub(crate) struct Uncompared {
    entries: Mutex<BTreeMap<Target, Entry>>,
    /// The number of entries, readable without locking.
    count: AtomicUsize,
    wake: Notify,
}

impl Uncompared {
    pub(crate) fn len(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    pub(crate) fn contains_room(&self, room: &RoomId) -> bool {
        self.len() > 0 && self.entries().contains_key(&Target::Room(room.clone()))
    }

    /// Whether `target` is retried on its own; if so, what may have been missed until now is covered by an attempt
    /// that begins after this.
    pub(crate) fn defers(&self, target: &Target) -> bool {
        if self.len() == 0 {
            return false;
        }
        let mut entries = self.entries();
        let entry = entries.get_mut(target);
        entry.map(|entry| entry.is_stale = true).is_some()
    }

    /// Schedules a comparison of `target`. Recurring trouble does not postpone it.
    pub(crate) fn defer(&self, target: Target) {
        if !self.defers(&target) {
            self.note(target, false);
        }
    }

    /// Records the outcome of comparing `target`. Returns whether it failed for the first time.
    pub(crate) fn note(&self, target: Target, compared: bool) -> bool {
        if compared && self.len() == 0 {
            return false;
        }
        let mut entries = self.entries();
        let known = entries.get(&target).map(|entry| (entry.failures, entry.is_stale));
        let failures = match (compared, known) {
            (true, None | Some((_, false))) => {
                entries.remove(&target);
                self.count.store(entries.len(), Ordering::SeqCst);
                return false;
            }
            (true, Some((_, true))) => 0,
            (false, known) => known.map_or(0, |(failures, _)| failures).saturating_add(1),
        };
        let due = Instant::now() + backoff(failures);
        entries.insert(target, Entry { failures, due, is_stale: false });
        self.count.store(entries.len(), Ordering::SeqCst);
        drop(entries);
        self.wake.notify_one();
        known.is_none()
    }

    /// Waits until some are due, and starts retrying them.
    pub(crate) async fn due(&self) -> Vec<Target> {
        loop {
            let now = Instant::now();
            let next = {
                let mut entries = self.entries();
                let due = entries.iter_mut().filter(|(_, entry)| entry.due <= now);
                let due: Vec<Target> = due
                    .map(|(target, entry)| {
                        entry.is_stale = false;
                        // In progress until its outcome is recorded.
                        entry.due = now + COMPARE_UNDER_WAY;
                        target.clone()
                    })
                    .collect();
                if !due.is_empty() {
                    return due;
                }
                entries.values().map(|entry| entry.due).min()
            };
            match next {
                Some(next) => tokio::select! {
                    biased;
                    () = self.wake.notified() => {}
                    () = sleep_until(next) => {}
                },
                None => self.wake.notified().await,
            }
        }
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<Target, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn backoff(failures: u32) -> Duration {
    if failures == 0 { Duration::ZERO } else { COMPARE_BACKOFF.delay(failures) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> Target {
        Target::User(UserId::parse("bob").unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn failures_are_retried_with_backoff() {
        let uncompared = Uncompared::default();
        assert!(uncompared.note(target(), false), "new");
        let mut pauses = Vec::new();
        for _ in 0..7 {
            let before = Instant::now();
            assert_eq!(uncompared.due().await, [target()]);
            pauses.push(before.elapsed().as_secs());
            assert!(!uncompared.note(target(), false));
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 16, 16]);
        uncompared.note(target(), true);
        assert_eq!(uncompared.len(), 0);
    }

    /// The attempt may have read the store before the missed write.
    #[tokio::test(start_paused = true)]
    async fn trouble_during_an_attempt_causes_another() {
        let uncompared = Uncompared::default();
        assert!(!uncompared.defers(&target()));
        uncompared.note(target(), false);
        uncompared.due().await;
        assert!(uncompared.defers(&target()));
        uncompared.note(target(), true);
        let before = Instant::now();
        assert_eq!(uncompared.due().await, [target()]);
        assert_eq!(before.elapsed(), Duration::ZERO);
        uncompared.note(target(), true);
        assert!(!uncompared.defers(&target()));
    }
}
