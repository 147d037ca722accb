use parlance_runtime::random;

use super::limits::CONFLICT_BACKOFF;

/// Waits before try number `attempt + 1` (from 0) of what has met a transaction on the same item.
pub(super) async fn pause(attempt: u32) {
    tokio::time::sleep(CONFLICT_BACKOFF.spread(attempt.saturating_add(1), random::bits())).await;
}
