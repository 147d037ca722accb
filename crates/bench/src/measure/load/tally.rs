use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::sync::Notify;
use tokio::time::timeout;

/// How long deliveries may take that are waited for.
const DEADLINE: Duration = Duration::from_secs(180);

/// Events that have come to all listeners together.
#[derive(Debug, Default)]
pub(in crate::measure) struct Tally {
    events: AtomicU64,
    /// Whoever waits is told once this many have come.
    wanted: AtomicU64,
    reached: Notify,
}

impl Tally {
    pub(super) fn add(&self, events: u64) {
        let now = self.events.fetch_add(events, Ordering::AcqRel) + events;
        let wanted = self.wanted.load(Ordering::Acquire);
        if now >= wanted && now - events < wanted {
            self.reached.notify_one();
        }
    }

    pub(in crate::measure) fn events(&self) -> u64 {
        self.events.load(Ordering::Acquire)
    }

    /// Waits until this many events have come since the beginning. One waits at a time.
    pub(in crate::measure) async fn reach(&self, wanted: u64) -> Result<()> {
        self.wanted.store(wanted, Ordering::Release);
        let waited = timeout(DEADLINE, async {
            // A permit may be left of an earlier wait.
            while self.events() < wanted {
                let _ = timeout(Duration::from_millis(100), self.reached.notified()).await;
            }
        });
        if waited.await.is_err() {
            bail!("{} of {wanted} deliveries within {} s", self.events(), DEADLINE.as_secs());
        }
        Ok(())
    }
}
