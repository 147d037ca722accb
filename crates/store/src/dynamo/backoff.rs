use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// Tries of what meets a transaction under way on the same item, before the caller is
/// told that the store is overloaded: they pass in milliseconds, some two seconds are
/// spent here.
pub(super) const MAX_CONFLICTS: u32 = 12;

const FIRST: Duration = Duration::from_millis(5);
const LONGEST: Duration = Duration::from_millis(320);

/// Waits before try number `attempt + 1`: anything up to a bound that doubles, so that
/// those who collided do not do so again.
pub(super) async fn pause(attempt: u32) {
    let bound = (FIRST * 2_u32.pow(attempt.min(16))).min(LONGEST);
    let spread = u64::try_from(bound.as_micros()).unwrap_or(u64::MAX).max(1);
    let random = RandomState::new().hash_one(attempt);
    tokio::time::sleep(Duration::from_micros(random % spread)).await;
}
