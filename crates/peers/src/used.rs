use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of one budget.
#[derive(Debug, Default)]
pub(crate) struct Used {
    /// Of requests, and of answers that wait for the peer.
    pub(crate) held: AtomicUsize,
    /// That answers in the making may have.
    pub(crate) reserved: AtomicUsize,
}

impl Used {
    /// All of them.
    pub(crate) fn all(&self) -> usize {
        self.held.load(Ordering::SeqCst) + self.reserved.load(Ordering::SeqCst)
    }
}
