use std::sync::atomic::{AtomicU64, Ordering};

use crate::claims::TokenProblem;
use crate::limits::REFUSED_TOKENS_LOGGED;

/// Logs refused tokens, at most [`REFUSED_TOKENS_LOGGED`] a second: anyone can send them.
#[derive(Default)]
pub(crate) struct RefusalLog {
    /// The second that `count` belongs to.
    second: AtomicU64,
    count: AtomicU64,
}

impl RefusalLog {
    pub(crate) fn log(&self, problem: &TokenProblem, now: u64) {
        // Two callers at the turn of a second may both reset the count: a few lines more.
        if self.second.swap(now, Ordering::Relaxed) != now {
            self.count.store(0, Ordering::Relaxed);
        }
        if self.count.fetch_add(1, Ordering::Relaxed) < REFUSED_TOKENS_LOGGED {
            tracing::info!(%problem, "refused a token");
        }
    }
}
