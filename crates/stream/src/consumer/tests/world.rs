//! A store in memory whose feed is out of order, trimmed and restored, and a sink that fails.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use parlance_core::{
    Body, Clock, Entry, Event, Message, RequestId, RoomId, RoomKind, SeqRange, Text, Timestamp, Title,
    Unknown, UserId,
};
use parlance_proto::events::v1::RoomEvent;
use parlance_store::StoreError;
use parlance_store::consumers::{
    ConsumerName, ConsumerState, ConsumerTable, ConsumerWrite, EventKey, RoomPage, RoomProgress, Wanted,
};
use parlance_store::feed::{ChangeFeed, Changes, FeedPage, Position, Record};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::log::{Log, RoomHead};
use crate::sink::{Delivered, EventSink, SinkError};

/// By how much records may be late.
pub(super) const DISORDER: Duration = Duration::from_secs(120);

/// A moment long after the beginning of time.
const EPOCH_MS: u64 = 1_700_000_000_000;

/// A sequence of numbers that a seed determines (splitmix64).
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5eed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub(super) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

pub(super) struct Room {
    pub(super) epoch: u64,
    pub(super) events: Vec<Event>,
}

#[derive(Default)]
struct State {
    rooms: BTreeMap<RoomId, Room>,
    /// The feed: what is read, and what is late.
    records: Vec<(Timestamp, Changes)>,
    late: Vec<(Timestamp, Changes)>,
    trimmed: usize,
    /// Rises with each restore.
    generation: u64,
    states: BTreeMap<ConsumerName, ConsumerState>,
    rows: BTreeMap<(ConsumerName, RoomId), RoomProgress>,
    taken: Vec<(RoomId, EventKey)>,
    poisoned: BTreeSet<(RoomId, u64)>,
}

pub(super) struct World {
    state: Mutex<State>,
    dice: Mutex<Dice>,
    moved: Notify,
    /// The feed is out of order.
    disorderly: bool,
    /// Percent of calls of the sink that fail in some way; 100 for a sink that is away.
    pub(super) failing: Mutex<u64>,
    begun: Instant,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
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
            begun: Instant::now(),
        })
    }

    fn chance(&self, percent: u64) -> bool {
        lock(&self.dice).chance(percent)
    }

    /// Appends `count` events to a room, in one commit.
    pub(super) fn append(&self, id: &RoomId, count: u64) {
        let at = self.now();
        let state = &mut *lock(&self.state);
        let epoch = state.generation + 1;
        let room = state.rooms.entry(id.clone()).or_insert(Room { epoch, events: Vec::new() });
        let first = room.events.len() as u64 + 1;
        for seq in first..first + count {
            room.events.push(Event {
                seq,
                at,
                actor: UserId::parse("alice").unwrap(),
                request: RequestId::parse(&format!("request-{seq}")).unwrap(),
                message_count: seq,
                deleted_count: 0,
                body: Body::Message(Message {
                    text: Text::parse(&format!("text {seq}")).unwrap(),
                    reply_to: None,
                    kind: parlance_core::MessageKind::Text,
                    data: parlance_core::Data::default(),
                }),
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

    /// Some late records arrive; in the end all of them.
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

    /// Puts a backup back in which rooms lack their last events; they go on differently.
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

    /// Nothing is refused any more; rooms that are parked.
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

    /// What the sink has, as it came.
    pub(super) fn taken(&self) -> Vec<(RoomId, EventKey)> {
        lock(&self.state).taken.clone()
    }

    /// What a consumer promises, held against what the sink has: first occurrences in order and without a
    /// hole. With `complete` all of the log, from the events `from` on.
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
                // What was restored begins anew, but for what was there before the consumer.
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
        Timestamp(EPOCH_MS + self.begun.elapsed().as_millis() as u64)
    }
}

#[async_trait]
impl ChangeFeed for World {
    async fn tip(&self) -> Result<Position, StoreError> {
        Ok(Position::numbered(&self.identity(), lock(&self.state).records.len() as u64))
    }

    async fn records_after(&self, after: &Position, limit: usize) -> Result<FeedPage, StoreError> {
        if self.chance(5) {
            return Err(StoreError::Overloaded);
        }
        let identity = self.identity();
        let state = lock(&self.state);
        let after = after.number_in(&identity).map(|number| number as usize);
        let Some(after) = after.filter(|after| (state.trimmed..=state.records.len()).contains(after)) else {
            return Ok(FeedPage::Trimmed);
        };
        let to = state.records.len().min(after + limit);
        let record = |index: usize| {
            let (at, changes) = state.records[index].clone();
            Record { position: Position::numbered(&identity, index as u64 + 1), at, changes }
        };
        let records = (after..to).map(record).collect();
        Ok(FeedPage::Records { records, next: Position::numbered(&identity, to as u64) })
    }

    async fn wait(&self, position: &Position) {
        loop {
            let moved = self.moved.notified();
            if self.tip().await.is_ok_and(|tip| tip != *position) {
                return;
            }
            moved.await;
        }
    }

    async fn walk_rooms(&self, after: Option<&RoomId>, limit: usize) -> Result<Vec<RoomId>, StoreError> {
        let state = lock(&self.state);
        let rooms = state.rooms.keys().filter(|room| after.is_none_or(|after| *room > after));
        Ok(rooms.take(limit).cloned().collect())
    }

    fn disorder(&self) -> Duration {
        if self.disorderly { DISORDER } else { Duration::ZERO }
    }
}

#[async_trait]
impl ConsumerTable for World {
    async fn consumers(&self) -> Result<Vec<(ConsumerName, ConsumerState)>, StoreError> {
        Ok(lock(&self.state).states.clone().into_iter().collect())
    }

    async fn consumer(&self, name: &ConsumerName) -> Result<Option<ConsumerState>, StoreError> {
        Ok(lock(&self.state).states.get(name).cloned())
    }

    async fn progress(
        &self,
        name: &ConsumerName,
        rooms: &[RoomId],
    ) -> Result<Vec<(RoomId, RoomProgress)>, StoreError> {
        if self.chance(5) {
            return Err(StoreError::Overloaded);
        }
        let state = lock(&self.state);
        let row =
            |room: &RoomId| Some((room.clone(), state.rows.get(&(name.clone(), room.clone()))?.clone()));
        Ok(rooms.iter().filter_map(row).collect())
    }

    async fn rooms(
        &self,
        name: &ConsumerName,
        wanted: Wanted,
        after: Option<&RoomId>,
        limit: usize,
    ) -> Result<RoomPage, StoreError> {
        let state = lock(&self.state);
        let rows = state.rows.iter().filter(|((owner, room), row)| {
            owner == name && wanted.matches(row) && after.is_none_or(|after| room > after)
        });
        let rooms: Vec<_> = rows.take(limit.min(2)).map(|((_, id), row)| (id.clone(), row.clone())).collect();
        let next = rooms.last().filter(|_| rooms.len() == limit.min(2)).map(|(id, _)| id.clone());
        Ok(RoomPage { rooms, next })
    }

    async fn write_consumer(&self, name: &ConsumerName, write: ConsumerWrite) -> Result<(), StoreError> {
        if self.chance(10) {
            return Err(StoreError::Overloaded);
        }
        {
            let state = &mut *lock(&self.state);
            state.states.extend(write.state.map(|row| (name.clone(), row)));
            let rows = write.rooms.into_iter().map(|(room, row)| ((name.clone(), room), row));
            state.rows.extend(rows);
            // As on the embedded engine, a write is a record itself.
            state.records.push((self.now(), Changes::default()));
        }
        self.moved.notify_waiters();
        // The answer is lost.
        if self.chance(5) { Err(StoreError::Overloaded) } else { Ok(()) }
    }
}

#[async_trait]
impl Log for World {
    async fn room(&self, room: &RoomId) -> Result<Option<RoomHead>, StoreError> {
        if self.chance(5) {
            return Err(StoreError::Overloaded);
        }
        let state = lock(&self.state);
        Ok(state.rooms.get(room).map(|room| RoomHead {
            epoch: room.epoch,
            head: room.events.len() as u64,
            floor: 1,
            kind: RoomKind::Group,
            title: Title::default(),
        }))
    }

    async fn read(&self, room: &RoomId, range: SeqRange, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let state = lock(&self.state);
        let events = state.rooms.get(room).map(|room| room.events.as_slice()).unwrap_or_default();
        let events = events.iter().filter(|event| range.contains(event.seq)).take(limit);
        Ok(events.map(|event| Entry::merge(event.clone(), None)).collect())
    }

    async fn before(&self, room: &RoomId, seq: u64, limit: usize) -> Result<Vec<Event>, StoreError> {
        let state = lock(&self.state);
        let events = state.rooms.get(room).map(|room| room.events.as_slice()).unwrap_or_default();
        let end = events.len().min(seq as usize - 1);
        Ok(events[end.saturating_sub(limit.min(3))..end].to_vec())
    }
}

impl World {
    fn take(&self, room: &RoomId, events: &[RoomEvent]) -> usize {
        let state = &mut *lock(&self.state);
        for event in events {
            if state.poisoned.contains(&(room.clone(), event.seq)) {
                return event.seq as usize - events[0].seq as usize;
            }
            state.taken.push((room.clone(), EventKey { epoch: event.epoch, seq: event.seq }));
        }
        events.len()
    }
}

#[async_trait]
impl EventSink for World {
    async fn deliver(&self, room: &RoomId, events: &[RoomEvent]) -> Delivered {
        let millis = lock(&self.dice).below(40);
        tokio::time::sleep(Duration::from_millis(millis)).await;
        let unavailable = |count| {
            let reason = "not now".to_owned();
            Delivered { count, error: Some(SinkError::Unavailable { reason, retry_after: None }) }
        };
        let failing = *lock(&self.failing);
        if failing == 100 {
            return unavailable(0);
        }
        if self.chance(failing) {
            let kind = lock(&self.dice).below(4);
            return match kind {
                0 => unavailable(0),
                // Accepted, and reported as failed.
                1 => {
                    self.take(room, events);
                    unavailable(0)
                }
                // In part.
                2 => unavailable(self.take(room, &events[..events.len() / 2])),
                // Accepted, and never answered.
                _ => {
                    self.take(room, events);
                    std::future::pending().await
                }
            };
        }
        let count = self.take(room, events);
        if count == events.len() {
            return Delivered::all(count);
        }
        Delivered { count, error: Some(SinkError::Refused { reason: "cannot be read".to_owned() }) }
    }

    fn batch(&self) -> usize {
        3
    }
}
