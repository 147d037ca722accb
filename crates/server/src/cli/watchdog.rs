//! Aborts the process when its runtime is stuck, so that it is restarted and its clients reconnect elsewhere.

use std::num::NonZeroU32;
use std::process::abort;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::limits::WATCHDOG_TICK;
use tokio::runtime::Handle;
use tokio::time::interval;

/// Watches until dropped.
pub(crate) struct Watchdog(Arc<AtomicBool>);

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Counts ticks without a pulse. The ticks are the thread's own: none pass while the whole process is stopped.
#[derive(Debug, Default)]
struct Stillness {
    pulse: u64,
    ticks: u32,
}

impl Stillness {
    /// Returns for how many ticks the pulse has not changed.
    fn tick(&mut self, pulse: u64) -> u32 {
        self.ticks = if pulse == self.pulse { self.ticks + 1 } else { 0 };
        self.pulse = pulse;
        self.ticks
    }
}

/// Starts a thread that aborts the process once `runtime` has run nothing for `seconds`.
///
/// # Errors
/// The thread could not be started.
pub(crate) fn start(runtime: &Handle, seconds: NonZeroU32) -> std::io::Result<Watchdog> {
    let (pulse, end) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let beating = pulse.clone();
    runtime.spawn(async move {
        let mut tick = interval(WATCHDOG_TICK);
        loop {
            tick.tick().await;
            beating.fetch_add(1, Ordering::Relaxed);
        }
    });
    let ended = end.clone();
    std::thread::Builder::new().name("watchdog".into()).spawn(move || {
        let mut stillness = Stillness::default();
        while !ended.load(Ordering::Relaxed) {
            std::thread::park_timeout(WATCHDOG_TICK);
            let still = stillness.tick(pulse.load(Ordering::Relaxed));
            if still >= seconds.get() {
                tracing::error!(seconds = still, "the runtime is stuck, aborting");
                abort();
            }
        }
    })?;
    Ok(Watchdog(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stillness_is_counted_from_the_last_pulse() {
        let mut stillness = Stillness::default();
        let ticks = [1, 1, 1, 2, 2, 2, 2].map(|pulse| stillness.tick(pulse));
        assert_eq!(ticks, [0, 1, 2, 0, 1, 2, 3]);
    }
}
