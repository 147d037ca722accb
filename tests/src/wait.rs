use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parlance_core::{Clock as _, SystemClock};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

/// Deadline for anything that should take milliseconds. The machine may be busy
/// compiling.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// How often a condition is checked.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Waits until `condition` returns something, at most [`DEADLINE`].
pub async fn eventually<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    let mut look = interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        if let Some(found) = condition().await {
            return found;
        }
        assert!(start.elapsed() < DEADLINE, "not within {DEADLINE:?}: {what}");
    }
}

/// Awaits `future`, at most [`DEADLINE`].
pub async fn within<F: Future>(what: &str, future: F) -> F::Output {
    match timeout(DEADLINE, future).await {
        Ok(output) => output,
        Err(_) => panic!("not within {DEADLINE:?}: {what}"),
    }
}

/// A unique id within this test.
pub fn fresh(prefix: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!("{prefix}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Seconds since the Unix epoch.
pub fn now() -> u64 {
    SystemClock.now().0 / 1_000
}
