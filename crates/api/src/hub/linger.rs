use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use parlance_core::{RoomId, UserId};

use super::Hub;

/// A user whose session has ended and who still counts as online: until this is dropped, the hub
/// notes the rooms that they are removed from.
pub(crate) struct Linger {
    hub: Arc<Hub>,
    user: UserId,
    departures: Arc<Departures>,
}

/// Rooms that a lingering user is no longer a member of.
#[derive(Default)]
pub(super) struct Departures(Mutex<Vec<RoomId>>);

impl Departures {
    pub(super) fn note(&self, room: &RoomId) {
        self.rooms().push(room.clone());
    }

    fn rooms(&self) -> MutexGuard<'_, Vec<RoomId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Linger {
    pub(super) fn new(hub: Arc<Hub>, user: UserId) -> Self {
        let departures = Arc::new(Departures::default());
        hub.lingering.entry(user.clone()).or_default().push(departures.clone());
        Self { hub, user, departures }
    }

    /// Whether the user was removed from `room` since.
    pub(crate) fn has_left(&self, room: &RoomId) -> bool {
        self.departures.rooms().contains(room)
    }
}

impl Drop for Linger {
    fn drop(&mut self) {
        self.hub.lingering.remove_if_mut(&self.user, |_, all| {
            all.retain(|other| !Arc::ptr_eq(other, &self.departures));
            all.is_empty()
        });
    }
}
