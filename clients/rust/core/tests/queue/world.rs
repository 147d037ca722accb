use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use parlance_client_core::{
    CallId, Code, CommandUpdate, Core, Discarded, Error, Input, NewCommand, Options, Output, StorageState,
    StoreChange, StoredCommand, Update,
};
use parlance_proto::v1;
use parlance_proto::v1::client_frame::Operation;
use parlance_proto::v1::reply::Result as Answer;
use parlance_proto::v1::send_message_request::Target;
use parlance_proto::v1::server_frame::Frame;

pub(crate) const ROOMS: usize = 2;
pub(super) const USER: &str = "ann";
/// Events that the server searches for a repeat.
pub(super) const REACH: u64 = 6;
pub(super) const PAGE: u64 = 3;

#[derive(Debug, Clone)]
pub(crate) enum Step {
    Send(usize),
    /// The application marks a room as read up to its end.
    Mark(usize),
    Discard(usize),
    Retry(usize),
    /// Another user sends a message.
    Speak(usize),
    Serve,
    Deliver,
    Network,
    Lose,
    Refuse(Code),
    StoreAnswers,
    StoreFails,
    /// The process ends and restarts; a write in progress is complete or not.
    Restart(bool),
    Pass(u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Queued,
    Answered,
    Failed,
    Discarded(Discarded),
}

#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) room: usize,
    pub(crate) fate: Fate,
    /// It was not in the store when the process ended.
    pub(crate) may_be_lost: bool,
    number: usize,
    /// Its order no longer matters.
    was_refused: bool,
}

#[derive(Default)]
pub(super) struct Wire {
    number: u64,
    pub(super) to_server: VecDeque<v1::ClientFrame>,
    pub(super) to_client: VecDeque<v1::ServerFrame>,
    pub(super) is_welcomed: bool,
}

pub(crate) struct World {
    pub(super) core: Core,
    seed: u64,
    pub(super) now: Duration,
    pub(super) pending: Option<Input>,
    pub(super) wire: Option<Wire>,
    pub(super) logs: Vec<Vec<(String, String)>>,
    pub(crate) marks: Vec<u64>,
    pub(crate) marks_wanted: Vec<Option<u64>>,
    pub(super) refuse: Option<Code>,
    pub(super) store: BTreeMap<String, Vec<u8>>,
    pub(super) is_load_asked: bool,
    pub(super) is_loaded: bool,
    pub(super) write: Option<(u64, Vec<StoreChange>)>,
    pub(super) next_call: CallId,
    pub(crate) sent: BTreeMap<String, Sent>,
    pub(super) callers: BTreeMap<CallId, String>,
    pub(super) discarding: BTreeMap<CallId, String>,
}

fn core(seed: u64) -> Core {
    Core::new(Options { max_in_flight: 4, has_command_store: true, seed: [seed, 1], ..Options::default() })
}

pub(super) fn number_of(room_id: &str) -> usize {
    room_id.strip_prefix('r').unwrap().parse().unwrap()
}

pub(super) fn refusal(code: Code) -> Answer {
    let retry_delay = (code == Code::ResourceExhausted).then(|| Duration::from_secs(2).try_into().unwrap());
    let reason = "because".to_owned();
    Answer::Error(v1::Error { code: code.into(), reason, retry_delay, ..Default::default() })
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut world = Self {
            core: core(seed),
            seed,
            now: Duration::from_secs(1_000),
            pending: None,
            wire: None,
            logs: vec![vec![("bob".to_owned(), "first".to_owned())]; ROOMS],
            marks: vec![0; ROOMS],
            marks_wanted: vec![None; ROOMS],
            refuse: None,
            store: BTreeMap::new(),
            is_load_asked: false,
            is_loaded: false,
            write: None,
            next_call: 0,
            sent: BTreeMap::new(),
            callers: BTreeMap::new(),
            discarding: BTreeMap::new(),
        };
        world.input(Input::Start);
        world
    }

    pub(crate) fn copies(&self, room: usize, id: &str) -> usize {
        self.logs[room].iter().filter(|(actor, it)| actor == USER && it == id).count()
    }

    /// The commands of a room in log order, as far as that is guaranteed.
    pub(crate) fn order(&self, room: usize) -> Vec<usize> {
        let own = self.logs[room].iter().filter(|(actor, _)| actor == USER);
        own.filter_map(|(_, id)| self.sent.get(id))
            .filter(|it| !it.was_refused && !matches!(it.fate, Fate::Discarded(_)))
            .map(|it| it.number)
            .collect()
    }

    pub(crate) fn has_unserved(&self) -> bool {
        self.wire.as_ref().is_some_and(|wire| !wire.to_server.is_empty())
    }

    pub(crate) fn is_storage_lost(&self) -> bool {
        matches!(self.core.storage(), StorageState::Memory { .. })
    }

    fn call(&mut self) -> CallId {
        self.next_call += 1;
        self.next_call
    }

    fn nth(&self, number: usize) -> Option<String> {
        let queued = self.sent.iter().filter(|(_, it)| matches!(it.fate, Fate::Queued | Fate::Failed));
        queued.map(|(id, _)| id.clone()).nth(number)
    }

    pub(crate) fn step(&mut self, step: Step) {
        match step {
            Step::Send(room) => {
                let number = self.sent.len();
                let id = format!("c{number}");
                let target = Some(Target::RoomId(format!("r{room}")));
                let message = v1::SendMessageRequest { target, text: id.clone(), ..Default::default() };
                let sent = Sent { room, fate: Fate::Queued, may_be_lost: false, number, was_refused: false };
                self.sent.insert(id.clone(), sent);
                let caller = self.call();
                self.callers.insert(caller, id.clone());
                self.submit(caller, id, Operation::SendMessage(message));
            }
            Step::Mark(room) => {
                let seq = self.logs[room].len() as u64;
                let room_id = format!("r{room}");
                let caller = self.call();
                self.marks_wanted[room] = Some(seq);
                let mark = v1::MarkReadRequest { room_id, seq, ..Default::default() };
                self.submit(caller, format!("m{caller}"), Operation::MarkRead(mark));
            }
            Step::Discard(number) => {
                let Some(command) = self.nth(number) else { return };
                let id = self.call();
                self.discarding.insert(id, command.clone());
                self.input(Input::Discard { id, command });
            }
            Step::Retry(number) => {
                let Some(command) = self.nth(number) else { return };
                let sent = self.sent.get_mut(&command).unwrap();
                if sent.fate == Fate::Failed {
                    let id = self.call();
                    self.callers.insert(id, command.clone());
                    self.input(Input::Retry { id, command });
                }
            }
            Step::Speak(room) => {
                let id = format!("b{}", self.logs[room].len());
                self.append(room, "bob", &id);
            }
            Step::Serve => self.serve(),
            Step::Deliver => {
                let Some(wire) = &mut self.wire else { return };
                let connection = wire.number;
                if let Some(frame) = wire.to_client.pop_front() {
                    self.input(Input::Received { connection, frame });
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
            Step::Lose => {
                if let Some(wire) = self.wire.take() {
                    let error = Some(Error::Io("cut".to_owned()));
                    self.input(Input::Lost { connection: wire.number, error });
                }
            }
            Step::Refuse(code) => self.refuse = Some(code),
            Step::StoreAnswers => self.answer_store(None),
            Step::StoreFails => self.answer_store(Some("full".to_owned())),
            Step::Restart(is_written) => self.restart(is_written),
            Step::Pass(millis) => {
                self.now += Duration::from_millis(millis);
                if self.core.timeout().is_some_and(|due| due <= self.now) {
                    self.input(Input::Tick);
                }
            }
        }
    }

    fn submit(&mut self, id: CallId, command: String, operation: Operation) {
        let command = NewCommand { operation, id: command, written_at_millis: 5 };
        self.input(Input::Submit { id, command });
    }

    fn answer_store(&mut self, error: Option<String>) {
        if std::mem::take(&mut self.is_load_asked) {
            let stored = self.store.iter().map(|(id, record)| (id.clone(), record.clone()));
            self.is_loaded = error.is_none();
            let stored = stored.map(|(id, record)| StoredCommand { id, record }).collect();
            return self.input(Input::Loaded(error.map_or(Ok(stored), Err)));
        }
        let Some((number, changes)) = self.write.take() else { return };
        if error.is_none() {
            self.write_changes(changes);
        }
        self.input(Input::Stored { number, result: error.map_or(Ok(()), Err) });
    }

    fn write_changes(&mut self, changes: Vec<StoreChange>) {
        for StoreChange { id, record } in changes {
            match record {
                Some(record) => self.store.insert(id, record),
                None => self.store.remove(&id),
            };
        }
    }

    fn restart(&mut self, is_written: bool) {
        if let Some((_, changes)) = self.write.take()
            && is_written
        {
            self.write_changes(changes);
        }
        for (id, sent) in &mut self.sent {
            sent.may_be_lost |= !self.store.contains_key(id);
        }
        // Marks may be lost as well; another test covers those that must not be.
        self.marks_wanted = vec![None; ROOMS];
        self.seed += 1;
        self.core = core(self.seed);
        (self.pending, self.wire) = (None, None);
        (self.is_load_asked, self.is_loaded) = (false, false);
        self.callers.clear();
        for (_, command) in std::mem::take(&mut self.discarding) {
            // The answer never arrived: both outcomes are possible.
            self.sent.get_mut(&command).unwrap().fate = Fate::Discarded(Discarded::MaybeSent);
        }
        self.input(Input::Start);
    }

    fn is_busy(&self) -> bool {
        let is_wire_busy =
            self.wire.as_ref().is_some_and(|it| !it.to_server.is_empty() || !it.to_client.is_empty());
        self.pending.is_some() || is_wire_busy || self.write.is_some() || self.is_load_asked
    }

    /// No more failures until nothing is in flight.
    pub(crate) fn settle(&mut self) {
        for _ in 0..10_000 {
            if !self.is_busy() {
                return;
            }
            for step in [Step::StoreAnswers, Step::Network, Step::Serve, Step::Deliver] {
                self.step(step);
            }
        }
        panic!("never quiet");
    }

    pub(crate) fn settle_store(&mut self) {
        while self.write.is_some() {
            self.step(Step::StoreAnswers);
        }
    }

    /// No more failures until nothing is left to do.
    pub(crate) fn heal(&mut self) {
        self.refuse = None;
        for _ in 0..1_000 {
            self.settle();
            if self.core.connection_state().is_online()
                && *self.core.storage() == StorageState::Durable
                && !self.core.commands().values().any(|command| command.is_pending())
            {
                return;
            }
            let due = self.core.timeout().expect("there is something to wait for");
            self.now = self.now.max(due);
            self.input(Input::Tick);
        }
        panic!("not done in the end: {:?}", self.core.commands());
    }

    fn input(&mut self, input: Input) {
        for output in self.core.handle(self.now, input) {
            match output {
                Output::RequestToken { .. } => self.pending = Some(Input::Token(Ok("token".to_owned()))),
                Output::Connect { connection, .. } => self.pending = Some(Input::Connected { connection }),
                Output::Disconnect => (self.pending, self.wire) = (None, None),
                Output::Send(frame) => self.wire.as_mut().expect("a connection").to_server.push_back(frame),
                Output::Load => self.is_load_asked = true,
                Output::Store { number, changes } => {
                    assert!(self.write.replace((number, changes)).is_none(), "two writes at once");
                }
                Output::Settled { id, result } => self.settled(id, &result),
                Output::Discarded { id, outcome } => {
                    let command = self.discarding.remove(&id).unwrap();
                    let sent = self.sent.get_mut(&command).unwrap();
                    if outcome != Discarded::Unknown {
                        sent.fate = Fate::Discarded(outcome);
                    }
                }
                Output::Update { update: Update::Command(CommandUpdate::Failed { command, .. }), .. } => {
                    if let Operation::MarkRead(request) = &command.operation {
                        self.marks_wanted[number_of(&request.room_id)] = None;
                    }
                    if let Some(sent) = self.sent.get_mut(&command.id) {
                        (sent.fate, sent.was_refused) = (Fate::Failed, true);
                    }
                }
                Output::Update { update: Update::Violation(violation), .. } => panic!("{violation:?}"),
                Output::Accepted { .. } | Output::Update { .. } | Output::Answer { .. } => {}
            }
        }
        self.forgive_order();
    }

    /// Commands issued while the store cannot be read overtake those in it.
    fn forgive_order(&mut self) {
        if !self.is_loaded && self.is_storage_lost() {
            self.sent.values_mut().for_each(|sent| sent.was_refused |= sent.fate == Fate::Queued);
        }
    }

    fn settled(&mut self, id: CallId, result: &Result<Option<Answer>, Error>) {
        let Some(command) = self.callers.remove(&id) else { return };
        let sent = self.sent.get_mut(&command).unwrap();
        match result {
            Ok(Some(_)) => sent.fate = Fate::Answered,
            Ok(None) | Err(Error::Discarded) => {}
            Err(error) => assert_eq!(error.failure().unwrap().code, Code::PermissionDenied),
        }
    }
}

impl Wire {
    pub(super) fn push(&mut self, frame: Frame) {
        self.to_client.push_back(v1::ServerFrame { frame: Some(frame) });
    }
}
