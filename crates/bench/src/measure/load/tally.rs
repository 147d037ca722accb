use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::sync::Notify;
use tokio::time::timeout;

/// How long awaited deliveries may take.
const DEADLINE: Duration = Duration::from_secs(180);

/// The total number of events received by all listeners.
#[derive(Debug, Default)]
pub(in crate::measure) struct Tally {
    events: AtomicU64,
    /// The waiter is notified at this count.
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

    /// Waits until this many events have arrived since the beginning. Only one task may
    /// wait at a time.
    pub(in crate::measure) async fn reach(&self, wanted: u64) -> Result<()> {
        self.wanted.store(wanted, Ordering::Release);
        let waited = timeout(DEADLINE, async {
            // A permit may remain from an earlier wait.
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
