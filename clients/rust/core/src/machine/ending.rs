//! The end of a connection, and its consequences.

use std::time::Duration;

use super::core::{Core, Link, Open, not_connected};
use super::token::Refusal;
use crate::backoff;
use crate::session::{Output, Update};
use crate::{Code, Error, Failure};

/// A connection that lasted this long counts as good. Until then delays keep doubling, so
/// that a server that disconnects right after the welcome is not flooded.
const STABLE: Duration = Duration::from_secs(10);

impl Core {
    /// The delay of a draining server has elapsed on the old connection.
    pub(super) fn drained(&mut self) {
        let is_stable = self.disconnect().is_some_and(|open| self.is_stable(&open));
        let retry_in = if is_stable { Duration::ZERO } else { self.next_delay() };
        self.rest(None, retry_in, Duration::ZERO);
    }

    pub(super) fn lost(&mut self, error: Option<Error>) {
        let was_greeting = matches!(self.link, Link::Greeting { .. });
        let mut error = error;
        if let Some(open) = self.disconnect() {
            // The end of the stream is less specific than the error before it.
            if !matches!(error, Some(Error::Status(_))) {
                error = open.last_words.or(error);
            }
            if let Some(leave_at) = open.leave_at {
                // A draining server may end the stream before the delay has elapsed.
                let mut wait = Failure::new(Code::Unavailable, "draining", "the server is draining");
                wait.retry_after = Some(leave_at.saturating_sub(self.now));
                error = Some(wait.into());
            }
        }
        let mut asked = Duration::ZERO;
        let mut pause = Duration::ZERO;
        if let Some(error) = &error {
            if error.wants_fresh_token() {
                match self.token.refused(error.refuses_identity()) {
                    Refusal::Final => return self.end(error),
                    Refusal::TryFresh { after } => pause = self.random.jittered(after),
                }
            }
            asked = error.retry_after().unwrap_or_default();
            if error.blames_a_frame() && was_greeting {
                self.limits.cursor_bytes = self.limits.cursors_sent / 2;
            } else if error.blames_a_frame()
                && let Some(id) = self.outbox.blame()
            {
                self.answer(id, Err(error.clone()));
            }
        }
        let delay = self.next_delay();
        // A wake does not shorten the pause.
        self.rest(error, delay, asked.max(pause));
    }

    /// Leaves the connection, if there is one; returns its state.
    pub(super) fn disconnect(&mut self) -> Option<Open> {
        self.outputs.push(Output::Disconnect);
        let link = std::mem::replace(&mut self.link, Link::Idle);
        let Link::Open(open) = link else { return None };
        if self.is_stable(&open) {
            self.failures = 0;
            self.token.proved();
        }
        Some(open)
    }

    pub(super) fn is_stable(&self, open: &Open) -> bool {
        self.now.saturating_sub(open.since) >= STABLE
    }

    pub(super) fn next_delay(&mut self) -> Duration {
        let delay = backoff::delay(self.failures, &mut self.random);
        self.failures = self.failures.saturating_add(1);
        delay
    }

    pub(super) fn rest(&mut self, error: Option<Error>, delay: Duration, asked: Duration) {
        self.address += 1;
        self.queue.disconnected();
        for id in self.outbox.disconnected() {
            self.answer(id, Err(not_connected()));
        }
        let retry_in = delay.max(asked);
        self.link = Link::Resting { until: self.now + retry_in, not_before: self.now + asked };
        self.update(Update::Disconnected { error, retry_in });
    }

    pub(super) fn end(&mut self, error: &Error) {
        self.disconnect();
        self.link = Link::Ended;
        self.queue.end(error, &mut self.outbox);
        for id in self.outbox.clear() {
            self.answer(id, Err(error.clone()));
        }
        self.update(Update::Stopped(error.clone()));
    }
}
