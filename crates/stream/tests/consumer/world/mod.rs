//! An in-memory store whose feed is out of order, trimmed and restored, and a sink that fails.

mod feed;
mod log;
mod sink;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use parlance_core::{Body, Clock, Event, Message, RequestId, RoomId, Text, Timestamp, Unknown, UserId};
use parlance_store::StoreError;
use parlance_store::consumers::{ConsumerName, ConsumerState, EventKey, Fence, RoomProgress};
use parlance_store::feed::{Changes, UnreadPart};
use parlance_stream::Parts;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::dice::Dice;

/// Maximum delay of records.
pub(super) const DISORDER: Duration = Duration::from_secs(120);

/// A time long after the Unix epoch.
const EPOCH_MS: u64 = 1_700_000_000_000;

pub(super) struct Room {
    pub(super) epoch: u64,
    /// The first seq that is kept.
    pub(super) floor: u64,
    pub(super) events: Vec<Event>,
}

#[derive(Default)]
struct State {
    rooms: BTreeMap<RoomId, Room>,
    /// The feed: published and delayed records.
    records: Vec<(Timestamp, Changes)>,
    late: Vec<(Timestamp, Changes)>,
    trimmed: usize,
    /// Incremented with each restore.
    generation: u64,
    states: BTreeMap<ConsumerName, ConsumerState>,
    rows: BTreeMap<(ConsumerName, RoomId), RoomProgress>,
    /// The last write of each row; without a room, of the consumer's own.
    fences: BTreeMap<(ConsumerName, Option<RoomId>), Fence>,
    taken: Vec<(RoomId, EventKey)>,
    poisoned: BTreeSet<(RoomId, u64)>,
}

/// How a sink fails for one room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Its fault, or that of the event: who knows.
    Failing,
    /// It never answers.
    Hanging,
    /// It wants fewer requests.
    Busy(Option<Duration>),
}

pub(super) struct World {
    state: Mutex<State>,
    dice: Mutex<Dice>,
    moved: Notify,
    /// Whether the feed is out of order.
    disorderly: bool,
    /// Percentage of sink calls that fail in some way; 100 for an unavailable sink.
    pub(super) failing: Mutex<u64>,
    /// Percentage of calls to the store that fail.
    pub(super) store_failing: Mutex<u64>,
    /// How long the store takes to read a room, or to list some.
    pub(super) slow: Mutex<Duration>,
    begun: Instant,
    /// The sink does not answer for this room, and takes nothing of it.
    pub(super) stuck: Mutex<Option<RoomId>>,
    /// Rooms for which the sink answers nothing good, and how.
    pub(super) troubled: Mutex<BTreeMap<RoomId, Trouble>>,
    /// The sink never answers.
    pub(super) hangs: Mutex<bool>,
    /// If the sink wants no more events: how often it has said so.
    pub(super) gone: Mutex<Option<usize>>,
    /// The sink says by itself that it can deliver nothing.
    pub(super) says_away: Mutex<bool>,
    /// How long the sink takes for each call, beside some milliseconds.
    pub(super) takes: Mutex<Duration>,
    /// The sink takes what it is given, and says that it does not.
    pub(super) lies: Mutex<bool>,
    /// A room that is damaged.
    pub(super) damaged: Mutex<Option<RoomId>>,
    /// A room whose reads fail.
    pub(super) unreadable: Mutex<Option<RoomId>>,
    /// A room whose row takes a minute to arrive when it is read next.
    pub(super) slow_row: Mutex<Option<RoomId>>,
    /// What reading the feed fails with.
    pub(super) feed_failing: Mutex<Option<StoreError>>,
    /// A part of the feed that cannot be read.
    pub(super) part_failing: Mutex<Option<UnreadPart>>,
    /// Whether it fails to ask for the end of the feed.
    pub(super) tips_failing: Mutex<bool>,
    /// How long it takes to ask for the end of the feed.
    pub(super) tip_takes: Mutex<Duration>,
    /// Whether writes of progress fail, and only these.
    pub(super) writes_failing: Mutex<bool>,
    /// By how much the clock was moved, milliseconds.
    pub(super) clock_ahead: Mutex<i64>,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

pub(super) fn room(number: u64) -> RoomId {
    RoomId::parse(&format!("room-{number}")).unwrap()
}

impl World {
    pub(super) fn new(seed: u64, disorderly: bool) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            dice: Mutex::new(Dice::new(seed)),
            moved: Notify::new(),
            disorderly,
            failing: Mutex::new(0),
            store_failing: Mutex::new(5),
            slow: Mutex::default(),
            begun: Instant::now(),
            stuck: Mutex::default(),
            troubled: Mutex::default(),
            hangs: Mutex::default(),
            gone: Mutex::default(),
            says_away: Mutex::default(),
            takes: Mutex::default(),
            lies: Mutex::default(),
            damaged: Mutex::default(),
            unreadable: Mutex::default(),
            slow_row: Mutex::default(),
            feed_failing: Mutex::default(),
            part_failing: Mutex::default(),
            tips_failing: Mutex::default(),
            tip_takes: Mutex::default(),
            writes_failing: Mutex::default(),
            clock_ahead: Mutex::new(0),
        })
    }

    /// Parts of a consumer of this world.
    pub(super) fn parts(self: &Arc<Self>) -> Parts {
        Parts {
            feed: self.clone(),
            table: self.clone(),
            log: self.clone(),
            sink: self.clone(),
            clock: self.clone(),
        }
    }

    /// Refuses writes before `fence` to the consumer's own row.
    pub(super) fn fence(&self, name: &ConsumerName, fence: Fence) {
        let state = &mut *lock(&self.state);
        if state.states.contains_key(name) {
            let before = state.fences.entry((name.clone(), None)).or_default();
            *before = fence.max(*before);
        }
    }

    /// The stored state of consumers.
    pub(super) fn kept(&self) -> (Vec<ConsumerState>, Vec<RoomProgress>) {
        let state = lock(&self.state);
        (state.states.values().cloned().collect(), state.rows.values().cloned().collect())
    }

    /// A call to the store, which may take long, or fail.
    async fn call(&self) -> Result<(), StoreError> {
        let slow = *lock(&self.slow);
        if !slow.is_zero() {
            tokio::time::sleep(slow).await;
        }
        let failing = *lock(&self.store_failing);
        if self.chance(failing) { Err(StoreError::Overloaded) } else { Ok(()) }
    }

    fn chance(&self, percent: u64) -> bool {
        lock(&self.dice).chance(percent)
    }

    /// Appends `count` events to a room, in one commit.
    pub(super) fn append(&self, id: &RoomId, count: u64) {
        let at = self.now();
        let state = &mut *lock(&self.state);
        let epoch = state.generation + 1;
        let room = state.rooms.entry(id.clone()).or_insert(Room { epoch, floor: 1, events: Vec::new() });
        let first = room.events.len() as u64 + 1;
        for seq in first..first + count {
            room.events.push(Event {
                seq,
                at,
                actor: UserId::parse("alice").unwrap(),
                request: RequestId::parse(&format!("request-{seq}")).unwrap(),
                message_count: seq,
                deleted_count: 0,
                body: Body::Message(Message::plain(Text::parse(&format!("text {seq}")).unwrap())),
                unknown: Unknown::default(),
                service: None,
            });
        }
        let mut changes = Changes::default();
        // As on DynamoDB, where a record names the first event of its commit.
        let last = if self.disorderly { first } else { first + count - 1 };
        changes.append(id, first, last);
        if self.disorderly && self.chance(50) {
            state.late.push((at, changes));
        } else {
            state.records.push((at, changes));
        }
        self.moved.notify_waiters();
    }

    /// Appends a last event, and keeps nothing before it.
    pub(super) fn delete(&self, id: &RoomId) {
        self.append(id, 1);
        if let Some(room) = lock(&self.state).rooms.get_mut(id) {
            room.floor = room.events.len() as u64;
        }
    }

    /// Removes a room as if it had never been there.
    pub(super) fn forget(&self, id: &RoomId) {
        lock(&self.state).rooms.remove(id);
    }

    /// Publishes some delayed records, or all of them.
    pub(super) fn arrive(&self, all: bool) {
        let state = &mut *lock(&self.state);
        while !state.late.is_empty() && (all || self.chance(50)) {
            let index = lock(&self.dice).below(state.late.len() as u64) as usize;
            let late = state.late.swap_remove(index);
            state.records.push(late);
        }
        self.moved.notify_waiters();
    }

    pub(super) fn trim(&self) {
        let state = &mut *lock(&self.state);
        state.records.append(&mut state.late);
        state.trimmed = state.records.len();
    }

    /// Restores a backup in which rooms lack their last events; they continue differently.
    pub(super) fn restore(&self) {
        let state = &mut *lock(&self.state);
        state.generation += 1;
        state.late.clear();
        for room in state.rooms.values_mut() {
            let kept = 1 + lock(&self.dice).below(room.events.len() as u64) as usize;
            room.events.truncate(kept);
            room.epoch = state.generation + 1;
        }
        self.moved.notify_waiters();
    }

    pub(super) fn poison(&self, id: &RoomId) {
        let state = &mut *lock(&self.state);
        let next = state.rooms.get(id).map_or(1, |room| room.events.len() as u64 + 1);
        state.poisoned.insert((id.clone(), next));
    }

    /// Ends all refusals; returns the parked rooms.
    pub(super) fn heal(&self) -> Vec<RoomId> {
        *lock(&self.failing) = 0;
        let state = &mut *lock(&self.state);
        state.poisoned.clear();
        let parked = state.rows.iter().filter(|(_, row)| row.parked.is_some());
        parked.map(|((_, room), _)| room.clone()).collect()
    }

    pub(super) fn parked(&self) -> usize {
        lock(&self.state).rows.values().filter(|row| row.parked.is_some()).count()
    }

    pub(super) fn pending(&self) -> usize {
        lock(&self.state).rows.values().filter(|row| row.pending).count()
    }

    /// The events that the sink has accepted, in order.
    pub(super) fn taken(&self) -> Vec<(RoomId, EventKey)> {
        lock(&self.state).taken.clone()
    }

    /// Checks a consumer's promises against the sink: first occurrences in order and complete. With
    /// `complete`, the whole log from the events `from` on.
    pub(super) fn check(&self, complete: bool, from: &BTreeMap<RoomId, u64>) -> Result<(), String> {
        let state = lock(&self.state);
        let before_it = |room: &RoomId| from.get(room).copied().unwrap_or(0);
        let mut last: BTreeMap<&RoomId, EventKey> = BTreeMap::new();
        for (room, key) in &state.taken {
            let before = last.get(room).copied().unwrap_or_default();
            if *key <= before {
                continue;
            }
            let is_next = match (key.epoch == before.epoch, key.epoch) {
                (true, _) => key.seq == before.seq + 1,
                (false, 1) => key.seq == before_it(room) + 1,
                // Restored rooms start over, except for events from before the consumer.
                (false, _) => key.seq <= before_it(room) + 1,
            };
            if !is_next {
                return Err(format!("{room} went on with {key:?} after {before:?}"));
            }
            last.insert(room, *key);
        }
        for (id, room) in state.rooms.iter().filter(|_| complete) {
            let head = EventKey { epoch: room.epoch, seq: room.events.len() as u64 };
            let reached = last.get(id).copied().unwrap_or_default();
            if reached != head && (reached.epoch == head.epoch || head.seq > before_it(id)) {
                return Err(format!("{id} ends at {reached:?}, its log at {head:?}"));
            }
        }
        Ok(())
    }

    pub(super) fn heads(&self) -> BTreeMap<RoomId, u64> {
        let state = lock(&self.state);
        state.rooms.iter().map(|(id, room)| (id.clone(), room.events.len() as u64)).collect()
    }

    fn identity(&self) -> String {
        format!("store-{}", lock(&self.state).generation)
    }
}

impl Clock for World {
    fn now(&self) -> Timestamp {
        let now = EPOCH_MS + self.begun.elapsed().as_millis() as u64;
        Timestamp(now.saturating_add_signed(*lock(&self.clock_ahead)))
    }
}
