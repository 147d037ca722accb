//! Heartbeats of a stream whose client can neither ping nor be pinged.
//!
//! They share the session's one timer with its deadline. Sending a frame only costs reading the clock: the timer is
//! moved when it fires.

use tokio::time::Instant;

use crate::limits::HEARTBEAT;

/// The heartbeat of an open `Subscribe` stream.
pub(crate) struct Heartbeat {
    /// When the session's timer has to fire for something else.
    deadline: Instant,
    /// When the last frame was sent.
    sent: Instant,
}

impl Heartbeat {
    pub(crate) fn new(now: Instant) -> Self {
        Self { deadline: now, sent: now }
    }

    /// Records a sent frame.
    pub(crate) fn sent(&mut self, now: Instant) {
        self.sent = now;
    }

    /// Sets the deadline, and returns when the timer has to fire.
    pub(crate) fn set_deadline(&mut self, deadline: Instant) -> Instant {
        self.deadline = deadline;
        self.next()
    }

    /// The timer has fired: returns whether a heartbeat is due and when it has to fire next, or `None` if it fired
    /// for the deadline.
    pub(crate) fn on_timer(&mut self, now: Instant) -> Option<(bool, Instant)> {
        if now >= self.deadline {
            return None;
        }
        let is_due = self.sent + HEARTBEAT <= now;
        if is_due {
            self.sent = now;
        }
        Some((is_due, self.next()))
    }

    fn next(&self) -> Instant {
        self.deadline.min(self.sent + HEARTBEAT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timer_fires_after_the_last_frame_but_never_past_the_deadline() {
        let begin = Instant::now();
        let mut heartbeat = Heartbeat::new(begin);
        assert_eq!(heartbeat.set_deadline(begin + HEARTBEAT * 2), begin + HEARTBEAT);
        let late = begin + HEARTBEAT + HEARTBEAT / 2;
        heartbeat.sent(begin + HEARTBEAT / 2);
        assert_eq!(heartbeat.on_timer(begin + HEARTBEAT), Some((false, late)));
        assert_eq!(heartbeat.on_timer(late), Some((true, begin + HEARTBEAT * 2)));
        assert_eq!(heartbeat.on_timer(begin + HEARTBEAT * 2), None);
    }
}
