use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use parlance_core::{RoomId, UserId};
use parlance_runtime::map::Map;

/// Users whose session has ended and who still count as online for a while.
#[derive(Default)]
pub(crate) struct Lingering(Map<UserId, Vec<Arc<Departures>>>);

/// A user whose session has ended and who still counts as online: until this is dropped, the hub records the rooms
/// that they are removed from.
pub struct Linger {
    lingering: Arc<Lingering>,
    user: UserId,
    departures: Arc<Departures>,
}

/// Rooms that a lingering user is no longer a member of.
#[derive(Default)]
struct Departures(Mutex<Vec<RoomId>>);

impl Departures {
    fn rooms(&self) -> MutexGuard<'_, Vec<RoomId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lingering {
    pub(crate) fn contains(&self, user: &UserId) -> bool {
        self.0.contains_key(user)
    }

    /// Records that `user` was removed from `room`.
    pub(crate) fn note(&self, user: &UserId, room: &RoomId) {
        if let Some(lingering) = self.0.get(user) {
            lingering.iter().for_each(|departures| departures.rooms().push(room.clone()));
        }
    }

    pub(crate) fn begin(self: &Arc<Self>, user: UserId) -> Linger {
        let departures = Arc::new(Departures::default());
        self.0.entry(user.clone()).or_default().push(departures.clone());
        Linger { lingering: self.clone(), user, departures }
    }
}

impl Linger {
    /// Whether the user was removed from `room` meanwhile.
    pub fn has_left(&self, room: &RoomId) -> bool {
        self.departures.rooms().contains(room)
    }
}

impl Drop for Linger {
    fn drop(&mut self) {
        self.lingering.0.remove_if_mut(&self.user, |_, all| {
            all.retain(|other| !Arc::ptr_eq(other, &self.departures));
            all.is_empty()
        });
    }
}
