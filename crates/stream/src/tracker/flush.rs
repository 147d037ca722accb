//! What to write for a consumer: rows of rooms and the checkpoint together.

use std::collections::BTreeSet;

use parlance_core::RoomId;
use parlance_store::consumers::RoomProgress;
use parlance_store::feed::Position;

use super::room::{Origin, Phase, Room};
use super::{Millis, Tracker};
use crate::limits::{MAX_POSITIONS, MAX_ROWS};

/// What to write, atomically.
pub(crate) struct Flush {
    /// The checkpoint.
    pub(crate) position: Position,
    /// Rows of rooms.
    pub(crate) rows: Vec<(RoomId, RoomProgress)>,
    /// Rooms that no longer hold the checkpoint.
    released: BTreeSet<RoomId>,
    /// The record of the checkpoint.
    record: Option<u64>,
}

impl Tracker {
    /// Rooms to be saved as pending whose progress is unknown, with what is known. Answered by
    /// [`Self::loaded`].
    pub(crate) fn to_load(&self, now: Millis) -> Vec<(RoomId, Origin)> {
        let unknown = |id: &RoomId| {
            let room = self.rooms.get(id).filter(|room| !room.is_known())?;
            Some((id.clone(), room.origin))
        };
        self.to_save(now).iter().filter_map(unknown).collect()
    }

    /// Records the progress of a room.
    pub(crate) fn loaded(&mut self, id: &RoomId, row: RoomProgress) {
        let Some(room) = self.rooms.get_mut(id).filter(|room| !room.is_known()) else { return };
        room.meet(&row);
        room.saved_pending |= row.pending;
        if let Some(parked) = row.parked {
            room.parked = Some(parked.clone());
            self.park(id, parked);
        }
    }

    /// Rooms that must stop holding the checkpoint. One in progress is saved with its previous progress: a
    /// room with an unending backlog would hold the checkpoint forever.
    fn to_save(&self, now: Millis) -> Vec<RoomId> {
        let is_full = !self.can_read();
        let is_long = |room: &Room| room.held_since.saturating_add(self.limits.hold_ms) <= now;
        let held = self.held.iter().filter(|(_, id)| {
            self.rooms.get(id).is_some_and(|room| {
                (room.phase != Phase::InFlight || room.is_known())
                    && (self.paused || is_full || room.phase == Phase::Parked || is_long(room))
            })
        });
        held.take(MAX_ROWS).map(|(_, id)| id.clone()).collect()
    }

    /// What to write now; `None` if there is nothing.
    pub(crate) fn flush(&self, now: Millis) -> Option<Flush> {
        let mut released = self.to_save(now);
        released.retain(|id| self.rooms.get(id).is_some_and(Room::is_known));
        let mut rows: Vec<(RoomId, RoomProgress)> = Vec::new();
        let released: BTreeSet<RoomId> = released.into_iter().collect();
        let unsaved = self.unsaved.iter().filter(|id| !released.contains(*id)).take(MAX_ROWS);
        for (id, becomes_pending) in released.iter().map(|id| (id, true)).chain(unsaved.map(|id| (id, false)))
        {
            let Some(room) = self.rooms.get(id) else { continue };
            let row = room.row(becomes_pending || room.saved_pending);
            rows.extend(row.map(|row| (id.clone(), row)));
        }
        let first = self.held.iter().find(|(_, id)| !released.contains(id));
        let reached = match first {
            Some((first, _)) => self.positions.iter().rev().find(|(number, _)| number < first),
            None => self.positions.back(),
        };
        let (record, position) = match reached {
            Some((number, position)) => (Some(*number), position.clone()),
            None => (None, self.checkpoint.clone()),
        };
        // Writes appear in the feed themselves: records that name no room are no reason to write.
        let has_moved = self.last_moved > self.checkpoint_record || self.positions.len() > MAX_POSITIONS;
        let is_needed = !rows.is_empty() || (has_moved && position != self.checkpoint);
        is_needed.then_some(Flush { position, rows, released, record })
    }

    /// Rooms whose rows have to be written.
    pub(crate) fn unsaved(&self) -> usize {
        self.unsaved.len()
    }

    /// Whether one of them is parked.
    pub(crate) fn has_unsaved_parked(&self) -> bool {
        let is_parked = |room: &Room| room.is_known() && room.parked.is_some();
        self.unsaved.iter().any(|id| self.rooms.get(id).is_some_and(is_parked))
    }

    /// Records a completed flush.
    pub(crate) fn flushed(&mut self, flush: &Flush) {
        self.checkpoint = flush.position.clone();
        if let Some(record) = flush.record {
            self.checkpoint_record = record;
            while self.positions.front().is_some_and(|(number, _)| *number <= record) {
                self.positions.pop_front();
            }
        }
        for (id, row) in &flush.rows {
            let Some(room) = self.rooms.get_mut(id) else { continue };
            if flush.released.contains(id) {
                room.saved_pending = true;
            }
            room.is_unconfirmed = false;
            if room.row(room.saved_pending).as_ref() == Some(row) {
                self.unsaved.remove(id);
            } else {
                self.unsaved.insert(id.clone());
            }
        }
        for id in &flush.released {
            self.release(id);
        }
        self.evict();
    }

    /// Evicts rooms that need not be in memory, because their rows contain everything.
    fn evict(&mut self) {
        let most = self.limits.max_rooms;
        let must_go = self.active >= most || self.paused;
        if !must_go && self.rooms.len() <= 2 * most {
            return;
        }
        let (unsaved, mut is_elsewhere, mut active) = (&self.unsaved, false, self.active);
        let elsewhere = &mut self.elsewhere;
        self.rooms.retain(|id, room| {
            if unsaved.contains(id) || room.held.is_some() {
                return true;
            }
            match room.phase {
                Phase::Idle | Phase::Parked => false,
                Phase::InFlight => true,
                Phase::Ready | Phase::Waiting { .. } => {
                    let stays = !must_go || !room.saved_pending;
                    if !stays {
                        is_elsewhere = true;
                        elsewhere.evicted(room.behind_since);
                        active -= 1;
                    }
                    stays
                }
            }
        });
        self.active = active;
        if is_elsewhere {
            (self.pending_elsewhere, self.pending_again) = (true, true);
        }
        let rooms = &self.rooms;
        for queue in [&mut self.ready, &mut self.held_back] {
            queue.retain(|id| rooms.get(id).is_some_and(|room| room.phase == Phase::Ready));
        }
        self.waiting.retain(|(_, id)| rooms.contains_key(id));
    }
}

#[cfg(test)]
mod tests {
    use parlance_core::Timestamp;
    use parlance_store::consumers::EventKey;
    use parlance_store::feed::{Changes, MovedHead, Record};

    use super::*;
    use crate::tracker::Limits;

    /// An earlier owner that is slow may still write that nothing is pending in the room. So what is newer than that row
    /// has to hold the checkpoint until the row is of this owner.
    #[test]
    fn a_pending_row_of_an_earlier_owner_counts_once_it_is_written_again() {
        let room = RoomId::parse("room").unwrap();
        let limits = Limits { hold_ms: 1_000, ..Limits::PRODUCTION };
        let mut tracker = Tracker::new(Position::numbered("s", 0), false, None, limits);
        let done = EventKey { epoch: 0, seq: 3 };
        let row = RoomProgress { done, pending: true, ..RoomProgress::default() };
        tracker.pending(vec![(room.clone(), row)], true);
        let head = MovedHead { room: room.clone(), first: 6, last: 6 };
        let changes = Changes { heads: vec![head], ..Changes::default() };
        tracker.record(&Record { position: Position::numbered("s", 1), at: Timestamp(1), changes }, 0);
        let flush = tracker.flush(0).unwrap();
        assert_eq!(flush.position, Position::numbered("s", 0));
        assert!(flush.rows[0].1.pending);
        tracker.flushed(&flush);
        // From then on the row says so, and the room is saved as pending after a while, as any other.
        let flush = tracker.flush(1_000).unwrap();
        assert!(flush.position == Position::numbered("s", 1) && flush.rows[0].1.pending);
    }
}
