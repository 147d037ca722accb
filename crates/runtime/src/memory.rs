//! Memory that caches may hold in the whole process, beside the bounds that each of them has of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// A budget that many caches share. It refuses nothing: the fuller it is, the less each cache keeps.
#[derive(Debug)]
pub struct Budget {
    limit: usize,
    used: AtomicUsize,
}

/// What one cache holds, in bytes. Given back when dropped.
#[derive(Debug)]
pub struct Charge {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Budget {
    /// A budget of `limit` bytes.
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, used: AtomicUsize::new(0) })
    }

    /// A charge of nothing yet.
    pub fn charge(self: &Arc<Self>) -> Charge {
        Charge { budget: self.clone(), bytes: 0 }
    }

    /// The limit, in bytes.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Charges `bytes` that are not held by a cache: the caches then keep less. They are [given back](Self::give_back) by
    /// the caller.
    pub fn take(&self, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Gives back what was [taken](Self::take).
    pub fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Bytes held by all caches.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// The part of `whole` that a cache may use now: all of it while half of the budget is free, then less, and
    /// nothing once the budget is used up.
    pub fn share_of(&self, whole: usize) -> usize {
        let (free, half) = (self.limit.saturating_sub(self.used()), (self.limit / 2).max(1));
        if free >= half { whole } else { (whole as u128 * free as u128 / half as u128) as usize }
    }

    /// The same for the time that unused entries are kept.
    pub fn share_of_time(&self, whole: Duration) -> Duration {
        Duration::from_millis(self.share_of(usize::try_from(whole.as_millis()).unwrap_or(usize::MAX)) as u64)
    }
}

impl Charge {
    /// Charges `bytes` in place of what was charged before.
    pub fn set(&mut self, bytes: usize) {
        if bytes >= self.bytes {
            self.budget.used.fetch_add(bytes - self.bytes, Ordering::Relaxed);
        } else {
            self.budget.used.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
        }
        self.bytes = bytes;
    }

    /// The budget that is charged.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charges_add_up_and_are_given_back() {
        let budget = Budget::new(100);
        let (mut first, mut second) = (budget.charge(), budget.charge());
        first.set(30);
        second.set(50);
        first.set(10);
        assert_eq!(budget.used(), 60);
        drop(second);
        assert_eq!(budget.used(), 10);
    }

    #[test]
    fn share_shrinks_once_half_of_the_budget_is_used() {
        let budget = Budget::new(100);
        let mut charge = budget.charge();
        let mut share = |used| {
            charge.set(used);
            (budget.share_of(1_000), budget.share_of_time(Duration::from_secs(60)).as_secs())
        };
        assert_eq!(share(0), (1_000, 60));
        assert_eq!(share(50), (1_000, 60));
        assert_eq!(share(75), (500, 30));
        assert_eq!(share(100), (0, 0));
        assert_eq!(share(1_000), (0, 0));
    }
}
