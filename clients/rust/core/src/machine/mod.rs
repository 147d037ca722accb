//! The session as a state machine.

mod core;
mod ending;
mod opening;
mod serving;
mod token;

use std::time::Duration;

use crate::Error;
use crate::outbox::Origin;
use crate::request::is_momentary;
use crate::session::{ConnectionState, Input, Output};

pub use self::core::Core;
use self::core::{Link, Open, not_connected};

/// Timeout of the token provider.
const TOKEN_TIMEOUT: Duration = Duration::from_secs(30);

/// Timeout of connecting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// Timeout of the answer to hello.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(15);

impl Core {
    /// Processes an input that happened at `now`, a time since any fixed moment, and
    /// returns what to do.
    pub fn handle(&mut self, now: Duration, input: Input) -> Vec<Output> {
        self.now = self.now.max(now);
        self.take(input);
        self.advance();
        std::mem::take(&mut self.outputs)
    }

    /// When to call [`Core::handle`] with [`Input::Tick`] at the latest.
    pub fn timeout(&self) -> Option<Duration> {
        let link = match &self.link {
            Link::Idle | Link::Ended => None,
            Link::Resting { until, .. } => Some(*until),
            Link::Token { since } => Some(*since + TOKEN_TIMEOUT),
            Link::Connecting { since } => Some(*since + CONNECT_TIMEOUT),
            Link::Greeting { since } => Some(*since + WELCOME_TIMEOUT),
            Link::Open(open) => {
                let times =
                    [open.leave_at, self.outbox.next_due(), self.answer_due(), self.silence_due(open)];
                times.into_iter().flatten().min()
            }
        };
        [link, self.queue.timeout()].into_iter().flatten().min()
    }

    /// The state of the session after the inputs so far.
    pub fn connection_state(&self) -> ConnectionState {
        match &self.link {
            Link::Idle => ConnectionState::Idle,
            Link::Resting { .. } => ConnectionState::Waiting,
            Link::Token { .. } => ConnectionState::AwaitingToken,
            Link::Connecting { .. } => ConnectionState::Connecting,
            Link::Greeting { .. } => ConnectionState::Greeting,
            Link::Open(Open { leave_at: Some(_), .. }) => ConnectionState::Draining,
            Link::Open(_) => ConnectionState::Online,
            Link::Ended => ConnectionState::Ended,
        }
    }

    /// Whether [`Update::Stopped`](crate::Update::Stopped) was returned: no update follows.
    pub fn is_ended(&self) -> bool {
        matches!(self.link, Link::Ended)
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Start if matches!(self.link, Link::Idle) => {
                if self.options.addresses.is_empty() {
                    self.end(&Error::SessionEnded);
                } else {
                    self.request_token();
                }
            }
            Input::Token(token) if matches!(self.link, Link::Token { .. }) => match token {
                Ok(token) => self.connect(token),
                Err(message) => self.lost(Some(Error::Token(message))),
            },
            // Without one, the connection ends with the old token.
            Input::Token(Ok(token)) => self.refresh(token),
            Input::Connected { connection } if connection == self.connection => self.greet(),
            Input::Received { connection, frame } if connection == self.connection => match &self.link {
                Link::Greeting { .. } => self.greeted(frame),
                Link::Open(_) => self.received(frame),
                _ => {}
            },
            Input::Lost { connection, error } if connection == self.connection && self.is_connecting() => {
                self.lost(error);
            }
            Input::Call { id, .. } if self.is_ended() => {
                self.answer(Origin::Call(id), Err(Error::SessionEnded))
            }
            Input::Call { id, operation, as_user } => {
                if is_momentary(&operation) && !matches!(self.link, Link::Open(_)) {
                    return self.answer(Origin::Call(id), Err(not_connected()));
                }
                self.outbox.push(Origin::Call(id), operation, as_user);
            }
            Input::Cancel(id) => {
                self.outbox.cancel(Origin::Call(id));
                self.queue.abandon(id);
            }
            Input::Submit { id, .. } | Input::Retry { id, .. } if self.is_ended() => {
                self.outputs.push(Output::Settled { id, result: Err(Error::SessionEnded) });
            }
            Input::Submit { id, command } => self.queue.submit(id, command, &self.rooms),
            Input::Retry { id, command } => self.queue.retry(id, &command),
            Input::Discard { id, command } => self.queue.discard(id, &command, &mut self.outbox),
            Input::Loaded(result) => {
                let (queue, mut around) = self.queue();
                queue.loaded(result, &mut around);
                if around.is_online {
                    queue.examine(around.rooms, around.outbox);
                }
            }
            Input::Stored { number, result } => {
                let (queue, mut around) = self.queue();
                queue.stored(number, result, &mut around);
            }
            Input::Pause => self.reading = None,
            Input::Resume => self.reading = Some(self.now),
            Input::Wake => self.wake(),
            Input::Finish => self.is_finishing = true,
            Input::Close if !self.is_ended() => self.end(&Error::SessionEnded),
            _ => {}
        }
    }

    /// Runs all timers that are due.
    fn advance(&mut self) {
        let now = self.now;
        match &self.link {
            Link::Resting { until, .. } if now >= *until => self.request_token(),
            Link::Token { since } if now >= *since + TOKEN_TIMEOUT => {
                let seconds = TOKEN_TIMEOUT.as_secs();
                self.lost(Some(Error::Token(format!("the provider gave none in {seconds} s"))));
            }
            Link::Connecting { since } if now >= *since + CONNECT_TIMEOUT => {
                self.lost(Some(Error::Io("connecting timed out".to_owned())));
            }
            Link::Greeting { since } if now >= *since + WELCOME_TIMEOUT => {
                self.lost(Some(Error::Io("no welcome in time".to_owned())));
            }
            Link::Open(open) => {
                let is_due = |due: Option<Duration>| due.is_some_and(|due| now >= due);
                if is_due(open.leave_at) {
                    self.drained();
                } else if is_due(self.answer_due()) {
                    let seconds = serving::ANSWER_TIMEOUT.as_secs();
                    self.lost(Some(Error::Io(format!("a call was not answered in {seconds} s"))));
                } else if is_due(self.silence_due(open)) {
                    self.silent();
                }
            }
            _ => {}
        }
        self.advance_queue();
        self.send_ready();
        // Commands refused here unblock others of their room.
        self.advance_queue();
        if self.is_finishing && self.outbox.is_empty() && self.queue.is_idle() && !self.is_ended() {
            self.end(&Error::SessionEnded);
            self.advance_queue();
        }
    }

    fn advance_queue(&mut self) {
        let (queue, mut around) = self.queue();
        let outputs = queue.advance(&mut around);
        self.outputs.extend(outputs);
    }

    fn wake(&mut self) {
        match &mut self.link {
            // The delay asked for by the server still applies.
            Link::Resting { until, not_before } => *until = (*until).min((*not_before).max(self.now)),
            Link::Open(Open { probed: None, .. }) => self.probe(),
            _ => {}
        }
    }
}
