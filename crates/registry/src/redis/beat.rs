use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

use fred::interfaces::FredResult;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::Shared;
use super::cause::Cause;
use super::frame;
use super::link::Link;

impl Shared {
    /// Renews the lease and sends heartbeats to this node itself, until one of them fails.
    pub(super) async fn beat(&self, link: &Link, mut heard: watch::Receiver<u64>) -> Cause {
        let options = &self.options;
        let mut ticks = tokio::time::interval(options.heartbeat);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut clock = Clock::new();
        let (mut heard_at, mut renewed_at, mut answered_at) =
            (Instant::now(), Instant::now(), Instant::now());
        let mut renewing = FuturesUnordered::new();
        loop {
            tokio::select! {
                _ = heard.changed() => {
                    heard_at = Instant::now();
                    continue;
                }
                Some(renewed) = renewing.next() => {
                    match renewed {
                        Ok(true) => renewed_at = Instant::now(),
                        Ok(false) => return Cause::Lease,
                        Err(error) => tracing::debug!(%error, "the lease was not renewed"),
                    }
                    continue;
                }
                _ = ticks.tick() => {}
            }
            if clock.gap() > options.heartbeat + options.command_timeout + options.unheard {
                return Cause::Paused;
            }
            if heard_at.elapsed() > options.unheard && !heard.has_changed().unwrap_or(false) {
                return Cause::Unheard;
            }
            // Publishing messages is as slow as publishing heartbeats.
            if answered_at.elapsed() > options.unheard {
                return Cause::Slow;
            }
            if renewed_at.elapsed() > options.unheard {
                return Cause::Unanswered;
            }
            if renewing.is_empty() {
                renewing.push(self.renew(link));
            }
            // If it does not arrive, that is noticed.
            match self.send_beat(link).await {
                Ok(_) => answered_at = Instant::now(),
                Err(error) => tracing::debug!(%error, "heartbeat was not confirmed"),
            }
            if self.missed.swap(false, Ordering::SeqCst) {
                Cause::Registration.count();
                self.notices.missed();
            }
            self.notices.report_missed();
        }
    }

    /// Sends the next heartbeat, over the same path as messages, and announces to others what was published to them.
    /// Returns its number.
    pub(super) async fn send_beat(&self, link: &Link) -> FredResult<u64> {
        let heartbeat = self.beats.fetch_add(1, Ordering::SeqCst) + 1;
        let beat = self.sent().beat();
        let beats = self.keys.beats_channel();
        let beat = frame::beat(self.sender(), &beats, &beat);
        link.publish(vec![
            (self.keys.node_channel(&self.node), frame::heartbeat(&self.node, heartbeat)),
            (beats, beat),
        ])
        .await?;
        Ok(heartbeat)
    }
}

/// Detects that the process was paused. One clock stops while the machine sleeps, the other may be set; so both are
/// checked.
struct Clock {
    steady: Instant,
    wall: SystemTime,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "compared with itself only")]
    fn new() -> Self {
        Self { steady: Instant::now(), wall: SystemTime::now() }
    }

    /// The time since the last call.
    fn gap(&mut self) -> Duration {
        let now = Self::new();
        let before = std::mem::replace(self, now);
        let wall = self.wall.duration_since(before.wall).unwrap_or_default();
        wall.max(self.steady - before.steady)
    }
}
