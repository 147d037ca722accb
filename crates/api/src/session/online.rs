use std::sync::Arc;

use parlance_core::{RoomId, UserId};

use crate::Api;
use crate::cluster::SignalRoom;

/// The user of a session, registered here as online until this is dropped.
pub(super) struct Online {
    api: Arc<Api>,
    user: UserId,
    came: bool,
    rooms: Vec<SignalRoom>,
}

impl Online {
    /// Registers a session of `user`. From when this returns, other nodes tell this one what
    /// happens in their rooms; what happened before, the store tells.
    pub(super) async fn register(api: &Arc<Api>, user: &UserId) -> Option<Self> {
        let (registering, user) = (api.clone(), user.clone());
        // In a task of its own, so that the session is counted once or not at all.
        let registered = api.tasks().spawn(async move {
            // Out of reach, the registry makes up for it.
            let came = registering.registry().connect(&user).await == Ok(true);
            Self { api: registering, user, came, rooms: Vec::new() }
        });
        registered.await.ok()
    }

    pub(super) fn api(&self) -> &Arc<Api> {
        &self.api
    }

    /// The user has left `room`: those in it are not told of the session's end.
    pub(super) fn left(&mut self, room: &RoomId) {
        self.rooms.retain(|told| told.room != *room);
    }

    /// Tells `rooms` of it, and of the leaving when it comes to that.
    pub(super) fn announce(&mut self, rooms: Vec<SignalRoom>) {
        self.rooms = rooms;
        if self.came {
            let (api, user, rooms) = (self.api.clone(), self.user.clone(), self.rooms.clone());
            self.api.tasks().spawn(async move { api.tell_presence(&user, true, &rooms).await });
        }
    }
}

impl Drop for Online {
    fn drop(&mut self) {
        let (api, user, rooms) = (self.api.clone(), self.user.clone(), std::mem::take(&mut self.rooms));
        self.api.tasks().spawn(async move {
            if api.registry().disconnect(&user).await == Ok(true) {
                api.tell_presence(&user, false, &rooms).await;
            }
        });
    }
}
