//! Which room is worked on next.

use parlance_core::RoomId;

use super::Tracker;
use super::availability::Try;
use super::room::{Millis, Phase};

impl Tracker {
    /// The next room to work on, which counts as in flight from now on.
    pub(crate) fn next(&mut self, now: Millis) -> Option<RoomId> {
        if self.paused || self.is_full() {
            return None;
        }
        while let Some((until, _)) = self.waiting.first()
            && *until <= now
        {
            let Some((_, id)) = self.waiting.pop_first() else { break };
            self.wake(id);
        }
        if !self.places.are_failed_full(self.limits.max_in_flight)
            && let Some(id) = self.held_back.pop_front()
        {
            self.ready.push_front(id);
        }
        let index = self.choose(now)?;
        let id = self.ready.remove(index)?;
        let room = self.rooms.get_mut(&id)?;
        (room.phase, room.is_moved, room.begun) = (Phase::InFlight, false, now);
        room.is_overtaken = false;
        room.place = self.places.take(room.failed.is_some(), room.fails_alone);
        Some(id)
    }

    /// The place in the queue of the room that is worked on next. An unavailable sink is tried first with rooms that have
    /// not failed, the last and the first of them in turn: perhaps others are the cause, and many like them are before
    /// one that is not. Otherwise with the one whose failure is oldest.
    fn choose(&mut self, now: Millis) -> Option<usize> {
        let (mut index, mut oldest): (usize, Option<(Millis, usize)>) = (0, None);
        let (mut untried, is_away) = (None, self.is_away());
        let are_failed_full = self.places.are_failed_full(self.limits.max_in_flight);
        // With more than that, only a room that has not failed alone says something of the sink.
        let is_probed = self.places.all() >= self.sink.most_in_flight();
        while let Some(id) = self.ready.get(index) {
            // It may have been parked since it was queued.
            let Some(room) = self.rooms.get(id).filter(|room| room.phase == Phase::Ready) else {
                self.ready.remove(index);
                continue;
            };
            if are_failed_full && room.failed.is_some() {
                let id = self.ready.remove(index);
                self.held_back.extend(id);
                continue;
            }
            let failed_at = room.failed_at(self.sink.round());
            match (self.sink.may_try(failed_at.is_some(), now), failed_at) {
                _ if is_probed && room.fails_alone => {}
                (Try::Now, None) if is_away && self.sink.tries_last() => untried = Some(index),
                (Try::Now, Some(at)) if is_away => {
                    oldest = Some(oldest.map_or((at, index), |oldest| oldest.min((at, index))));
                }
                (Try::Now, _) => return Some(index),
                // Few rooms are like that: then others may be tried.
                (Try::OtherRooms, _) => {}
                (Try::Later, _) => return None,
            }
            index += 1;
        }
        untried.or(oldest.map(|(_, index)| index))
    }

    /// When [`Self::next`] may return a room that it does not return now.
    pub(crate) fn next_at(&self, now: Millis) -> Option<Millis> {
        if self.paused || self.is_full() {
            return None;
        }
        let waiting = self.waiting.first().map(|(until, _)| *until);
        if !self.is_away() {
            return waiting;
        }
        let until = self.sink.away_until();
        if until > now && !self.ready.is_empty() { Some(until) } else { waiting.map(|at| at.max(until)) }
    }

    /// Whether nothing more may be worked on. Rooms that fail alone do not keep an unavailable sink from being tried with
    /// another one.
    fn is_full(&self) -> bool {
        self.places.all() >= self.limits.max_in_flight
            || self.places.not_alone() >= self.sink.most_in_flight()
    }
}
