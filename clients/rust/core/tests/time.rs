//! A session over time, on a clock controlled by the test.
#![allow(clippy::unwrap_used, reason = "tests may give up")]

use std::time::Duration;

use parlance_client_core::{Code, ConnectionState, Core, Error, Input, Options, Output, Update};
use parlance_proto::v1;
use parlance_proto::v1::client_frame::Operation;
use parlance_proto::v1::reply::Result as Answer;
use parlance_proto::v1::server_frame::Frame;

const SECOND: Duration = Duration::from_secs(1);

/// A core, and its driver.
struct Session {
    core: Core,
    now: Duration,
    connection: u64,
    /// Outputs since the last check.
    sent: Vec<v1::ClientFrame>,
    answers: Vec<(u64, Result<Answer, Error>)>,
    disconnected: Vec<(Option<Error>, Duration)>,
    stopped: Option<Error>,
    connects: Vec<Duration>,
    token_requests: Vec<bool>,
}

impl Session {
    fn start() -> Self {
        let mut session = Self {
            core: Core::new(Options::default()),
            now: SECOND,
            connection: 0,
            sent: Vec::new(),
            answers: Vec::new(),
            disconnected: Vec::new(),
            stopped: None,
            connects: Vec::new(),
            token_requests: Vec::new(),
        };
        session.input(Input::Start);
        session
    }

    fn open() -> Self {
        let mut session = Self::start();
        session.connect();
        session
    }

    /// The requested connection succeeds, up to the welcome.
    fn connect(&mut self) {
        let connection = self.connection;
        self.input(Input::Connected { connection });
        self.receive(Frame::Welcome(v1::Welcome::default()));
        self.sent.clear();
    }

    fn receive(&mut self, frame: Frame) {
        let connection = self.connection;
        self.input(Input::Received { connection, frame: v1::ServerFrame { frame: Some(frame) } });
    }

    fn lose(&mut self) {
        let connection = self.connection;
        self.input(Input::Lost { connection, error: None });
    }

    /// The server does not accept the token, or no longer does.
    fn refuse_token(&mut self) {
        let (code, reason) = (Code::Unauthenticated.into(), "token_expired".to_owned());
        let error = v1::Error { code, reason, ..Default::default() };
        let (connection, error) = (self.connection, Some(error.into()));
        self.input(Input::Lost { connection, error });
    }

    /// Ticks once, at the next requested time; returns how long that takes.
    fn wait(&mut self) -> Duration {
        let waited = self.core.timeout().unwrap() - self.now;
        self.pass(waited);
        waited
    }

    fn call(&mut self, id: u64) {
        let operation = Operation::GetUser(v1::GetUserRequest { user_id: id.to_string() });
        self.input(Input::Call { id, operation, as_user: String::new() });
    }

    fn answer(&mut self, request_id: &str) {
        let result = Some(Answer::GetUser(v1::GetUserResponse::default()));
        self.receive(Frame::Reply(v1::Reply { request_id: request_id.to_owned(), result }));
    }

    /// Lets time pass, with ticks when the core requests them.
    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(due) = self.core.timeout().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.input(Input::Tick);
        }
        self.now = until;
    }

    fn input(&mut self, input: Input) {
        let mut outputs = self.core.handle(self.now, input);
        while !outputs.is_empty() {
            let mut token = None;
            for output in outputs {
                match output {
                    Output::RequestToken { refused } => {
                        self.token_requests.push(refused);
                        token = Some(Input::Token(Ok("token".to_owned())));
                    }
                    Output::Connect { connection, .. } => {
                        self.connection = connection;
                        self.connects.push(self.now);
                    }
                    Output::Send(frame) => self.sent.push(frame),
                    Output::Answer { id, result } => self.answers.push((id, result)),
                    Output::Update { update: Update::Disconnected { error, retry_in }, .. } => {
                        self.disconnected.push((error, retry_in));
                    }
                    Output::Update { update: Update::Stopped(error), .. } => self.stopped = Some(error),
                    Output::Update { .. } | Output::Disconnect => {}
                    other => panic!("nothing was queued: {other:?}"),
                }
            }
            outputs = token.map(|token| self.core.handle(self.now, token)).unwrap_or_default();
        }
    }

    fn sent_ids(&mut self) -> Vec<String> {
        self.sent.drain(..).map(|frame| frame.request_id).collect()
    }
}

#[test]
fn a_token_that_expires_is_replaced_on_the_same_connection() {
    let mut session = Session::open();
    session.receive(Frame::TokenExpiring(v1::TokenExpiring::default()));
    assert_eq!(session.token_requests, [false, true]);
    let sent = session.sent.drain(..).map(|frame| frame.operation).collect::<Vec<_>>();
    assert_eq!(sent, [Some(Operation::Refresh(v1::Refresh { token: "token".to_owned() }))]);
    // Whether it is accepted or not, the connection goes on, and no call is answered.
    let refused = v1::Error { code: Code::Unauthenticated.into(), ..Default::default() };
    for result in [Answer::Refreshed(v1::Refreshed::default()), Answer::Error(refused)] {
        let request_id = "refresh".to_owned();
        session.receive(Frame::Reply(v1::Reply { request_id, result: Some(result) }));
    }
    assert!(session.answers.is_empty() && session.disconnected.is_empty());
    assert_eq!(session.core.connection_state(), ConnectionState::Online);
    // A token that comes unasked, or late, is not sent.
    session.input(Input::Token(Ok("late".to_owned())));
    assert!(session.sent.is_empty());
}

#[test]
fn a_silent_server_is_probed_and_left() {
    let mut session = Session::open();
    session.pass(SECOND * 24);
    assert_eq!(session.sent_ids(), [""; 0]);
    session.pass(SECOND);
    assert_eq!(session.sent_ids(), ["probe"]);
    session.answer("probe");
    session.pass(SECOND * 24);
    assert!(session.disconnected.is_empty() && session.sent.is_empty());
    session.pass(SECOND);
    assert_eq!(session.sent_ids(), ["probe"]);
    session.pass(SECOND * 10);
    assert!(matches!(&session.disconnected[..], [(Some(Error::Io(_)), _)]), "{:?}", session.disconnected);
}

#[test]
fn a_call_that_is_not_answered_in_time_ends_the_connection_and_is_sent_again() {
    let mut session = Session::open();
    session.call(1);
    assert_eq!(session.sent_ids(), ["0"]);
    // Events arrive meanwhile: the connection is not silent.
    for seq in 1..=25 {
        assert!(session.disconnected.is_empty());
        session.receive(Frame::Event(v1::Event { room_id: "r".to_owned(), seq, ..Default::default() }));
        session.pass(SECOND);
    }
    assert_eq!(session.disconnected.len(), 1);
    session.pass(SECOND);
    session.connect();
    session.call(2);
    assert_eq!(session.sent_ids(), ["1"]);
    session.answer("0");
    session.answer("1");
    assert_eq!(session.answers.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn time_limits_stand_still_while_nothing_is_read() {
    let mut session = Session::open();
    session.call(1);
    session.input(Input::Pause);
    session.pass(SECOND * 300);
    assert!(session.disconnected.is_empty());
    session.input(Input::Resume);
    session.pass(SECOND * 24);
    assert!(session.disconnected.is_empty());
    session.pass(SECOND);
    assert_eq!(session.disconnected.len(), 1);
}

#[test]
fn a_server_that_welcomes_and_hangs_up_is_not_stormed() {
    let mut session = Session::start();
    while session.now < SECOND * 61 {
        session.connect();
        session.lose();
        let due = session.core.timeout().unwrap();
        session.pass(due - session.now);
    }
    assert!(session.connects.len() < 20, "{} connections in a minute", session.connects.len());
    // A connection that lasted resets the delays.
    session.connect();
    session.pass(SECOND * 10);
    session.lose();
    assert!(session.disconnected.last().unwrap().1 <= SECOND / 10);
}

#[test]
fn a_draining_server_answers_calls_until_it_is_left() {
    let mut session = Session::open();
    session.pass(SECOND * 12);
    let reconnect_after = Some((SECOND * 5).try_into().unwrap());
    session.receive(Frame::Draining(v1::Draining { reconnect_after }));
    session.call(1);
    assert_eq!(session.sent_ids(), ["0"]);
    session.answer("0");
    assert_eq!(session.answers.len(), 1);
    session.pass(SECOND * 4);
    assert_eq!(session.connects.len(), 1);
    session.pass(SECOND);
    // Immediately: the delay has already elapsed on the old connection.
    assert_eq!(session.connects, [SECOND, SECOND * 18]);
}

#[test]
fn a_token_is_asked_for_before_every_connection_and_late_ones_are_tried_again() {
    let mut core = Core::new(Options::default());
    assert_eq!(core.handle(SECOND, Input::Start), [Output::RequestToken { refused: false }]);
    let outputs = core.handle(core.timeout().unwrap(), Input::Tick);
    let [Output::Disconnect, Output::Update { update: Update::Disconnected { error, .. }, .. }] =
        &outputs[..]
    else {
        panic!("{outputs:?}")
    };
    assert!(matches!(error, Some(Error::Token(_))));
    let due = core.timeout().unwrap();
    assert_eq!(core.handle(due, Input::Tick), [Output::RequestToken { refused: false }]);

    let mut session = Session::open();
    session.lose();
    session.pass(SECOND);
    assert_eq!(session.token_requests, [false, false]);
}

#[test]
fn waking_probes_an_open_connection_and_cuts_a_delay_short() {
    let mut session = Session::open();
    session.input(Input::Wake);
    assert_eq!(session.sent_ids(), ["probe"]);
    session.pass(SECOND * 10);
    assert_eq!(session.disconnected.len(), 1);
    session.input(Input::Wake);
    assert_eq!(session.connects, [SECOND, SECOND * 11]);
}

#[test]
fn a_typing_signal_is_not_kept_for_later() {
    let mut session = Session::open();
    session.lose();
    let typing = Operation::SendTyping(v1::SendTypingRequest::default());
    session.input(Input::Call { id: 1, operation: typing, as_user: String::new() });
    assert!(matches!(&session.answers[..], [(1, Err(Error::Io(_)))]));
}

#[test]
fn a_second_fresh_token_is_tried_some_seconds_after_the_first_was_refused() {
    let mut session = Session::start();
    session.refuse_token();
    assert!(session.wait() < SECOND, "the first one at once");
    session.refuse_token();
    // A wake does not shorten it: the cause of the refusals needs time to
    // disappear.
    session.input(Input::Wake);
    assert_eq!(session.connects.len(), 2);
    assert!(session.wait() > SECOND * 2);
    session.connect();
    assert_eq!((session.token_requests, session.stopped), (vec![false, true, true], None));
}

#[test]
fn a_session_ends_once_two_fresh_tokens_were_refused() {
    let mut session = Session::open();
    session.pass(SECOND * 12);
    session.call(1);
    for _ in 0..2 {
        session.refuse_token();
        session.wait();
    }
    assert_eq!(session.stopped, None);
    session.refuse_token();
    let error = session.stopped.unwrap();
    assert!(error.refuses_identity());
    assert_eq!(session.answers, [(1, Err(error))]);
}

#[test]
fn tokens_that_are_welcomed_and_refused_within_seconds_end_nothing_and_make_no_storm() {
    let mut session = Session::start();
    while session.now < SECOND * 61 {
        session.connect();
        session.refuse_token();
        session.wait();
    }
    assert_eq!(session.stopped, None);
    assert!(session.connects.len() < 25, "{} connections in a minute", session.connects.len());
}

#[test]
fn every_state_of_a_session_can_be_seen() {
    let mut core = Core::new(Options::default());
    let mut seen = vec![core.connection_state()];
    let frame = |frame| v1::ServerFrame { frame: Some(frame) };
    let reconnect_after = Some((SECOND * 5).try_into().unwrap());
    let inputs = [
        Input::Start,
        Input::Token(Ok("token".to_owned())),
        Input::Connected { connection: 1 },
        Input::Received { connection: 1, frame: frame(Frame::Welcome(v1::Welcome::default())) },
        Input::Received { connection: 1, frame: frame(Frame::Draining(v1::Draining { reconnect_after })) },
        Input::Lost { connection: 1, error: None },
        Input::Wake,
        Input::Close,
    ];
    for input in inputs {
        core.handle(SECOND, input);
        seen.push(core.connection_state());
    }
    use ConnectionState::*;
    // A wake does not shorten the server's delay.
    let expected = [Idle, AwaitingToken, Connecting, Greeting, Online, Draining, Waiting, Waiting, Ended];
    assert_eq!(seen, expected);
    let online: Vec<_> = seen.into_iter().filter(|state| state.is_online()).collect();
    assert_eq!(online, [Online, Draining]);
}
