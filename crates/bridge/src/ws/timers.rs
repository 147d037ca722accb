use tokio::time::Instant;

use crate::limits::STALL_CHECK;
use crate::options::Options;

/// The deadlines of one connection. A separate value, so that a connection needs one
/// timer instead of four.
#[derive(Debug)]
pub(super) struct Timers<'o> {
    options: &'o Options,
    heard: Instant,
    ping: Instant,
    grace: Option<Instant>,
}

/// An elapsed deadline.
#[derive(Debug, PartialEq)]
pub(super) enum Due {
    /// The peer accepted nothing for too long.
    Stalled,
    /// The backend has not ended the stream in time after shutdown.
    Grace,
    /// Nothing was received for too long.
    Idle,
    /// A ping is due.
    Ping,
}

impl<'o> Timers<'o> {
    pub(super) fn new(options: &'o Options, now: Instant) -> Self {
        Self { options, heard: now, ping: now + options.ping_every, grace: None }
    }

    /// Input was received, or is not being read.
    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    /// Starts the shutdown deadline.
    pub(super) fn shut_down(&mut self, now: Instant) {
        self.grace = Some(now + self.options.shutdown_grace);
    }

    pub(super) fn is_shutting_down(&self) -> bool {
        self.grace.is_some()
    }

    /// The deadline that has elapsed, if any. `blocked` is until when a socket that accepts no data may do so.
    pub(super) fn due(&mut self, now: Instant, blocked: Option<Instant>) -> Option<Due> {
        if blocked.is_some_and(|until| now >= until) {
            return Some(Due::Stalled);
        }
        if self.grace.is_some_and(|grace| now >= grace) {
            return Some(Due::Grace);
        }
        if now >= self.heard + self.options.idle_timeout {
            return Some(Due::Idle);
        }
        if now >= self.ping {
            self.ping = now + self.options.ping_every;
            return Some(Due::Ping);
        }
        None
    }

    /// The next deadline. `blocked` may come sooner when others hold more.
    pub(super) fn next(&self, now: Instant, blocked: Option<Instant>) -> Instant {
        let idle = self.heard + self.options.idle_timeout;
        let stalled = blocked.map(|until| until.min(now + STALL_CHECK));
        [self.grace, stalled].into_iter().flatten().fold(idle.min(self.ping), Instant::min)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_comes_in_its_time() {
        let (options, start) = (Options::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut timers = Timers::new(&options, start);
        assert_eq!((timers.due(at(29), None), timers.next(at(29), None)), (None, at(30)));
        assert_eq!(timers.due(at(30), None), Some(Due::Ping));
        assert_eq!((timers.due(at(30), None), timers.next(at(30), None)), (None, at(60)));
        timers.heard(at(40));
        assert_eq!(timers.due(at(90), None), Some(Due::Ping));
        assert_eq!(timers.next(at(90), None), at(115));
        assert_eq!(timers.due(at(115), None), Some(Due::Idle));
    }

    #[test]
    fn a_stall_and_a_shutdown_have_their_own_deadlines() {
        let (options, start) = (Options::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut timers = Timers::new(&options, start);
        assert_eq!(timers.next(at(5), Some(at(65))), at(7), "it is looked whether others hold too much");
        assert_eq!(timers.next(at(5), Some(at(6))), at(6));
        timers.heard(at(50));
        assert_eq!(timers.due(at(65), Some(at(65))), Some(Due::Stalled));
        timers.shut_down(at(50));
        assert_eq!(timers.due(at(80), Some(at(120))), Some(Due::Grace));
    }
}
