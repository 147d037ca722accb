//! Reports the status of a consumer, and disables it.

use std::time::Duration;

use parlance_core::Timestamp;

use super::super::Status;
use super::Runner;

impl Runner {
    pub(super) fn disable(&mut self, reason: String) {
        if self.state.disabled.is_empty() {
            let name = &self.shared.options.name;
            tracing::error!(consumer = %name, reason, "the consumer is disabled; it goes on once it is resumed");
            self.state.disabled = reason;
            self.tracker.pause(true);
        }
    }

    /// Tracks since when the sink has accepted nothing, and publishes the status.
    pub(super) fn report(&mut self) {
        let (options, now) = (&self.shared.options, self.shared.parts.clock.now());
        let jumped = self.jumps.jumped(now);
        self.state.failing_since =
            self.state.failing_since.map(|since| Timestamp(since.0.saturating_add_signed(jumped)));
        if self.tracker.is_accepting() {
            self.state.failing_since = None;
        } else if self.tracker.is_away() {
            let since = *self.state.failing_since.get_or_insert(now);
            let is_long = |after: Duration| u128::from(now.since(since)) >= after.as_millis();
            if options.disable_after.is_some_and(is_long) {
                self.disable("nothing was taken for too long".to_owned());
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
        let gauge = |name: &'static str, value: f64| {
            metrics::gauge!(name, "consumer" => self.shared.options.name.to_string()).set(value);
        };
        let lag = status.behind_since.map_or(0.0, |since| now.since(since) as f64 / 1_000.0);
        gauge("parlance_consumer_lag_seconds", lag);
        gauge("parlance_consumer_unfinished_rooms", status.rooms as f64);
        gauge("parlance_consumer_away", f64::from(u8::from(status.is_away)));
        gauge("parlance_consumer_disabled", f64::from(u8::from(!status.disabled.is_empty())));
        self.status.send_if_modified(|last| {
            let is_new = *last != status;
            *last = status;
            is_new
        });
    }
}

impl Drop for Runner {
    /// Another process may go on with the consumer: what this one knows of it is no longer true.
    fn drop(&mut self) {
        let gauges = ["lag_seconds", "unfinished_rooms", "away", "disabled"];
        for gauge in gauges.map(|gauge| format!("parlance_consumer_{gauge}")) {
            metrics::gauge!(gauge, "consumer" => self.shared.options.name.to_string()).set(0.0);
        }
    }
}
