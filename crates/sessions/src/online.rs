use std::sync::Arc;

use parlance_cluster::SignalRoom;
use parlance_core::{RoomId, UserId};

use crate::sessions::Sessions;

/// The user of a session, registered here as online until a while after this is dropped.
pub(crate) struct Online {
    sessions: Arc<Sessions>,
    user: UserId,
    came: bool,
    rooms: Vec<SignalRoom>,
}

impl Online {
    /// Registers a session of `user`. From when this returns, other nodes tell this one what
    /// happens in their rooms; what happened before, the store tells.
    pub(crate) async fn register(sessions: &Arc<Sessions>, user: &UserId) -> Option<Self> {
        let (registering, user) = (sessions.clone(), user.clone());
        // In a task of its own, so that the session is counted once or not at all.
        let registered = sessions.tasks.spawn(async move {
            // Out of reach, the registry makes up for it.
            let came = registering.registry.connect(&user).await == Ok(true);
            Self { sessions: registering, user, came, rooms: Vec::new() }
        });
        registered.await.ok()
    }

    pub(crate) fn sessions(&self) -> &Arc<Sessions> {
        &self.sessions
    }

    /// The user has left `room`: those in it are not told of the session's end.
    pub(crate) fn left(&mut self, room: &RoomId) {
        self.rooms.retain(|told| told.room != *room);
    }

    /// Tells `rooms` of it, and of the leaving when it comes to that.
    pub(crate) fn announce(&mut self, rooms: Vec<SignalRoom>) {
        self.rooms = rooms;
        if self.came {
            let (cluster, user, rooms) =
                (self.sessions.cluster.clone(), self.user.clone(), self.rooms.clone());
            self.sessions.tasks.spawn(async move { cluster.signal_presence(&user, true, &rooms).await });
        }
    }
}

impl Drop for Online {
    /// The registration outlives the session by the grace: whoever reloads a page never was away.
    fn drop(&mut self) {
        let (sessions, user) = (self.sessions.clone(), self.user.clone());
        let mut rooms = std::mem::take(&mut self.rooms);
        let linger = sessions.hub.linger(&user);
        self.sessions.tasks.spawn(async move {
            sessions.presence_grace().await;
            if sessions.registry.disconnect(&user).await == Ok(true) {
                rooms.retain(|told| !linger.has_left(&told.room));
                sessions.cluster.signal_presence(&user, false, &rooms).await;
            }
        });
    }
}
