//! Reports the status of a consumer, and disables it.

use std::time::Duration;

use parlance_core::Timestamp;

use super::super::Status;
use super::Runner;

/// What is published of a consumer.
const GAUGES: [&str; 4] = [
    "parlance_consumer_lag_seconds",
    "parlance_consumer_unfinished_rooms",
    "parlance_consumer_away",
    "parlance_consumer_disabled",
];

impl Runner {
    pub(super) fn disable(&mut self, reason: String) {
        if self.state.disabled.is_empty() {
            let name = &self.shared.options.name;
            tracing::error!(consumer = %name, reason, "consumer disabled; resume it to continue");
            self.state.disabled = reason;
            self.tracker.pause(true);
        }
    }

    /// Tracks since when the sink has answered nothing that was pending, and publishes the status.
    pub(super) fn report(&mut self) {
        let (options, now) = (&self.shared.options, self.shared.parts.clock.now());
        let jumped = self.jumps.jumped(now);
        self.state.failing_since =
            self.state.failing_since.map(|since| Timestamp(since.0.saturating_add_signed(jumped)));
        let is_asked = !self.state.paused && !self.tracker.is_idle();
        if self.tracker.is_answering() || !is_asked {
            self.state.failing_since = None;
        } else if self.tracker.is_away() {
            let since = *self.state.failing_since.get_or_insert(now);
            let is_long = |after: Duration| u128::from(now.since(since)) >= after.as_millis();
            if options.disable_after.is_some_and(is_long) {
                self.disable("no event was accepted for too long".to_owned());
            }
        }
        let status = Status {
            behind_since: self.tracker.oldest(),
            rooms: self.tracker.active(),
            is_idle: self.tracker.is_idle(),
            is_away: self.tracker.is_away(),
            paused: self.state.paused,
            disabled: self.state.disabled.clone(),
        };
        let lag = status.behind_since.map_or(0.0, |since| now.since(since) as f64 / 1_000.0);
        let [away, disabled] = [status.is_away, !status.disabled.is_empty()].map(u8::from).map(f64::from);
        self.set_gauges([lag, status.rooms as f64, away, disabled]);
        self.status.send_if_modified(|last| {
            let is_new = *last != status;
            *last = status;
            is_new
        });
    }

    fn set_gauges(&self, values: [f64; GAUGES.len()]) {
        for (name, value) in GAUGES.into_iter().zip(values) {
            metrics::gauge!(name, "consumer" => self.shared.options.name.to_string()).set(value);
        }
    }
}

impl Drop for Runner {
    /// Another process may take over the consumer: the last values of this one are no longer true.
    fn drop(&mut self) {
        self.set_gauges([0.0; GAUGES.len()]);
    }
}
