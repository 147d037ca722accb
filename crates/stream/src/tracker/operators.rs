//! Operators' commands.

use parlance_core::{RoomId, Timestamp};
use parlance_store::consumers::RoomProgress;

use super::room::{Ended, Outcome, Phase};
use super::{Tracker, behind};

impl Tracker {
    /// Resumes a room that was parked `since` then, on an operator's command.
    pub(crate) fn unpark(&mut self, id: &RoomId, row: RoomProgress, since: Timestamp) {
        let room = self.rooms.entry(id.clone()).or_default();
        let is_active = room.phase.is_active();
        // One that is parked and active is being looked at. Of another one that is active, the row was not read yet.
        if !is_active || room.parked.is_some() {
            room.done = None;
            room.begin_anew();
        }
        room.is_overtaken = room.phase == Phase::InFlight;
        room.meet(&row);
        room.parked = None;
        room.saved_pending = true;
        room.behind_since = behind::earlier(room.behind_since, Some(since));
        self.unsaved.insert(id.clone());
        if !is_active {
            room.phase = Phase::Ready;
            self.active += 1;
            self.ready.push_back(id.clone());
        }
    }

    /// Resumes rooms that were parked `since` then, the first of them, and whose rows say so now, or will: a scan for
    /// pending rooms finds them.
    pub(crate) fn unparked(&mut self, rows: &[(RoomId, RoomProgress)], since: Option<Timestamp>) {
        self.elsewhere.evicted(since);
        for (id, row) in rows {
            let is_unsaved = self.unsaved.contains(id);
            let Some(room) = self.rooms.get(id) else { continue };
            let is_parked = room.parked.is_some() || room.phase == Phase::Parked;
            // What is in memory, or is being read, would be written over it.
            let is_kept = is_parked && (is_unsaved || room.held.is_some() || room.phase.is_active());
            if is_kept || room.phase == Phase::InFlight {
                self.unpark(id, row.clone(), since.unwrap_or_default());
            } else if is_parked {
                self.rooms.remove(id);
            }
        }
        (self.pending_elsewhere, self.pending_again) = (true, true);
    }

    /// What the end of the work on a room means now: that it was parked does not count after a command that came later.
    pub(crate) fn since_commands(&self, id: &RoomId, ended: Ended) -> Ended {
        match self.rooms.get(id).filter(|room| room.is_overtaken) {
            Some(room) if matches!(ended.outcome, Outcome::Parked(_)) => {
                // The command may have skipped the refused event.
                Ended { done: ended.done.max(room.done), outcome: Outcome::StillParked, ..ended }
            }
            _ => ended,
        }
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
