//! A session against a small model of a server, over a network that loses, delays and
//! refuses whatever chance says: every call is answered once and carried out once, and the
//! application gets every event of a room in order, or a gap that names it.
#![allow(clippy::unwrap_used, reason = "tests may give up")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use parlance_client_core::{CallId, Code, Core, Encoding, Error, Failure, Input, Options, Output, Update};
use parlance_proto::v1;
use parlance_proto::v1::client_frame::Operation;
use parlance_proto::v1::reply::Result as Answer;
use parlance_proto::v1::send_message_request::Target;
use parlance_proto::v1::server_frame::Frame;
use proptest::prelude::*;

const USER: &str = "ann";
const ROOMS: usize = 3;
/// Events that the server looks through for a repeat, and pushes at a resume.
const REACH: usize = 6;
const PAGE: usize = 3;

#[derive(Debug, Clone)]
enum Step {
    /// The application sends a message to a room.
    Send(usize),
    /// It gives up a call.
    Cancel(usize),
    /// Somebody else does.
    Speak(usize),
    /// The server reads one frame.
    Serve,
    /// The client reads one frame.
    Deliver,
    /// What the client asked the network and the token provider for happens.
    Network,
    /// It fails.
    NetworkFails,
    Lose,
    /// The next operation is refused in passing.
    Refuse(Code),
    /// The next hello is refused.
    RefuseHello(Code),
    /// The server ends the stream with an error that answers nothing.
    HangUp(Code),
    Drain,
    Pause,
    Resume,
    Wake,
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let passing =
        prop_oneof![Just(Code::Unavailable), Just(Code::DeadlineExceeded), Just(Code::ResourceExhausted)];
    let refusing = prop_oneof![
        Just(Code::Unauthenticated),
        Just(Code::PermissionDenied),
        Just(Code::NotFound),
        Just(Code::Unimplemented),
        Just(Code::Internal),
        Just(Code::Unavailable),
        Just(Code::InvalidArgument),
    ];
    let hang_up = prop_oneof![Just(Code::Internal), Just(Code::Unavailable), Just(Code::PermissionDenied)];
    let step = prop_oneof![
        6 => (0..ROOMS).prop_map(Step::Send),
        1 => (0..8_usize).prop_map(Step::Cancel),
        4 => (0..ROOMS).prop_map(Step::Speak),
        8 => Just(Step::Serve),
        8 => Just(Step::Deliver),
        6 => Just(Step::Network),
        1 => Just(Step::NetworkFails),
        2 => Just(Step::Lose),
        1 => passing.prop_map(Step::Refuse),
        1 => refusing.prop_map(Step::RefuseHello),
        1 => hang_up.prop_map(Step::HangUp),
        1 => Just(Step::Drain),
        1 => Just(Step::Pause),
        1 => Just(Step::Resume),
        1 => Just(Step::Wake),
        4 => (1..12_000_u64).prop_map(Step::Pass),
    ];
    prop::collection::vec(step, 1..160)
}

/// The server's end of the one connection.
#[derive(Default)]
struct Wire {
    number: u64,
    to_server: VecDeque<v1::ClientFrame>,
    to_client: VecDeque<v1::ServerFrame>,
    is_welcomed: bool,
    error: Option<Error>,
    is_over: bool,
}

struct World {
    core: Core,
    now: Duration,
    /// Asked for by the core and not happened yet.
    pending: Option<Input>,
    wire: Option<Wire>,
    /// Of each room: who wrote under which request id.
    logs: Vec<Vec<(String, String)>>,
    refuse: Option<Code>,
    refuse_hello: Option<Code>,
    has_refused: bool,
    /// A hello was refused as invalid: later ones say less.
    is_hello_shortened: bool,
    is_paused: bool,
    /// The application's side.
    next_call: CallId,
    waiting: BTreeSet<CallId>,
    rooms_of: BTreeMap<CallId, usize>,
    answers: BTreeMap<CallId, v1::SendMessageResponse>,
    cancelled: BTreeSet<CallId>,
    /// The last seq of each room that came or was named by a gap.
    have: Vec<u64>,
    /// The request id under which each call went out.
    ids: BTreeMap<CallId, v1::SendMessageRequest>,
}

fn room(id: &str) -> usize {
    id.strip_prefix('r').unwrap().parse().unwrap()
}

fn failure(code: Code) -> v1::Error {
    let retry_delay = (code == Code::ResourceExhausted).then_some(Duration::from_secs(2));
    v1::Error {
        code: code.into(),
        reason: "because".to_owned(),
        retry_delay: retry_delay.map(|delay| delay.try_into().unwrap()),
        ..Default::default()
    }
}

impl World {
    fn new(seed: u64) -> Self {
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

    fn step(&mut self, step: Step) {
        match step {
            Step::Send(room) => {
                let id = self.next_call;
                self.next_call += 1;
                let target = Some(Target::RoomId(format!("r{room}")));
                let message = v1::SendMessageRequest { target, text: id.to_string(), ..Default::default() };
                self.waiting.insert(id);
                self.rooms_of.insert(id, room);
                self.input(Input::Call { id, operation: Operation::SendMessage(message) });
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

    /// Everything goes well until nothing is left to do.
    fn heal(&mut self) {
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
                        // The end of the session fails what waits.
                        Err(error) if self.core.is_ended() => assert!(error.refuses_identity(), "{error}"),
                        other => panic!("{id}: {other:?}"),
                    }
                }
                Output::Update { update, cursor } => self.update(update, cursor),
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
        }
    }

    fn append(&mut self, room: usize, actor: &str, id: &str) -> u64 {
        self.logs[room].push((actor.to_owned(), id.to_owned()));
        let seq = self.logs[room].len() as u64;
        let event = self.event(room, seq);
        if let Some(wire) = self.wire.as_mut().filter(|wire| wire.is_welcomed) {
            wire.push(Frame::Event(event));
        }
        seq
    }

    fn event(&self, room: usize, seq: u64) -> v1::Event {
        let (actor_id, request_id) = self.logs[room][seq as usize - 1].clone();
        v1::Event { room_id: format!("r{room}"), seq, actor_id, request_id, ..Default::default() }
    }

    fn serve(&mut self) {
        let Some(frame) =
            self.wire.as_mut().filter(|wire| !wire.is_over).and_then(|wire| wire.to_server.pop_front())
        else {
            return;
        };
        let request_id = frame.request_id;
        let result = match frame.operation.unwrap() {
            Operation::Hello(hello) => return self.welcome(&hello),
            Operation::GetUser(_) => Answer::GetUser(v1::GetUserResponse::default()),
            Operation::ListEvents(request) => self.page(&request),
            Operation::SendMessage(message) => match self.refuse.take() {
                Some(code) => {
                    self.has_refused = true;
                    // Past its deadline it may have been carried out.
                    if code == Code::DeadlineExceeded {
                        self.send(&message);
                    }
                    Answer::Error(failure(code))
                }
                None => self.send(&message),
            },
            other => panic!("{other:?}"),
        };
        let reply = v1::Reply { request_id, result: Some(result) };
        self.wire.as_mut().unwrap().push(Frame::Reply(reply));
    }

    fn send(&mut self, message: &v1::SendMessageRequest) -> Answer {
        let Some(Target::RoomId(room_id)) = &message.target else { panic!() };
        let (room, id) = (room(room_id), &message.client_message_id);
        // As it was, whenever it comes again; only a room that was paged moves `after_seq`.
        let first = self.ids.entry(message.text.parse().unwrap()).or_insert_with(|| message.clone());
        assert!(first.client_message_id == *id && first.after_seq <= message.after_seq);
        let head = self.logs[room].len();
        if message.after_seq.is_some_and(|after| head - after as usize > REACH) {
            self.has_refused = true;
            let metadata =
                [("room_id".to_owned(), room_id.clone()), ("head_seq".to_owned(), head.to_string())].into();
            let reason = "catch_up_first".to_owned();
            let code = Code::FailedPrecondition.into();
            return Answer::Error(v1::Error { code, reason, metadata, ..Default::default() });
        }
        let own = (USER.to_owned(), id.clone());
        let known = self.logs[room].iter().position(|entry| *entry == own);
        let seq = match known {
            Some(place) => place as u64 + 1,
            None => self.append(room, USER, id),
        };
        let is_repeat = known.is_some();
        Answer::SendMessage(v1::SendMessageResponse {
            room_id: room_id.clone(),
            seq,
            is_repeat,
            ..Default::default()
        })
    }

    fn page(&self, request: &v1::ListEventsRequest) -> Answer {
        let room = room(&request.room_id);
        let last = request.to_seq.min(request.from_seq + PAGE as u64 - 1);
        let events = (request.from_seq..=last).map(|seq| self.event(room, seq)).collect();
        let next_from_seq = if last < request.to_seq { last + 1 } else { 0 };
        let head_seq = self.logs[room].len() as u64;
        Answer::ListEvents(v1::ListEventsResponse { events, next_from_seq, head_seq, ..Default::default() })
    }

    fn welcome(&mut self, hello: &v1::Hello) {
        let mut frames = Vec::new();
        let mut heads = Vec::new();
        for (room, log) in self.logs.iter().enumerate() {
            let head = log.len() as u64;
            let room_id = format!("r{room}");
            heads.push(v1::Cursor { room_id: room_id.clone(), seq: head, epoch: 1 });
            let cursor = hello.cursors.iter().find(|cursor| cursor.room_id == room_id).map_or(0, |it| it.seq);
            // Nothing that was handed over is asked for again, unless a hello was refused for what it said.
            assert!(cursor == self.have[room] || cursor == 0 && self.is_hello_shortened);
            let mut from = cursor + 1;
            if head - cursor > REACH as u64 {
                from = head - 1;
                let reason = v1::GapReason::TooLong.into();
                frames.push(Frame::Gap(v1::Gap {
                    room_id,
                    from_seq: cursor + 1,
                    to_seq: from - 1,
                    reason,
                    epoch: 1,
                }));
            }
            frames.extend((from..=head).map(|seq| Frame::Event(self.event(room, seq))));
        }
        let wire = self.wire.as_mut().unwrap();
        if let Some(code) = self.refuse_hello.take() {
            self.is_hello_shortened |= code == Code::InvalidArgument;
            wire.push(Frame::Reply(v1::Reply {
                request_id: "hello".to_owned(),
                result: Some(Answer::Error(failure(code))),
            }));
            return wire.is_over = true;
        }
        wire.is_welcomed = true;
        wire.push(Frame::Welcome(v1::Welcome { user_id: USER.to_owned(), heads, ..Default::default() }));
        for frame in frames {
            wire.push(frame);
        }
    }
}

impl Wire {
    fn push(&mut self, frame: Frame) {
        if !self.is_over {
            self.to_client.push_back(v1::ServerFrame { frame: Some(frame) });
        }
    }
}

fn check(steps: Vec<Step>, seed: u64) {
    let mut world = World::new(seed);
    for step in steps {
        // A token that is refused twice ends the session by right.
        if matches!(step, Step::RefuseHello(Code::Unauthenticated)) && world.refuse_hello.is_some() {
            continue;
        }
        world.step(step);
        if world.core.is_ended() {
            return;
        }
    }
    world.heal();
    for (id, answer) in &world.answers {
        let (room, sent) = (world.rooms_of[id], &world.ids[id].client_message_id);
        assert_eq!(world.logs[room][answer.seq as usize - 1], (USER.to_owned(), sent.clone()));
    }
    for id in 0..world.next_call {
        let sent = world.ids.get(&id).map(|message| &message.client_message_id);
        let copies = world.logs[world.rooms_of[&id]].iter().filter(|(_, it)| Some(it) == sent).count();
        assert!(copies == 1 || copies == 0 && world.cancelled.contains(&id), "{id}: {copies} copies");
        assert!(world.answers.contains_key(&id) != world.cancelled.contains(&id));
    }
    if !world.has_refused {
        let calls: BTreeMap<&str, CallId> =
            world.ids.iter().map(|(id, message)| (message.client_message_id.as_str(), *id)).collect();
        for log in &world.logs {
            let own: Vec<_> =
                log.iter().filter(|(actor, _)| actor == USER).map(|(_, id)| calls[id.as_str()]).collect();
            assert!(own.is_sorted(), "messages change their order: {own:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_doubled_or_out_of_order(steps in steps(), seed in any::<u64>()) {
        check(steps, seed);
    }
}

#[test]
fn a_third_refusal_of_the_identity_ends_it_and_no_other_does() {
    let mut world = World::new(1);
    let go = |world: &mut World| {
        for step in [Step::Network, Step::Network, Step::Serve, Step::Deliver, Step::Deliver] {
            world.step(step);
        }
    };
    let refusals = [
        Code::NotFound,
        Code::Internal,
        Code::Unauthenticated,
        Code::PermissionDenied,
        Code::Unauthenticated,
    ];
    for code in refusals {
        world.step(Step::RefuseHello(code));
        go(&mut world);
        assert!(!world.core.is_ended());
        world.step(Step::Pass(10_000));
    }
    world.step(Step::RefuseHello(Code::Unauthenticated));
    go(&mut world);
    assert!(world.core.is_ended());
    let failure = Failure::new(Code::Unauthenticated, "because", "");
    assert!(Error::from(failure).refuses_identity());
}
