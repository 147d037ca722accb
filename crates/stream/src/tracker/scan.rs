//! Scans for rooms whose rows say that events are pending.

use parlance_core::RoomId;
use parlance_store::consumers::RoomProgress;

use super::room::Phase;
use super::{Tracker, behind};

impl Tracker {
    /// Whether to scan for pending rooms that are not in memory.
    pub(crate) fn wants_pending(&self) -> bool {
        let may_work = !self.paused && (!self.is_away() || self.active == 0);
        self.pending_elsewhere && may_work && self.active < self.limits.max_rooms.div_ceil(2)
    }

    /// Adds a page of pending rooms; `is_last` if there are no more. Parked ones are looked at, too: of what has
    /// happened in them since, nothing else says anything.
    pub(crate) fn pending(&mut self, rows: Vec<(RoomId, RoomProgress)>, is_last: bool) {
        for (id, row) in rows {
            let room = self.rooms.entry(id.clone()).or_default();
            if room.phase.is_active() {
                continue;
            }
            if room.phase == Phase::Idle {
                room.meet(&row);
                room.saved_pending = true;
                room.parked = row.parked;
            }
            room.phase = Phase::Ready;
            if room.parked.is_none() {
                room.behind_since = behind::earlier(room.behind_since, self.elsewhere.since());
                if self.is_first_scan {
                    room.is_unconfirmed = true;
                    self.unsaved.insert(id.clone());
                }
            }
            self.active += 1;
            self.ready.push_back(id);
        }
        if is_last {
            self.is_first_scan = false;
            self.pending_elsewhere = std::mem::take(&mut self.pending_again);
            self.elsewhere.scanned();
        }
    }
}
