//! The session as a state machine.

use std::time::Duration;

use parlance_proto::v1;
use parlance_proto::v1::client_frame::Operation;
use parlance_proto::v1::reply::Result as Answer;
use parlance_proto::v1::server_frame::Frame;

use crate::backoff;
use crate::outbox::Outbox;
use crate::random::Random;
use crate::rooms::{Rooms, Verdict};
use crate::session::{CallId, Input, Options, Output, Update};
use crate::{Code, Encoding, Error, Failure};

/// A connection that lasted this long was a good one. Delays go on doubling until then, so
/// that a server that welcomes and hangs up is not stormed.
const STABLE: Duration = Duration::from_secs(10);

/// How long a token may take.
const TOKEN_TIMEOUT: Duration = Duration::from_secs(30);

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// How long the server may take to answer hello.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(15);

/// How long the server may take to answer a call: more than its own deadline for one.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(25);

/// After this long without a frame the server is asked something. A proxy answers the
/// pings of the transport for a server that is gone.
const SILENCE: Duration = Duration::from_secs(25);

/// How long that may take.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);

/// Between a refused token and the next one: what was refused in passing, because a clock
/// was wrong or a key not yet read, is not refused twice.
const REFUSAL_PAUSE: Duration = Duration::from_secs(4);

/// Largest frame before a welcome has said it: what servers allow by default.
const DEFAULT_FRAME_BYTES: usize = 128 * 1024;

/// Ids of frames that are no calls: those have numbers.
const HELLO: &str = "hello";
const PROBE: &str = "probe";

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

#[derive(Debug, Default)]
struct Token {
    /// The last one was refused.
    want_fresh: bool,
    /// The current one was asked for as a fresh one, and has not proved itself yet.
    is_fresh: bool,
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

    /// Does what is due.
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
                    let seconds = ANSWER_TIMEOUT.as_secs();
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

    fn request_token(&mut self) {
        self.link = Link::Token { since: self.now };
        self.outputs.push(Output::RequestToken { refused: self.token.want_fresh });
    }

    fn connect(&mut self, token: String) {
        self.token.is_fresh |= std::mem::take(&mut self.token.want_fresh);
        self.connection += 1;
        self.link = Link::Connecting { since: self.now };
        let address = self.address % self.options.addresses.len();
        self.outputs.push(Output::Connect { connection: self.connection, address, token });
    }

    fn encoding(&self) -> Encoding {
        self.options.addresses[self.address % self.options.addresses.len()]
    }

    /// Says hello, with as many cursors as fit into a frame.
    fn greet(&mut self) {
        if !matches!(self.link, Link::Connecting { .. }) {
            return;
        }
        self.link = Link::Greeting { since: self.now };
        let encoding = self.encoding();
        let device_id = self.options.device_id.clone();
        let mut hello = v1::Hello { device_id, cursors: Vec::new() };
        let frame = |hello| v1::ClientFrame {
            request_id: HELLO.to_owned(),
            operation: Some(Operation::Hello(hello)),
        };
        // The name of the field comes with the first cursor.
        let around = encoding.size(&frame(hello.clone())).unwrap_or_default() + r#""cursors":[],"#.len();
        let budget = self.limits.frame_bytes.saturating_sub(around).min(self.limits.cursor_bytes);
        hello.cursors = self.rooms.cursors(encoding, budget);
        self.limits.cursors_sent = hello.cursors.iter().map(|cursor| encoding.cursor_size(cursor)).sum();
        self.outputs.push(Output::Send(frame(hello)));
    }

    fn greeted(&mut self, frame: v1::ServerFrame) {
        match frame.frame {
            Some(Frame::Welcome(welcome)) => self.open(welcome),
            Some(Frame::Reply(v1::Reply { result: Some(Answer::Error(error)), .. })) => {
                self.lost(Some(error.into()));
            }
            _ => self.lost(Some(Error::Protocol("the first frame is no welcome".to_owned()))),
        }
    }

    fn open(&mut self, welcome: v1::Welcome) {
        self.rooms.connected(&welcome);
        self.outbox.reconnected();
        let limits = welcome.limits.unwrap_or_default();
        let allowed = |limit: u32| if limit == 0 { usize::MAX } else { limit as usize };
        self.limits.frame_bytes = allowed(limits.max_frame_bytes);
        self.link = Link::Open(Open {
            since: self.now,
            max_in_flight: self.options.max_in_flight.min(allowed(limits.max_in_flight)).max(1),
            leave_at: None,
            heard: self.now,
            probed: None,
            last_words: None,
        });
        self.update(Update::Connected(welcome));
    }

    fn received(&mut self, frame: v1::ServerFrame) {
        let now = self.now;
        let Link::Open(open) = &mut self.link else { return };
        open.heard = now;
        open.probed = None;
        match frame.frame {
            Some(Frame::Reply(v1::Reply { request_id, result: Some(Answer::Error(error)) }))
                if request_id.is_empty() =>
            {
                open.last_words = Some(error.into());
            }
            Some(Frame::Reply(reply)) => {
                let answered = self.outbox.answered(now, reply, &mut self.rooms, &mut self.random);
                if let Some((id, result)) = answered {
                    self.answer(id, result);
                }
            }
            Some(Frame::Event(event)) => {
                let verdict = self.rooms.event(&event);
                let room_id = event.room_id.clone();
                self.hand_over(verdict, &room_id, Update::Event(event));
            }
            Some(Frame::Gap(mut gap)) => {
                let verdict = self.rooms.gap(&mut gap);
                let room_id = gap.room_id.clone();
                self.hand_over(verdict, &room_id, Update::Gap(gap));
            }
            Some(Frame::Signal(signal)) => self.update(Update::Signal(signal)),
            Some(Frame::Draining(draining)) => {
                let asked = draining.reconnect_after.and_then(|delay| delay.try_into().ok());
                open.leave_at.get_or_insert(now + asked.unwrap_or(Duration::ZERO));
            }
            // A second welcome means nothing, and a frame of a later version neither.
            Some(Frame::Welcome(_)) | None => {}
        }
    }

    fn hand_over(&mut self, verdict: Verdict, room_id: &str, update: Update) {
        if let Some(violation) = verdict.violation {
            self.update(Update::Violation(violation));
        }
        if verdict.deliver {
            let cursor = self.rooms.cursor(room_id);
            self.outputs.push(Output::Update { update, cursor });
        }
    }

    /// Sends the calls that are ready, as far as the server takes them. One that the
    /// server would close the connection over is refused here, or it would do so for ever.
    fn send_ready(&mut self) {
        let Link::Open(open) = &self.link else { return };
        let (max_in_flight, limit, encoding) = (open.max_in_flight, self.limits.frame_bytes, self.encoding());
        self.outbox.wake(self.now);
        while let Some((id, frame)) = self.outbox.next_frame(max_in_flight, &self.rooms) {
            let refusal = match encoding.size(&frame) {
                Ok(size) if size <= limit => {
                    self.outbox.sent(id, self.now);
                    self.outputs.push(Output::Send(frame));
                    continue;
                }
                Ok(size) => {
                    let message = format!("the request has {size} bytes, and a frame at most {limit}");
                    Failure::new(Code::InvalidArgument, "frame_too_large", message).into()
                }
                Err(error) => error,
            };
            self.outbox.cancel(id);
            self.answer(id, Err(refusal));
        }
    }

    /// When the oldest call on the wire has waited too long.
    fn answer_due(&self) -> Option<Duration> {
        Some(self.outbox.oldest_sent()?.max(self.reading?) + ANSWER_TIMEOUT)
    }

    /// When the server has to be probed, or has not answered the probe.
    fn silence_due(&self, open: &Open) -> Option<Duration> {
        let reading = self.reading?;
        Some(match open.probed {
            None => open.heard.max(reading) + SILENCE,
            Some(probed) => probed.max(reading) + PROBE_TIMEOUT,
        })
    }

    fn silent(&mut self) {
        match &self.link {
            Link::Open(Open { probed: None, .. }) => self.probe(),
            _ => self.lost(Some(Error::Io("nothing was heard from the server".to_owned()))),
        }
    }

    fn probe(&mut self) {
        let Link::Open(open) = &mut self.link else { return };
        open.probed = Some(self.now);
        let operation = Operation::GetUser(v1::GetUserRequest { user_id: "me".to_owned() });
        let frame = v1::ClientFrame { request_id: PROBE.to_owned(), operation: Some(operation) };
        self.outputs.push(Output::Send(frame));
    }

    fn wake(&mut self) {
        match &mut self.link {
            // What the server asked for stands.
            Link::Resting { until, not_before } => *until = (*until).min((*not_before).max(self.now)),
            Link::Open(Open { probed: None, .. }) => self.probe(),
            _ => {}
        }
    }

    /// The delay that a draining server asked for is over, on the old connection.
    fn drained(&mut self) {
        let is_stable = self.disconnect().is_some_and(|open| self.is_stable(&open));
        let retry_in = if is_stable { Duration::ZERO } else { self.next_delay() };
        self.rest(None, retry_in, Duration::ZERO);
    }

    fn lost(&mut self, error: Option<Error>) {
        let was_greeting = matches!(self.link, Link::Greeting { .. });
        let mut error = error;
        if let Some(open) = self.disconnect() {
            // The end of the stream says less than the error before it.
            if !matches!(error, Some(Error::Status(_))) {
                error = open.last_words.or(error);
            }
            if let Some(leave_at) = open.leave_at {
                // A server that drains may end the stream before the delay is over.
                let mut wait = Failure::new(Code::Unavailable, "draining", "the server is draining");
                wait.retry_after = Some(leave_at.saturating_sub(self.now));
                error = Some(wait.into());
            }
        }
        let mut asked = Duration::ZERO;
        if let Some(error) = &error {
            if error.refuses_identity() && self.token.is_fresh {
                return self.end(error);
            }
            self.token.want_fresh |= error.wants_fresh_token();
            asked = error.retry_after().unwrap_or_default();
            if error.blames_a_frame() && was_greeting {
                self.limits.cursor_bytes = self.limits.cursors_sent / 2;
            } else if error.blames_a_frame()
                && let Some(id) = self.outbox.blame()
            {
                self.answer(id, Err(error.clone()));
            }
        }
        let mut delay = self.next_delay();
        if self.token.want_fresh {
            delay = delay.max(self.random.jittered(REFUSAL_PAUSE));
        }
        self.rest(error, delay, asked);
    }

    /// Leaves the connection, if there is one; returns how it was.
    fn disconnect(&mut self) -> Option<Open> {
        self.outputs.push(Output::Disconnect);
        let link = std::mem::replace(&mut self.link, Link::Idle);
        let Link::Open(open) = link else { return None };
        if self.is_stable(&open) {
            self.failures = 0;
            self.token.is_fresh = false;
        }
        Some(open)
    }

    fn is_stable(&self, open: &Open) -> bool {
        self.now.saturating_sub(open.since) >= STABLE
    }

    fn next_delay(&mut self) -> Duration {
        let delay = backoff::delay(self.failures, &mut self.random);
        self.failures = self.failures.saturating_add(1);
        delay
    }

    fn rest(&mut self, error: Option<Error>, delay: Duration, asked: Duration) {
        self.address += 1;
        for id in self.outbox.disconnected() {
            self.answer(id, Err(not_connected()));
        }
        let retry_in = delay.max(asked);
        self.link = Link::Resting { until: self.now + retry_in, not_before: self.now + asked };
        self.update(Update::Disconnected { error, retry_in });
    }

    fn end(&mut self, error: &Error) {
        self.disconnect();
        self.link = Link::Ended;
        for id in self.outbox.clear() {
            self.answer(id, Err(error.clone()));
        }
        self.update(Update::Stopped(error.clone()));
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
