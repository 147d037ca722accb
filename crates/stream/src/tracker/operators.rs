//! Operators' commands.

use parlance_core::RoomId;
use parlance_store::consumers::RoomProgress;

use super::Tracker;
use super::room::Phase;

impl Tracker {
    /// Resumes a parked room on an operator's command.
    pub(crate) fn unpark(&mut self, id: &RoomId, row: RoomProgress) {
        let room = self.rooms.entry(id.clone()).or_default();
        let is_active = room.phase.is_active();
        // One that is parked and active is being looked at.
        if is_active && room.parked.is_none() {
            return;
        }
        room.done = None;
        room.meet(&row);
        room.parked = None;
        room.begin_anew();
        room.saved_pending = true;
        self.unsaved.insert(id.clone());
        if !is_active {
            room.phase = Phase::Ready;
            self.active += 1;
            self.ready.push_back(id.clone());
        }
    }

    /// Resumes parked rooms whose rows say so now, or will: a scan for pending rooms finds them.
    pub(crate) fn unparked(&mut self, rows: &[(RoomId, RoomProgress)]) {
        for (id, row) in rows {
            let is_unsaved = self.unsaved.contains(id);
            let parked =
                self.rooms.get(id).filter(|room| room.parked.is_some() || room.phase == Phase::Parked);
            match parked {
                // What is in memory would be written over it.
                Some(room) if is_unsaved || room.held.is_some() || room.phase.is_active() => {
                    self.unpark(id, row.clone());
                }
                Some(_) => drop(self.rooms.remove(id)),
                None => {}
            }
        }
        (self.pending_elsewhere, self.pending_again) = (true, true);
    }

    /// Stops or continues delivery. An operator who continues it expects the sink to be back.
    pub(crate) fn pause(&mut self, paused: bool) {
        self.paused = paused;
        if !paused {
            self.sink.is_back();
            self.wake_all(|_| true);
        }
        (self.pending_elsewhere, self.pending_again) = (true, true);
    }
}
