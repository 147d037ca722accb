use parlance_runtime::random;

use super::limits::CONFLICT_BACKOFF;

/// Waits before retry `attempt + 1` (from 0) of an operation that conflicted with a transaction on the same item.
pub(super) async fn pause(attempt: u32) {
    tokio::time::sleep(CONFLICT_BACKOFF.spread(attempt.saturating_add(1), random::bits())).await;
}
