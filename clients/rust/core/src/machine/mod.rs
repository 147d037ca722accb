//! The session as a state machine.

mod ending;
mod opening;
mod serving;
mod token;

use std::time::Duration;

use parlance_proto::v1::client_frame::Operation;
use parlance_proto::v1::reply::Result as Answer;

use crate::Error;
use crate::outbox::Outbox;
use crate::random::Random;
use crate::rooms::Rooms;
use crate::session::{CallId, ConnectionState, Input, Options, Output, Update};

use token::Token;

/// How long a token may take.
const TOKEN_TIMEOUT: Duration = Duration::from_secs(30);

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// How long the server may take to answer hello.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(15);

/// Largest frame before a welcome has said it: what servers allow by default.
const DEFAULT_FRAME_BYTES: usize = 128 * 1024;

/// A session without I/O; see the crate's documentation.
#[derive(Debug)]
pub struct Core {
    options: Options,
    random: Random,
    rooms: Rooms,
    outbox: Outbox,
    link: Link,
    /// The last time that was passed in: time does not run backwards.
    now: Duration,
    /// Numbers connections; that of the current one, if any.
    connection: u64,
    /// Which address comes next, counted on.
    address: usize,
    /// Connections in a row that were no good.
    failures: u32,
    token: Token,
    limits: Limits,
    /// Since when frames are read; `None` while they are not.
    reading: Option<Duration>,
    /// No more calls will come.
    is_finishing: bool,
    outputs: Vec<Output>,
}

#[derive(Debug)]
enum Link {
    /// Not started.
    Idle,
    /// Between two connections. The server may have asked to stay away until `not_before`.
    Resting {
        until: Duration,
        not_before: Duration,
    },
    /// Waiting for a token.
    Token {
        since: Duration,
    },
    Connecting {
        since: Duration,
    },
    /// Hello is sent.
    Greeting {
        since: Duration,
    },
    Open(Open),
    Ended,
}

#[derive(Debug)]
struct Open {
    since: Duration,
    max_in_flight: usize,
    /// When to leave a server that is draining.
    leave_at: Option<Duration>,
    /// When the last frame came.
    heard: Duration,
    /// When the server was asked whether it is there.
    probed: Option<Duration>,
    /// An error that answers no call: over WebSocket, why the close that follows.
    last_words: Option<Error>,
}

#[derive(Debug)]
struct Limits {
    frame_bytes: usize,
    /// Most that the cursors of a hello may take, bytes: less after one was refused.
    cursor_bytes: usize,
    /// What they took last.
    cursors_sent: usize,
}

impl Core {
    /// A session that has not begun: the first input is [`Input::Start`].
    pub fn new(mut options: Options) -> Self {
        let rooms = Rooms::new(std::mem::take(&mut options.cursors));
        let [one, two] = options.seed;
        Self {
            random: Random::new(one ^ two.rotate_left(32)),
            rooms,
            outbox: Outbox::new(format!("{one:016x}{two:016x}")),
            link: Link::Idle,
            now: Duration::ZERO,
            connection: 0,
            address: 0,
            failures: 0,
            token: Token::default(),
            limits: Limits { frame_bytes: DEFAULT_FRAME_BYTES, cursor_bytes: usize::MAX, cursors_sent: 0 },
            reading: Some(Duration::ZERO),
            is_finishing: false,
            outputs: Vec::new(),
            options,
        }
    }

    /// Takes what happened at `now`, a time since any fixed moment, and returns what to do.
    pub fn handle(&mut self, now: Duration, input: Input) -> Vec<Output> {
        self.now = self.now.max(now);
        self.take(input);
        self.advance();
        std::mem::take(&mut self.outputs)
    }

    /// When to call [`Core::handle`] again at the latest, with [`Input::Tick`].
    pub fn timeout(&self) -> Option<Duration> {
        match &self.link {
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
        }
    }

    /// Where the session stands after what was passed in.
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

    /// Whether [`Update::Stopped`] was handed out: nothing follows.
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
            Input::Connected { connection } if connection == self.connection => self.greet(),
            Input::Received { connection, frame } if connection == self.connection => match &self.link {
                Link::Greeting { .. } => self.greeted(frame),
                Link::Open(_) => self.received(frame),
                _ => {}
            },
            Input::Lost { connection, error } if connection == self.connection && self.is_connecting() => {
                self.lost(error);
            }
            Input::Call { id, .. } if self.is_ended() => self.answer(id, Err(Error::SessionEnded)),
            Input::Call { id, operation } => {
                if is_momentary(&operation) && !matches!(self.link, Link::Open(_)) {
                    return self.answer(id, Err(not_connected()));
                }
                self.outbox.push(id, operation);
            }
            Input::Cancel(id) => self.outbox.cancel(id),
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
        self.send_ready();
        if self.is_finishing && self.outbox.is_empty() && !self.is_ended() {
            self.end(&Error::SessionEnded);
        }
    }

    fn is_connecting(&self) -> bool {
        matches!(self.link, Link::Connecting { .. } | Link::Greeting { .. } | Link::Open(_))
    }

    fn wake(&mut self) {
        match &mut self.link {
            // What the server asked for stands.
            Link::Resting { until, not_before } => *until = (*until).min((*not_before).max(self.now)),
            Link::Open(Open { probed: None, .. }) => self.probe(),
            _ => {}
        }
    }

    fn answer(&mut self, id: CallId, result: Result<Answer, Error>) {
        self.outputs.push(Output::Answer { id, result });
    }

    fn update(&mut self, update: Update) {
        self.outputs.push(Output::Update { update, cursor: None });
    }
}

/// Whether an operation is of the moment only: late, it would be wrong.
pub(crate) fn is_momentary(operation: &Operation) -> bool {
    matches!(operation, Operation::SendTyping(_))
}

fn not_connected() -> Error {
    Error::Io("not connected".to_owned())
}
