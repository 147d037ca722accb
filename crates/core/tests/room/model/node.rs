use std::collections::VecDeque;

use parlance_core::limits::RoomSizes;
use parlance_core::{
    Append, Chunk, Command, Decision, Draft, Need, Outcome, Refusal, Room, RoomInfo, Timestamp, UserId,
};

use super::Fault;
use super::cluster::{MINUTE, Met};
use super::store::Store;

/// A node: its copy of the room, and pending client requests.
pub(crate) struct Node {
    /// Its clock error, milliseconds.
    pub(crate) skew: i64,
    pub(crate) room: Option<Room>,
    /// When it last received news of the room.
    fed_at: u64,
    /// A tail read earlier: loading takes two reads, with other steps in between.
    tail: Option<(Chunk, RoomInfo, u64)>,
    pub(crate) queue: VecDeque<Attempt>,
    /// An append whose answer was lost. The room is unusable until it is resolved.
    pub(crate) unknown: Option<Unknown>,
}

/// One try of a client's request.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    /// Index of the client's request.
    pub(crate) op: usize,
    pub(crate) command: Command,
    pub(crate) since: u64,
}

/// The decision for one try, and the room's head that it was based on.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) attempt: Attempt,
    pub(crate) result: Result<Outcome, Refusal>,
    pub(crate) head: u64,
}

pub(crate) struct Unknown {
    pub(crate) append: Append,
    /// The room as it will be if the append succeeds.
    pub(crate) next: Room,
    pub(crate) answers: Vec<Answer>,
}

/// Loads what `room` needs. False if it could not use it.
pub(crate) fn serve(store: &Store, room: &mut Room, need: &Need) -> bool {
    match need {
        Need::Member(user) => room.load_member(user.clone(), store.members.get(user).cloned()),
        Need::Members => room.load_all_members(store.members.values().cloned().collect()),
        Need::Invitations => room.load_invitations(store.invitations.clone()),
        Need::Message(seq) => room.load_message(*seq, store.message(*seq)),
        Need::Blocks { by, of } => {
            let blocks = |user: &UserId| store.blocks.contains(&(user.clone(), of.clone()));
            room.load_blocks(of, by.iter().map(|user| (user.clone(), blocks(user))));
            true
        }
        Need::Older { before } => {
            let page = store.page_before(*before, 2);
            room.load_older(&page);
            !page.is_empty()
        }
        Need::Past { user, left, before } => {
            let page = store.page_before(*before, 2);
            room.load_past(user, *left, *before, &page);
            !page.is_empty()
        }
    }
}

impl Node {
    pub(crate) fn new(skew: i64) -> Self {
        Self { skew, room: None, fed_at: 0, tail: None, queue: VecDeque::new(), unknown: None }
    }

    /// Starts to load the room.
    pub(crate) fn read_tail(&mut self, store: &Store, now: u64) {
        self.room = None;
        self.tail = Some((store.tail().clone(), store.info.clone(), now));
    }

    /// The room, loaded if there is none or if it has received nothing for a minute.
    pub(crate) fn room(&mut self, store: &Store, now: u64) -> &mut Room {
        if now - self.fed_at > MINUTE {
            self.room = None;
        }
        if self.room.is_none() {
            // The tail first, then the data next to the log: in the other order, a
            // change of settings in between would never be noticed.
            let recent = self.tail.take().filter(|(_, _, read_at)| now - read_at <= MINUTE);
            let (tail, info, read_at) = match recent {
                Some((_, info, _)) if store.fault == Fault::LoadsTailLast => {
                    (store.tail().clone(), info, now)
                }
                Some((tail, _, read_at)) => (tail, store.info.clone(), read_at),
                None => (store.tail().clone(), store.info.clone(), now),
            };
            self.fed_at = read_at;
            self.room = Some(Room::load(info, &tail).keeping(&RoomSizes::SMALL));
        }
        self.room.as_mut().unwrap()
    }

    /// Applies the log beyond the room's head.
    pub(crate) fn catch_up(&mut self, store: &Store, now: u64) {
        let room = self.room(store, now);
        while let Some(chunk) = store.log.get(&(room.head().seq() + 1)) {
            room.apply(chunk).unwrap();
        }
        if room.head().seq() < store.head() {
            // The next chunk was trimmed by retention.
            self.room = None;
        }
        self.room(store, now);
        self.fed_at = now;
    }

    /// Applies a chunk that another node published.
    pub(crate) fn hear(&mut self, chunk: &Chunk, store: &Store, now: u64, met: &mut Met) {
        if self.unknown.is_some() || now - self.fed_at > MINUTE {
            return;
        }
        let Some(room) = &mut self.room else { return };
        let before = room.head();
        match room.observe(chunk) {
            Ok(()) if room.head() == before => met.count("an old hint"),
            Ok(()) => self.fed_at = now,
            Err(_) => {
                met.count("a hole");
                self.catch_up(store, now);
            }
        }
    }

    /// Decides as much of the queue as fits one append.
    pub(crate) fn decide(&mut self, store: &Store, now: u64, met: &mut Met) -> (Draft, Vec<Answer>) {
        let clock = Timestamp(now.saturating_add_signed(self.skew));
        for _ in 0..100 {
            let mut draft = self.room(store, now).draft();
            match self.decide_on(&mut draft, store, clock, met) {
                Ok(answers) => return (draft, answers),
                Err(Need::Older { .. } | Need::Past { .. }) => self.room = None,
                Err(_) => self.catch_up(store, now),
            }
        }
        panic!("a node that gets all it needs decides");
    }

    /// Fails if a need stays unmet: the room is behind the data it was given.
    fn decide_on(
        &mut self,
        draft: &mut Draft,
        store: &Store,
        clock: Timestamp,
        met: &mut Met,
    ) -> Result<Vec<Answer>, Need> {
        let head = draft.room_mut().head().seq();
        let mut answers = Vec::new();
        for attempt in &self.queue {
            if !draft.can_take_more() {
                met.count("a full draft");
                break;
            }
            let mut needs = 0;
            let result = loop {
                match draft.decide(&attempt.command, clock) {
                    Ok(Decision::Done(outcome)) => break Ok(outcome),
                    Err(refusal) => break Err(refusal),
                    Ok(Decision::Need(need)) => {
                        needs += 1;
                        assert!(needs < 100, "{need:?} is never met");
                        if !serve(store, draft.room_mut(), &need) {
                            met.count(match need {
                                Need::Older { .. } | Need::Past { .. } => "older events that retention took",
                                Need::Message(_) => "a message too new for the room",
                                Need::Member(_) | Need::Members => "a row too new for the room",
                                Need::Invitations => "invitations too new for the room",
                                Need::Blocks { .. } => "blocks",
                            });
                            return Err(need);
                        }
                        // Kept for the next draft, in case this one loses its race.
                        serve(store, self.room.as_mut().unwrap(), &need);
                        if let Need::Older { .. } = need {
                            met.count("older events");
                        }
                    }
                }
            };
            answers.push(Answer { attempt: attempt.clone(), result, head });
        }
        Ok(answers)
    }
}
