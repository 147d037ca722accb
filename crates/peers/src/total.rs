use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::limits::Limits;

/// Bytes that are held for all peers of the process, and the limits on what they share.
#[derive(Debug)]
pub(crate) struct Total {
    used: AtomicUsize,
    /// Beyond one of these, who holds more than `share` is refused.
    limit: usize,
    of_user: usize,
    of_address: usize,
    share: usize,
    /// Beyond this, nobody is given more than a little.
    most: usize,
}

impl Total {
    pub(crate) fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            used: AtomicUsize::new(0),
            limit: limits.held_by_all,
            of_user: limits.held_by_user,
            of_address: limits.held_by_address,
            share: limits.held_share,
            most: limits.held_at_most,
        })
    }

    pub(crate) fn unlimited() -> Arc<Self> {
        let all = usize::MAX;
        let used = AtomicUsize::new(0);
        Arc::new(Self { used, limit: all, of_user: all, of_address: all, share: all, most: all })
    }

    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn remove(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// What one may use while there is too much of all.
    pub(crate) fn share(&self) -> usize {
        self.share
    }

    pub(crate) fn is_full(&self) -> bool {
        self.used() > self.limit
    }

    /// Whether nobody is given more than a little.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.used() > self.most
    }

    /// Whether an address uses more than it may.
    pub(crate) fn is_too_much_of_address(&self, used: usize) -> bool {
        used > self.of_address
    }

    /// Whether a user uses more than they may, with what `used` returns. That is added up only if it can be.
    pub(crate) fn is_too_much_of_user(&self, more: usize, used: impl FnOnce() -> usize) -> bool {
        self.used().saturating_add(more) > self.of_user && used().saturating_add(more) > self.of_user
    }
}
