//! Decides which rooms a consumer works on, and how far its checkpoint may advance. Pure: time is passed in as
//! milliseconds of a monotonic clock.
//!
//! A room with undelivered events either *holds* the checkpoint before its first record, or is saved as
//! pending: then it is caught up from the log, whatever happens to the feed.

mod availability;
mod behind;
mod flush;
mod limits;
mod next;
mod operators;
mod places;
mod room;
mod scan;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use parlance_core::{RoomId, Timestamp};
use parlance_store::consumers::Parked;
use parlance_store::feed::{MovedHead, Position, Record};

use self::availability::Availability;
pub use self::limits::Limits;
use self::limits::MAX_UNWRITTEN;
use self::places::Places;
pub(crate) use self::room::{Ended, Millis, Origin, Outcome};
use self::room::{Phase, Room, backoff};

pub(crate) struct Tracker {
    limits: Limits,
    rooms: BTreeMap<RoomId, Room>,
    ready: VecDeque<RoomId>,
    /// Rooms that are ready and have failed, and for which there is no place now.
    held_back: VecDeque<RoomId>,
    waiting: BTreeSet<(Millis, RoomId)>,
    /// Rooms that hold the checkpoint, each with its first undelivered record.
    held: BTreeSet<(u64, RoomId)>,
    /// Rooms whose rows have to be written.
    unsaved: BTreeSet<RoomId>,
    /// Records read since the checkpoint.
    positions: VecDeque<(u64, Position)>,
    last_record: u64,
    /// The last record that named a room, and the record of the checkpoint.
    last_moved: u64,
    checkpoint_record: u64,
    checkpoint: Position,
    /// Rooms that are worked on.
    places: Places,
    /// Rooms in memory with undelivered events.
    active: usize,
    /// Whether there may be pending rooms that are not in memory.
    pending_elsewhere: bool,
    /// Whether some were in memory during the last scan for them.
    pending_again: bool,
    /// Rows that say pending may be of an earlier owner, whose last writes may still arrive: they are written again.
    is_first_scan: bool,
    paused: bool,
    sink: Availability,
    /// Times of undelivered events of pending rooms that are not in memory.
    elsewhere: behind::Elsewhere,
}

impl Tracker {
    /// `behind_since` is the commit time of the oldest undelivered event, as far as it is known.
    pub(crate) fn new(
        checkpoint: Position,
        paused: bool,
        behind_since: Option<Timestamp>,
        limits: Limits,
    ) -> Self {
        Self {
            limits,
            rooms: BTreeMap::new(),
            ready: VecDeque::new(),
            held_back: VecDeque::new(),
            waiting: BTreeSet::new(),
            held: BTreeSet::new(),
            unsaved: BTreeSet::new(),
            positions: VecDeque::new(),
            last_record: 0,
            last_moved: 0,
            checkpoint_record: 0,
            checkpoint,
            places: Places::default(),
            active: 0,
            pending_elsewhere: true,
            pending_again: false,
            is_first_scan: true,
            paused,
            sink: Availability::new(limits),
            elsewhere: behind::Elsewhere::new(behind_since),
        }
    }

    /// Where to continue reading.
    pub(crate) fn read_from(&self) -> &Position {
        self.positions.back().map_or(&self.checkpoint, |(_, position)| position)
    }

    /// Whether more of the feed may be read.
    pub(crate) fn can_read(&self) -> bool {
        self.active < self.limits.max_rooms && self.positions.len() < MAX_UNWRITTEN
    }

    /// Adds a record of the feed.
    pub(crate) fn record(&mut self, record: &Record, now: Millis) {
        self.last_record += 1;
        self.positions.push_back((self.last_record, record.position.clone()));
        if !record.changes.heads.is_empty() {
            self.last_moved = self.last_record;
        }
        for head in &record.changes.heads {
            self.moved(head, record.at, now);
        }
    }

    /// Records that the feed was read up to `position`.
    pub(crate) fn read_to(&mut self, position: Position) {
        if *self.read_from() != position {
            self.last_record += 1;
            self.positions.push_back((self.last_record, position));
        }
    }

    fn moved(&mut self, head: &MovedHead, at: Timestamp, now: Millis) {
        let number = self.last_record;
        let room = self.rooms.entry(head.room.clone()).or_default();
        // Records do not name epochs: restored rooms are walked, and are not idle before they have the new
        // epoch.
        if room.done.is_some_and(|done| head.last <= done.seq) && room.phase == Phase::Idle {
            return;
        }
        room.target = room.target.max(head.last);
        room.behind_since.get_or_insert(at);
        if !room.is_known() {
            room.origin.first = room.origin.first.min(head.first);
            room.origin.at = room.origin.at.min(at);
        }
        let is_saved = room.saved_pending && !room.is_unconfirmed;
        if room.held.is_none() && !is_saved {
            room.held = Some(number);
            room.held_since = now;
            self.held.insert((number, head.room.clone()));
        }
        // What is announced during the work on a room may be missing in what it has read.
        room.is_moved = true;
        if let Phase::Waiting { until } = room.phase
            && room.is_ahead
        {
            self.waiting.remove(&(until, head.room.clone()));
            room.phase = Phase::Ready;
            self.ready.push_back(head.room.clone());
        }
        // A parked room is looked at again: the refused event may be gone, since the room was deleted.
        if room.phase == Phase::Idle || (room.phase == Phase::Parked && !self.paused) {
            room.phase = Phase::Ready;
            self.active += 1;
            self.ready.push_back(head.room.clone());
        }
    }

    /// Where to start in a room; if that is unknown, what the feed reported about it.
    pub(crate) fn origin(&self, id: &RoomId) -> Option<Origin> {
        let origin =
            |room: &Room| Origin { done: room.done, is_parked: room.parked.is_some(), ..room.origin };
        self.rooms.get(id).map(origin)
    }

    /// Records the end of the work on a room.
    pub(crate) fn ended(&mut self, id: &RoomId, ended: Ended, now: Millis) {
        let Ended { done, answered, was_pending, resumed, behind_since, outcome } = ended;
        if answered {
            self.answered(now);
        }
        let Some(room) = self.rooms.get_mut(id) else { return };
        self.places.free(std::mem::take(&mut room.place));
        room.saved_pending |= was_pending;
        room.behind_since = behind_since.or(room.behind_since);
        if resumed {
            room.parked = None;
            self.unsaved.insert(id.clone());
        }
        if let Some(done) = done {
            if room.done.is_none_or(|before| done != before) {
                room.begin_anew();
                self.unsaved.insert(id.clone());
            }
            room.done = Some(done);
        }
        let reached = room.done.map_or(0, |done| done.seq);
        let lacks = matches!(outcome, Outcome::UpTo { head } if head <= reached && reached < room.target);
        // What was announced since it was read is in the log; of what was announced before, it shows nothing yet.
        room.is_ahead = lacks && !room.is_moved && matches!(outcome, Outcome::UpTo { head } if head > 0);
        room.postponed = match outcome {
            Outcome::Postponed => room.postponed + 1,
            _ if room.is_ahead => room.postponed + 1,
            _ => 0,
        };
        match outcome {
            Outcome::UpTo { head } => {
                if reached < head || (lacks && room.is_moved) {
                    room.phase = Phase::Ready;
                    self.ready.push_back(id.clone());
                } else if room.is_ahead {
                    let wait = backoff(self.limits.backoff_ms, room.postponed, self.limits.max_backoff_ms);
                    self.wait(id, wait, now);
                } else {
                    self.finish(id);
                }
            }
            Outcome::Unavailable { retry_after_ms, is_fault } => {
                let begun = room.begun;
                self.attempted(id, retry_after_ms, is_fault, now);
                let fails_alone = self.rooms.get(id).is_some_and(|room| room.fails_alone);
                // What the sink asks for binds this room alone: it may limit rooms one by one.
                self.sink.failed(id, fails_alone, begun, now);
            }
            Outcome::Failed => self.attempted(id, 0, true, now),
            Outcome::Postponed => {
                let wait = backoff(self.limits.backoff_ms, room.postponed, self.limits.max_away_ms);
                self.wait(id, wait, now);
            }
            Outcome::Parked(parked) => self.park(id, parked),
            Outcome::StillParked => match room.parked.clone() {
                Some(parked) => self.park(id, parked),
                // An operator has resumed it meanwhile.
                None => {
                    room.phase = Phase::Ready;
                    self.ready.push_back(id.clone());
                }
            },
        }
    }

    /// Whether there were so many attempts at the next event of a room that the room should be parked.
    pub(crate) fn gives_up(&self, id: &RoomId) -> bool {
        self.rooms.get(id).is_some_and(|room| room.faults + 1 >= self.limits.park_after) && !self.is_away()
    }

    /// Attempts at the next event of a room so far, while others were accepted.
    pub(crate) fn attempts(&self, id: &RoomId) -> u32 {
        self.rooms.get(id).map_or(0, |room| room.attempts)
    }

    /// Rooms in memory with undelivered events.
    pub(crate) fn active(&self) -> usize {
        self.active
    }

    /// Whether everything read is delivered, as far as it is in memory.
    pub(crate) fn is_idle(&self) -> bool {
        self.active == 0 && !self.pending_elsewhere
    }

    /// Commit time of the oldest undelivered event, pending ones included, those of parked rooms not. It may be later
    /// for a room of which nothing was read since the start.
    pub(crate) fn oldest(&self) -> Option<Timestamp> {
        let active = self.rooms.values().filter(|room| room.phase.is_active());
        let in_memory = active.filter_map(|room| room.behind_since).min();
        behind::earlier(in_memory, self.elsewhere.since())
    }

    /// Whether the sink counts as unavailable.
    pub(crate) fn is_away(&self) -> bool {
        self.sink.is_away()
    }

    /// Whether the sink works: it has answered since the start, and is not unavailable.
    pub(crate) fn is_answering(&self) -> bool {
        self.sink.is_answering()
    }

    /// The sink has accepted or refused something: rooms that waited for it are retried.
    fn answered(&mut self, now: Millis) {
        let was_away = self.is_away();
        self.sink.answered(now);
        if was_away {
            self.wake_all(|room| !room.fails_alone && room.not_before <= now);
        }
    }

    fn wake_all(&mut self, which: impl Fn(&Room) -> bool) {
        for (until, id) in std::mem::take(&mut self.waiting) {
            if self.rooms.get(&id).is_some_and(&which) {
                self.wake(id);
            } else {
                self.waiting.insert((until, id));
            }
        }
    }

    fn wake(&mut self, id: RoomId) {
        let waiting = self.rooms.get_mut(&id).filter(|room| matches!(room.phase, Phase::Waiting { .. }));
        if let Some(room) = waiting {
            room.phase = Phase::Ready;
            self.ready.push_back(id);
        }
    }

    /// Counts an attempt at the next event of a room, and schedules another one.
    fn attempted(&mut self, id: &RoomId, at_least: Millis, is_fault: bool, now: Millis) {
        let (is_away, round) = (self.is_away(), self.sink.round());
        let Some(room) = self.rooms.get_mut(id) else { return };
        room.fails_alone |= room.failed.is_some_and(|(before, _)| before != round);
        room.failed = Some((round, now));
        room.not_before = if at_least > 0 { now + at_least } else { 0 };
        // Failures while the sink accepts nothing are not the event's fault.
        room.attempts += u32::from(!is_away);
        room.faults += u32::from(!is_away && is_fault);
        let wait = backoff(self.limits.backoff_ms, room.attempts, self.limits.max_backoff_ms);
        self.wait(id, wait.max(at_least), now);
    }

    fn wait(&mut self, id: &RoomId, wait: Millis, now: Millis) {
        let Some(room) = self.rooms.get_mut(id) else { return };
        let until = now + wait;
        room.phase = Phase::Waiting { until };
        self.waiting.insert((until, id.clone()));
    }

    /// Everything known of a room is delivered.
    fn finish(&mut self, id: &RoomId) {
        let Some(room) = self.rooms.get_mut(id) else { return };
        self.active -= usize::from(room.phase.is_active());
        room.phase = Phase::Idle;
        room.behind_since = None;
        room.begin_anew();
        if room.saved_pending {
            room.saved_pending = false;
            self.unsaved.insert(id.clone());
        }
        self.release(id);
    }

    fn park(&mut self, id: &RoomId, parked: Parked) {
        let Some(room) = self.rooms.get_mut(id) else { return };
        self.active -= usize::from(room.phase.is_active());
        room.phase = Phase::Parked;
        room.behind_since = None;
        if room.parked.is_none() {
            room.parked = Some(parked);
            self.unsaved.insert(id.clone());
        }
        if room.saved_pending {
            self.release(id);
        }
    }

    fn release(&mut self, id: &RoomId) {
        let held = self.rooms.get_mut(id).and_then(|room| room.held.take());
        if let Some(number) = held {
            self.held.remove(&(number, id.clone()));
        }
    }
}
