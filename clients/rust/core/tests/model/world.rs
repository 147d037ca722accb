use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use parlance_client_core::{CallId, Code, Core, Encoding, Error, Input, Options, Output, Update};
use parlance_proto::v1;
use parlance_proto::v1::client_frame::Operation;
use parlance_proto::v1::reply::Result as Answer;
use parlance_proto::v1::send_message_request::Target;
use parlance_proto::v1::server_frame::Frame;

pub(crate) const USER: &str = "ann";
pub(crate) const ROOMS: usize = 3;
/// Events that the server searches for a repeat, and pushes on resume.
pub(crate) const REACH: usize = 6;
pub(crate) const PAGE: usize = 3;

#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// The application sends a message to a room.
    Send(usize),
    /// It cancels a call.
    Cancel(usize),
    /// Another user does.
    Speak(usize),
    /// The server reads one frame.
    Serve,
    /// The client reads one frame.
    Deliver,
    /// The core's request to the network or the token provider succeeds.
    Network,
    /// It fails.
    NetworkFails,
    Lose,
    /// The next operation is refused temporarily.
    Refuse(Code),
    /// The next hello is refused.
    RefuseHello(Code),
    /// The server ends the stream with an error that answers no call.
    HangUp(Code),
    Drain,
    Pause,
    Resume,
    Wake,
    Pass(u64),
}

/// The server's end of the only connection.
#[derive(Default)]
pub(super) struct Wire {
    number: u64,
    pub(super) to_server: VecDeque<v1::ClientFrame>,
    pub(super) to_client: VecDeque<v1::ServerFrame>,
    pub(super) is_welcomed: bool,
    pub(super) error: Option<Error>,
    pub(super) is_over: bool,
}

pub(crate) struct World {
    pub(crate) core: Core,
    pub(super) now: Duration,
    /// Requested by the core and still outstanding.
    pub(super) pending: Option<Input>,
    pub(super) wire: Option<Wire>,
    /// For each room: the author and request id of each event.
    pub(crate) logs: Vec<Vec<(String, String)>>,
    pub(super) refuse: Option<Code>,
    pub(crate) refuse_hello: Option<Code>,
    pub(crate) has_refused: bool,
    /// A hello was refused as invalid: later ones have fewer cursors.
    pub(super) is_hello_shortened: bool,
    pub(super) is_paused: bool,
    /// The application's side.
    pub(crate) next_call: CallId,
    pub(super) waiting: BTreeSet<CallId>,
    pub(crate) rooms_of: BTreeMap<CallId, usize>,
    pub(crate) answers: BTreeMap<CallId, v1::SendMessageResponse>,
    pub(crate) cancelled: BTreeSet<CallId>,
    /// The last seq of each room that was received or covered by a gap.
    pub(super) have: Vec<u64>,
    /// The request of each call as it was sent.
    pub(crate) ids: BTreeMap<CallId, v1::SendMessageRequest>,
}

pub(super) fn room(id: &str) -> usize {
    id.strip_prefix('r').unwrap().parse().unwrap()
}

pub(super) fn failure(code: Code) -> v1::Error {
    let retry_delay = (code == Code::ResourceExhausted).then_some(Duration::from_secs(2));
    v1::Error {
        code: code.into(),
        reason: "because".to_owned(),
        retry_delay: retry_delay.map(|delay| delay.try_into().unwrap()),
        ..Default::default()
    }
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let addresses = vec![Encoding::Json, Encoding::Protobuf];
        let options = Options { addresses, max_in_flight: 4, seed: [seed, 1], ..Options::default() };
        let mut world = Self {
            core: Core::new(options),
            now: Duration::from_secs(1_000),
            pending: None,
            wire: None,
            logs: vec![Vec::new(); ROOMS],
            refuse: None,
            refuse_hello: None,
            has_refused: false,
            is_hello_shortened: false,
            is_paused: false,
            next_call: 0,
            waiting: BTreeSet::new(),
            rooms_of: BTreeMap::new(),
            answers: BTreeMap::new(),
            cancelled: BTreeSet::new(),
            have: vec![0; ROOMS],
            ids: BTreeMap::new(),
        };
        world.input(Input::Start);
        world
    }

    pub(crate) fn step(&mut self, step: Step) {
        match step {
            Step::Send(room) => {
                let id = self.next_call;
                self.next_call += 1;
                let target = Some(Target::RoomId(format!("r{room}")));
                let message = v1::SendMessageRequest { target, text: id.to_string(), ..Default::default() };
                self.waiting.insert(id);
                self.rooms_of.insert(id, room);
                self.input(Input::Call {
                    id,
                    operation: Operation::SendMessage(message),
                    as_user: String::new(),
                });
            }
            Step::Cancel(number) => {
                if let Some(id) = self.waiting.iter().nth(number).copied() {
                    self.waiting.remove(&id);
                    self.cancelled.insert(id);
                    self.input(Input::Cancel(id));
                }
            }
            Step::Speak(room) => {
                let id = format!("bob-{}", self.logs[room].len());
                self.append(room, "bob", &id);
            }
            Step::Serve => self.serve(),
            Step::Deliver if self.is_paused => {}
            Step::Deliver => {
                let Some(wire) = &mut self.wire else { return };
                let connection = wire.number;
                match wire.to_client.pop_front() {
                    Some(frame) => self.input(Input::Received { connection, frame }),
                    None if wire.is_over => {
                        let error = wire.error.take();
                        self.wire = None;
                        self.input(Input::Lost { connection, error });
                    }
                    None => {}
                }
            }
            Step::Network => match self.pending.take() {
                Some(Input::Connected { connection }) => {
                    self.wire = Some(Wire { number: connection, ..Wire::default() });
                    self.input(Input::Connected { connection });
                }
                Some(input) => self.input(input),
                None => {}
            },
            Step::NetworkFails => match self.pending.take() {
                Some(Input::Connected { connection }) => {
                    let error = Some(Error::Http { status: 403 });
                    self.input(Input::Lost { connection, error });
                }
                Some(Input::Token(_)) => self.input(Input::Token(Err("offline".to_owned()))),
                _ => {}
            },
            Step::Lose => {
                if let Some(wire) = self.wire.take() {
                    self.input(Input::Lost {
                        connection: wire.number,
                        error: Some(Error::Io("cut".to_owned())),
                    });
                }
            }
            Step::Refuse(code) => self.refuse = Some(code),
            Step::RefuseHello(code) => self.refuse_hello = Some(code),
            Step::HangUp(code) => {
                if let Some(wire) = self.wire.as_mut().filter(|wire| wire.is_welcomed) {
                    let result = Some(Answer::Error(failure(code)));
                    let reply = v1::Reply { request_id: String::new(), result };
                    wire.push(Frame::Reply(reply));
                    wire.is_over = true;
                }
            }
            Step::Drain => {
                if let Some(wire) = self.wire.as_mut().filter(|wire| wire.is_welcomed) {
                    let reconnect_after = Some(Duration::from_secs(3).try_into().unwrap());
                    wire.push(Frame::Draining(v1::Draining { reconnect_after }));
                }
            }
            Step::Pause => {
                self.is_paused = true;
                self.input(Input::Pause);
            }
            Step::Resume => {
                self.is_paused = false;
                self.input(Input::Resume);
            }
            Step::Wake => self.input(Input::Wake),
            Step::Pass(millis) => {
                self.now += Duration::from_millis(millis);
                if self.core.timeout().is_some_and(|due| due <= self.now) {
                    self.input(Input::Tick);
                }
            }
        }
    }

    /// No more failures until nothing is left to do.
    pub(crate) fn heal(&mut self) {
        self.refuse = None;
        self.refuse_hello = None;
        self.step(Step::Resume);
        for _ in 0..3_000 {
            let is_busy = self.pending.is_some()
                || self.wire.as_ref().is_some_and(|wire| {
                    wire.is_over || !wire.to_server.is_empty() || !wire.to_client.is_empty()
                });
            if is_busy {
                self.step(Step::Network);
                self.step(Step::Serve);
                self.step(Step::Deliver);
            } else if self.waiting.is_empty() && self.is_caught_up() {
                return;
            } else {
                let due = self.core.timeout().expect("there is something to wait for");
                self.now = self.now.max(due);
                self.input(Input::Tick);
            }
        }
        panic!("not quiet in the end: {:?} wait, have {:?}", self.waiting, self.have);
    }

    fn is_caught_up(&self) -> bool {
        self.have.iter().zip(&self.logs).all(|(have, log)| *have == log.len() as u64)
    }

    fn input(&mut self, input: Input) {
        for output in self.core.handle(self.now, input) {
            match output {
                Output::RequestToken { .. } => self.pending = Some(Input::Token(Ok("token".to_owned()))),
                Output::Connect { connection, .. } => self.pending = Some(Input::Connected { connection }),
                Output::Disconnect => {
                    self.pending = None;
                    self.wire = None;
                }
                Output::Send(frame) => self.wire.as_mut().expect("a connection").to_server.push_back(frame),
                Output::Answer { id, result } => {
                    assert!(self.waiting.remove(&id), "{id} is answered twice, or to nobody");
                    match result {
                        Ok(Answer::SendMessage(response)) => {
                            self.answers.insert(id, response);
                        }
                        // The end of the session fails pending calls.
                        Err(error) if self.core.is_ended() => assert!(error.refuses_identity(), "{error}"),
                        other => panic!("{id}: {other:?}"),
                    }
                }
                Output::Update { update, cursor } => self.update(update, cursor),
                other => panic!("nothing was queued: {other:?}"),
            }
        }
        assert!(self.core.timeout().is_some() || self.core.is_ended() || self.is_paused);
    }

    fn update(&mut self, update: Update, cursor: Option<v1::Cursor>) {
        match update {
            Update::Event(event) => {
                let have = &mut self.have[room(&event.room_id)];
                assert_eq!(event.seq, *have + 1, "{event:?}");
                *have = event.seq;
                assert_eq!(cursor.unwrap().seq, event.seq);
            }
            Update::Gap(gap) => {
                let have = &mut self.have[room(&gap.room_id)];
                assert_eq!(gap.from_seq, *have + 1, "{gap:?}");
                *have = gap.to_seq;
                assert_eq!(cursor.unwrap().seq, gap.to_seq);
            }
            Update::Violation(violation) => panic!("{violation:?}"),
            Update::Stopped(error) => assert!(error.refuses_identity(), "{error}"),
            Update::Connected(_) | Update::Disconnected { .. } | Update::Signal(_) => {}
            Update::Command(_) | Update::Storage(_) => panic!("nothing was queued: {update:?}"),
        }
    }
}

impl Wire {
    pub(super) fn push(&mut self, frame: Frame) {
        if !self.is_over {
            self.to_client.push_back(v1::ServerFrame { frame: Some(frame) });
        }
    }
}
