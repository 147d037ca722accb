use std::collections::BTreeMap;

use parlance_core::{
    Append, Body, Chunk, Command, Creation, Mark, NewRoom, Outcome, Room, RoomId, RoomKind, Timestamp,
    Visibility,
};

use super::check::Watch;
use super::node::{Answer, Attempt, Node, Unknown};
use super::script::{Fate, Script, Step, What};
use super::store::{HeadMoved, Store};
use super::{Fault, check};
use crate::values::{USERS, command, request, settings, user};

/// How long a request waits, a write is in flight, or a stale room is used: ms.
pub(crate) const MINUTE: u64 = 60_000;

/// How long after the first try the model repeats a request without `after`: the window
/// of 15 minutes, minus clock differences and the maximum wait of a request.
const REPEATED_FOR: u64 = 8 * MINUTE;

const DAY: u64 = 24 * 60 * MINUTE;

/// Situations that scripts must reach to be meaningful.
pub(crate) const MET: [&str; 12] = [
    "a chunk of several events",
    "a lost race",
    "a hole",
    "an old hint",
    "older events",
    "older events that retention took",
    "a message too new for the room",
    "a row too new for the room",
    "a repeat",
    "a write that landed late",
    "our nonce read back",
    "another's nonce read back",
];

/// How often each situation was reached.
#[derive(Debug, Default)]
pub(crate) struct Met(pub(crate) BTreeMap<&'static str, u64>);

impl Met {
    pub(crate) fn count(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }
}

/// A client's request, and every answer it got.
pub(crate) struct Op {
    pub(crate) command: Command,
    asked_at: u64,
    pub(crate) answers: Vec<Told>,
}

/// An answer, and the log's floor at that moment.
pub(crate) struct Told {
    pub(crate) answer: Answer,
    pub(crate) floor: u64,
}

pub(crate) struct Cluster {
    pub(crate) store: Store,
    pub(crate) nodes: Vec<Node>,
    pub(crate) ops: Vec<Op>,
    pub(crate) met: Met,
    hints: Vec<(usize, Chunk)>,
    /// Writes that their nodes gave up on, with their start times.
    late: Vec<(Append, u64)>,
    now: u64,
    writes: u64,
    tries: u64,
    fault: Fault,
}

impl Cluster {
    /// Runs `script`; the error names the broken promise.
    pub(crate) fn run(script: &Script, fault: Fault) -> Result<Self, String> {
        let mut cluster = Self::start(script, fault);
        let mut watch = Watch::default();
        for step in &script.steps {
            cluster.step(step);
            check::step(&cluster, &mut watch)?;
        }
        cluster.settle();
        check::step(&cluster, &mut watch)?;
        check::settled(&cluster)?;
        Ok(cluster)
    }

    fn start(script: &Script, fault: Fault) -> Self {
        let now = 1_700_000_000_000;
        let at = Timestamp(now);
        let visible = settings(Visibility::SinceJoined);
        let [ann, bob, cat] = [0, 1, 2].map(|id| user(USERS[id]));
        let creation = match script.kind {
            RoomKind::Direct => Creation::direct(&ann, None, &bob, visible, [0; 16], at),
            kind => {
                let request = &request("create");
                let id = RoomId::created_unkeyed(&ann, request);
                let new = NewRoom {
                    id,
                    creator: &ann,
                    service: None,
                    owner: None,
                    request,
                    kind,
                    settings: visible,
                };
                Creation::shared(new, &[bob, cat], [0; 16], at)
            }
        };
        let mut store = Store::create(creation);
        store.fault = fault;
        Self {
            store,
            nodes: script.skews.iter().map(|minutes| Node::new(minutes * MINUTE as i64)).collect(),
            ops: Vec::new(),
            met: Met::default(),
            hints: Vec::new(),
            late: Vec::new(),
            now,
            writes: 0,
            tries: 0,
            fault,
        }
    }

    fn step(&mut self, step: &Step) {
        let nodes = self.nodes.len();
        match step {
            Step::Ask { node, user, what, lag } => self.ask(node % nodes, *user, what, *lag),
            Step::Retry { node, op } if *op < self.ops.len() => {
                self.attempt(node % nodes, self.ops.len() - 1 - op);
            }
            Step::Work { node, fate } => self.work(node % nodes, *fate),
            Step::ReadBack { node } => self.read_back(node % nodes),
            Step::Forget { node } => self.forget(node % nodes),
            Step::ReadTail { node } if self.nodes[node % nodes].unknown.is_none() => {
                self.nodes[node % nodes].read_tail(&self.store, self.now);
            }
            Step::Land { write } if !self.late.is_empty() => {
                let (append, since) = self.late.remove(write % self.late.len());
                let in_time = self.now - since <= MINUTE || self.fault == Fault::LandsAnyTime;
                if in_time && self.store.append_unheard(&append).is_ok() {
                    self.met.count("a write that landed late");
                }
            }
            Step::Hear { hint, keep } if *hint < self.hints.len() => {
                let (node, chunk) = self.hints[*hint].clone();
                if !keep {
                    self.hints.remove(*hint);
                }
                self.nodes[node].hear(&chunk, &self.store, self.now, &mut self.met);
            }
            Step::Lose { hint } if *hint < self.hints.len() => {
                self.hints.remove(*hint);
            }
            Step::Read { user: reader, back } => {
                let seq = self.store.head().saturating_sub(*back);
                let reader = user(USERS[*reader]);
                if let (Some(event), true) = (self.store.event(seq), self.store.cursors.contains_key(&reader))
                {
                    let mark = Mark::at(event);
                    self.store.read(&reader, mark);
                }
            }
            Step::Pass { ms } => self.now += ms,
            Step::Retire => self.store.retire(Timestamp(self.now - DAY)),
            // Steps that refer to something that does not exist.
            _ => {}
        }
    }

    fn ask(&mut self, node: usize, by: usize, what: &What, lag: Option<u64>) {
        let op = self.ops.len();
        // Whoever answers an invitation knows no head.
        let answers =
            matches!(what, What::Accept | What::Decline | What::JoinByLink | What::Knock | What::Withdraw);
        let after = lag.filter(|_| !answers).map(|lag| self.store.head().saturating_sub(lag));
        let command = command(USERS[by], &format!("r{op}"), after, self.action(op, what));
        self.ops.push(Op { command, asked_at: self.now, answers: Vec::new() });
        self.attempt(node, op);
    }

    /// A request arrives at a node.
    fn attempt(&mut self, node: usize, op: usize) {
        let Op { command, asked_at, .. } = &self.ops[op];
        if command.after.is_none() && self.now - asked_at > REPEATED_FOR {
            return;
        }
        let mut command = command.clone();
        self.tries += 1;
        if self.fault == Fault::NewRequestIds {
            command.request = request(&format!("try{}", self.tries));
        }
        self.nodes[node].queue.push_back(Attempt { op, command, since: self.now });
    }

    fn work(&mut self, n: usize, fate: Fate) {
        let node = &mut self.nodes[n];
        node.queue.retain(|attempt| self.now - attempt.since <= MINUTE);
        if node.unknown.is_some() {
            return;
        }
        while !self.nodes[n].queue.is_empty() {
            let (draft, answers) = self.nodes[n].decide(&self.store, self.now, &mut self.met);
            self.nodes[n].queue.drain(..answers.len());
            self.writes += 1;
            let (Some(append), next) = draft.finish(u128::from(self.writes).to_be_bytes()) else {
                // Without an append, no fence shows whether the room is behind. Only a
                // repeat stays true regardless of later events.
                let head = answers[0].head;
                let repeats = answers.iter().all(|answer| matches!(answer.result, Ok(o) if o.is_repeat));
                if repeats || head == self.store.head() || self.fault == Fault::RefusesStale {
                    return self.tell(n, answers);
                }
                self.again(n, answers);
                continue;
            };
            let joins = |body: &Body, actor| matches!(body, Body::MemberAdded { user, .. } if user == actor);
            let is_group = self.store.info.kind == RoomKind::Group;
            if is_group && append.chunk.events().iter().any(|event| joins(&event.body, &event.actor)) {
                self.met.count("an invitation accepted");
            }
            let by_link = |body: &Body| matches!(body, Body::MemberAdded { link: Some(_), .. });
            if append.chunk.events().iter().any(|event| by_link(&event.body)) {
                self.met.count("a link used");
            }
            let asks = |body: &Body| matches!(body, Body::JoinRequested { .. });
            if append.chunk.events().iter().any(|event| asks(&event.body)) {
                self.met.count("a request to join");
            }
            if append.chunk.events().len() > 1 {
                self.met.count("a chunk of several events");
            }
            match fate {
                Fate::Answered => match self.store.append(&append) {
                    Ok(()) => return self.commit(n, &append.chunk, next, answers),
                    Err(HeadMoved) => {
                        self.met.count("a lost race");
                        self.again(n, answers);
                        continue;
                    }
                },
                Fate::Unheard => drop(self.store.append_unheard(&append)),
                Fate::Lost => {}
                Fate::Delayed => self.late.push((append.clone(), self.now)),
            }
            if self.fault == Fault::AnswersEarly {
                self.tell(n, answers.clone());
            }
            self.nodes[n].unknown = Some(Unknown { append, next, answers });
            return;
        }
    }

    /// The node learns that its append succeeded.
    fn commit(&mut self, n: usize, chunk: &Chunk, next: Room, answers: Vec<Answer>) {
        self.nodes[n].room = Some(next);
        self.publish(n, chunk);
        self.tell(n, answers);
    }

    fn publish(&mut self, n: usize, chunk: &Chunk) {
        self.hints.extend((0..self.nodes.len()).filter(|to| *to != n).map(|to| (to, chunk.clone())));
    }

    /// Answers clients, and publishes repeats again.
    fn tell(&mut self, n: usize, answers: Vec<Answer>) {
        for answer in answers {
            if let Ok(Outcome { is_repeat: true, first, .. }) = answer.result {
                self.met.count("a repeat");
                if let Some((_, chunk)) = self.store.log.range(..=first).next_back() {
                    let chunk = chunk.clone();
                    self.publish(n, &chunk);
                }
            }
            let op = &mut self.ops[answer.attempt.op];
            op.answers.push(Told { answer, floor: self.store.info.floor });
        }
    }

    /// Determines whose chunk is at the key.
    fn read_back(&mut self, n: usize) {
        let Some(Unknown { append, next, answers }) = self.nodes[n].unknown.take() else { return };
        match self.store.log.get(&append.chunk.first_seq()) {
            Some(found) if found.nonce() == append.chunk.nonce() || self.fault == Fault::IgnoresNonce => {
                self.met.count("our nonce read back");
                self.commit(n, &append.chunk, next, answers);
            }
            Some(_) => {
                self.met.count("another's nonce read back");
                self.again(n, answers);
            }
            // Not written, or not yet: in both cases the next attempt is fenced.
            None => self.again(n, answers),
        }
    }

    /// The decision is obsolete and must be repeated on the current log.
    fn again(&mut self, n: usize, answers: Vec<Answer>) {
        for answer in answers.into_iter().rev() {
            self.nodes[n].queue.push_front(answer.attempt);
        }
        self.nodes[n].catch_up(&self.store, self.now);
    }

    fn forget(&mut self, n: usize) {
        let skew = self.nodes[n].skew;
        self.nodes[n] = Node::new(skew);
    }

    /// Ends all faults: everything is resolved, and every client that may retry does.
    fn settle(&mut self) {
        for n in 0..self.nodes.len() {
            self.read_back(n);
            self.work(n, Fate::Answered);
        }
        for op in 0..self.ops.len() {
            let n = op % self.nodes.len();
            self.attempt(n, op);
            while !self.nodes[n].queue.is_empty() {
                self.work(n, Fate::Answered);
            }
        }
        for node in &mut self.nodes {
            node.catch_up(&self.store, self.now);
        }
    }
}
