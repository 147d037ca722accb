use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// A rate per second, with a burst. Uses the runtime's clock, which a simulation controls.
pub(crate) struct Budget {
    each: Duration,
    burst: Duration,
    /// When the next one would be due if they were evenly spaced.
    next: Mutex<Option<Instant>>,
}

impl Budget {
    pub(crate) fn new(per_second: u32, burst: u32) -> Self {
        let each = Duration::from_secs(1) / per_second.max(1);
        Self { each, burst: each * burst, next: Mutex::default() }
    }

    /// Waits for a permit.
    pub(crate) async fn take(&self) {
        let due = self.reserve(true);
        if let Some(due) = due {
            sleep_until(due).await;
        }
    }

    /// Takes a permit if one is available now.
    pub(crate) fn try_take(&self) -> bool {
        self.reserve(false).is_some()
    }

    fn reserve(&self, wait: bool) -> Option<Instant> {
        let now = Instant::now();
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let earliest = now.checked_sub(self.burst).unwrap_or(now);
        let due = next.map_or(earliest, |next| next.max(earliest));
        if due > now && !wait {
            return None;
        }
        *next = Some(due + self.each);
        Some(due.max(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn burst_is_free_then_permits_are_evenly_spaced() {
        let budget = Budget::new(100, 5);
        let start = Instant::now();
        for _ in 0..6 {
            budget.take().await;
        }
        assert!(start.elapsed() < Duration::from_millis(2), "{:?}", start.elapsed());
        assert!(!budget.try_take());
        for _ in 0..10 {
            budget.take().await;
        }
        let took = start.elapsed();
        assert!((95..=105).contains(&took.as_millis()), "{took:?}");
    }
}
