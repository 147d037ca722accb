use std::sync::Arc;

use parlance_core::limits::MAX_CLOCK_OFFSET_MS;
use parlance_core::{ClockMonitor, TimeSource};
use tokio::time::interval;

use super::{Need, Readiness};
use crate::limits::CLOCK_LOOK_EVERY;

/// Reports when the clock differs from those of store and registry by more than [`MAX_CLOCK_OFFSET_MS`]: tokens would
/// be valid for too long or too short, and events get wrong times. Never returns.
pub(crate) async fn watch_clock(monitor: Arc<ClockMonitor>, readiness: Readiness) {
    metrics::describe_gauge!(
        "parlance_clock_offset_seconds",
        "how far the clock is ahead of the store's or the registry's, less what measuring may be wrong by"
    );
    let mut tick = interval(CLOCK_LOOK_EVERY);
    loop {
        tick.tick().await;
        for (source, name) in [(TimeSource::Store, "store"), (TimeSource::Registry, "registry")] {
            if let Some(offset) = monitor.offset_ms(source) {
                metrics::gauge!("parlance_clock_offset_seconds", "source" => name).set(offset as f64 / 1e3);
            }
        }
        match clock_error(&monitor) {
            Some(why) => readiness.missing(Need::Clock, why),
            None => readiness.there(Need::Clock),
        }
    }
}

/// Describes the problem with the clock, if there is one.
pub fn clock_error(monitor: &ClockMonitor) -> Option<String> {
    monitor.is_wrong().then(|| {
        let error = monitor.error_ms();
        let (seconds, most) = (error.unsigned_abs() / 1_000, MAX_CLOCK_OFFSET_MS / 1_000);
        let direction = if error > 0 { "ahead of" } else { "behind" };
        format!("{seconds} seconds {direction} that of the store or registry, more than {most}: check NTP")
    })
}

#[cfg(test)]
mod tests {
    use parlance_core::{ClockOffset, SystemClock};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_node_is_not_ready_while_its_clock_is_wrong() {
        let monitor = Arc::new(ClockMonitor::new(Arc::new(SystemClock)));
        let record = |ahead_ms| monitor.record(TimeSource::Store, ClockOffset { ahead_ms, tolerance_ms: 0 });
        let readiness = Readiness::new();
        let mut standing = readiness.subscribe();
        record(-31_000);
        let watch = tokio::spawn(watch_clock(monitor.clone(), readiness.clone()));
        let not_ready = standing.wait_for(|standing| !standing.is_ready()).await.unwrap().describe();
        assert_eq!(
            not_ready,
            "clock: 31 seconds behind that of the store or registry, more than 30: check NTP\n"
        );
        record(29_000);
        standing.wait_for(|standing| standing.is_ready()).await.unwrap();
        watch.abort();
    }
}
