//! Counts the parked rooms of a consumer, for its status.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use parlance_core::{RoomId, Timestamp};
use parlance_store::consumers::{RoomPage, Wanted};
use tokio::time::sleep;

use super::super::Shared;
use crate::limits::{COUNTED_PARKED, PENDING_PAGE, STORE_PAUSE};
use crate::tracker::Outcome;

/// The parked rooms, and since when they are.
#[derive(Default)]
pub(super) struct ParkedRooms {
    rooms: BTreeMap<RoomId, Timestamp>,
    /// Whether all rows were read: an earlier process may have parked rooms.
    is_counted: bool,
    /// Where to read on.
    after: Option<RoomId>,
    /// Rooms that were parked or resumed while rows are read: these say what was before.
    changed: BTreeSet<RoomId>,
}

impl ParkedRooms {
    /// The work on a room has ended.
    pub(super) fn ended(&mut self, room: &RoomId, outcome: &Outcome) {
        match outcome {
            Outcome::Parked(parked) => {
                self.change(room);
                self.add(room.clone(), parked.since);
            }
            // Of these nothing is known, or nothing is new.
            Outcome::Postponed | Outcome::StillParked => {}
            _ if self.rooms.contains_key(room) => self.resumed(room),
            _ => {}
        }
    }

    /// A room is no longer parked.
    pub(super) fn resumed(&mut self, room: &RoomId) {
        self.change(room);
        self.rooms.remove(room);
    }

    /// All rooms start over.
    pub(super) fn clear(&mut self) {
        *self = Self { is_counted: true, ..Self::default() };
    }

    /// A page of rows was read.
    pub(super) fn found(&mut self, page: RoomPage) {
        for (room, row) in page.rooms {
            if let Some(parked) = row.parked.filter(|_| !self.changed.contains(&room)) {
                self.add(room, parked.since);
            }
        }
        self.after = page.next;
        if self.after.is_none() {
            self.is_counted = true;
            self.changed.clear();
        }
    }

    /// How many rooms are parked.
    pub(super) fn count(&self) -> usize {
        self.rooms.len()
    }

    /// Since when the first one is.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        self.rooms.values().min().copied()
    }

    fn add(&mut self, room: RoomId, since: Timestamp) {
        if self.rooms.len() < COUNTED_PARKED {
            self.rooms.insert(room, since);
        }
    }

    fn change(&mut self, room: &RoomId) {
        if !self.is_counted {
            self.changed.insert(room.clone());
        }
    }
}

/// The next page of parked rooms; never resolves once all were counted.
pub(super) fn count(shared: &Arc<Shared>, parked: &ParkedRooms) -> BoxFuture<'static, RoomPage> {
    if parked.is_counted {
        return std::future::pending().boxed();
    }
    let (shared, after) = (shared.clone(), parked.after.clone());
    async move {
        let (table, name) = (&shared.parts.table, &shared.options.name);
        loop {
            match table.rooms(name, Wanted::Parked, after.as_ref(), PENDING_PAGE).await {
                Ok(page) => return page,
                Err(error) => {
                    tracing::warn!(consumer = %name, %error, "cannot count parked rooms, retrying");
                    sleep(STORE_PAUSE).await;
                }
            }
        }
    }
    .boxed()
}
