use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use parlance_core::{RoomId, UserId};
use parlance_runtime::map::Map;

/// Users whose session has ended and who still count as online for a while.
#[derive(Default)]
pub(crate) struct Lingering(Map<UserId, Vec<Arc<Changes>>>);

/// A user whose session has ended and who still counts as online: until this is dropped, the hub records the rooms
/// that they are added to and removed from.
pub struct Linger {
    lingering: Arc<Lingering>,
    user: UserId,
    changes: Arc<Changes>,
}

/// Rooms whose membership of a lingering user has changed.
#[derive(Default)]
struct Changes(Mutex<Rooms>);

#[derive(Default)]
struct Rooms {
    added: BTreeSet<RoomId>,
    removed: BTreeSet<RoomId>,
}

impl Changes {
    fn rooms(&self) -> MutexGuard<'_, Rooms> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lingering {
    pub(crate) fn contains(&self, user: &UserId) -> bool {
        self.0.contains_key(user)
    }

    /// Records that `user` was added to `room`.
    pub(crate) fn added(&self, user: &UserId, room: &RoomId) {
        self.record(user, |rooms| _ = rooms.added.insert(room.clone()));
    }

    /// Records that `user` was removed from `room`.
    pub(crate) fn removed(&self, user: &UserId, room: &RoomId) {
        self.record(user, |rooms| _ = rooms.removed.insert(room.clone()));
    }

    fn record(&self, user: &UserId, change: impl Fn(&mut Rooms)) {
        if let Some(lingering) = self.0.get(user) {
            lingering.iter().for_each(|changes| change(&mut changes.rooms()));
        }
    }

    pub(crate) fn begin(self: &Arc<Self>, user: UserId) -> Linger {
        let changes = Arc::new(Changes::default());
        self.0.entry(user.clone()).or_default().push(changes.clone());
        Linger { lingering: self.clone(), user, changes }
    }
}

impl Linger {
    /// Whether the user was removed from `room` meanwhile.
    pub fn has_left(&self, room: &RoomId) -> bool {
        self.changes.rooms().removed.contains(room)
    }

    /// The rooms that the user was added to meanwhile. They may have been removed since.
    pub fn added(&self) -> BTreeSet<RoomId> {
        self.changes.rooms().added.clone()
    }
}

impl Drop for Linger {
    fn drop(&mut self) {
        self.lingering.0.remove_if_mut(&self.user, |_, all| {
            all.retain(|other| !Arc::ptr_eq(other, &self.changes));
            all.is_empty()
        });
    }
}
