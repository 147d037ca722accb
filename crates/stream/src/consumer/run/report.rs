//! Reports the status of a consumer, and disables it.

use std::time::Duration;

use parlance_core::{RoomId, Timestamp};
use tokio::time::Instant;

use super::super::Status;
use super::Runner;
use super::unread::News;
use crate::limits::{LOGGED_ATTEMPT, LOGGED_ATTEMPTS};
use crate::sink::SinkError;

/// What is published of a consumer.
const GAUGES: [&str; 6] = [
    "parlance_consumer_lag_seconds",
    "parlance_consumer_parked_rooms",
    "parlance_consumer_parked_seconds",
    "parlance_consumer_unfinished_rooms",
    "parlance_consumer_away",
    "parlance_consumer_disabled",
];

impl Runner {
    /// Logs that an event, or any, is not accepted. `was_away` says whether the sink was unavailable before.
    pub(super) fn complain(
        &mut self,
        room: &RoomId,
        was_away: bool,
        not_taken: Option<&(String, SinkError)>,
    ) {
        let (name, is_away) = (&self.shared.options.name, self.tracker.is_away());
        if let Some((event, error)) = not_taken {
            let attempts = self.tracker.attempts(room);
            let is_logged =
                attempts >= LOGGED_ATTEMPT && (attempts - LOGGED_ATTEMPT).is_multiple_of(LOGGED_ATTEMPTS);
            if is_away {
                self.away_because = error.to_string();
            } else if is_logged {
                tracing::warn!(consumer = %name, event, attempts, %error, "an event is not accepted, retrying");
            }
        }
        match (was_away, is_away) {
            (false, true) => {
                let error = &self.away_because;
                tracing::warn!(consumer = %name, error, "sink is unavailable, retrying; no event is lost");
            }
            (true, false) => {
                self.away_because.clear();
                tracing::info!(consumer = %name, "sink is available again");
            }
            _ => {}
        }
    }

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
        let is_away = self.tracker.is_away();
        if !is_away {
            // An operator has resumed it.
            self.away_because.clear();
        }
        if self.reminder.is_due(is_away, Instant::now()) {
            let (name, error) = (&self.shared.options.name, &self.away_because);
            tracing::warn!(consumer = %name, error, "sink is still unavailable, retrying; no event is lost");
        }
        self.report_unread(now);
        let unread = self.unread.lasting(now);
        let status = Status {
            behind_since: self.tracker.oldest().into_iter().chain(unread.map(|(since, _)| since)).min(),
            unread_because: unread.map(|(_, why)| why.to_owned()).unwrap_or_default(),
            rooms: self.tracker.active(),
            is_idle: self.tracker.is_idle(),
            is_away: self.tracker.is_away(),
            away_because: self.away_because.clone(),
            parked_rooms: self.parked.count(),
            parked_since: self.parked.oldest(),
            paused: self.state.paused,
            disabled: self.state.disabled.clone(),
        };
        let age = |since: Option<Timestamp>| since.map_or(0.0, |since| now.since(since) as f64 / 1_000.0);
        let (lag, parked_for) = (age(status.behind_since), age(status.parked_since));
        let [away, disabled] = [status.is_away, !status.disabled.is_empty()].map(u8::from).map(f64::from);
        let (rooms, parked) = (status.rooms as f64, status.parked_rooms as f64);
        self.set_gauges([lag, parked, parked_for, rooms, away, disabled]);
        self.status.send_if_modified(|last| {
            let is_new = *last != status;
            *last = status;
            is_new
        });
    }

    /// Logs that the feed cannot be read for more than a moment, or can be again.
    fn report_unread(&mut self, now: Timestamp) {
        let (name, news) = (&self.shared.options.name, self.unread.news(now));
        let error = self.unread.lasting(now).map(|(_, why)| why).unwrap_or_default();
        match news {
            Some(News::Lasts) => {
                tracing::warn!(consumer = %name, error, "events are missing for now, retrying; no event is lost");
            }
            Some(News::Over) => tracing::info!(consumer = %name, "the feed can be read again"),
            None => {}
        }
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
