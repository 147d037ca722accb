use std::collections::BTreeSet;
use std::sync::Arc;

use parlance_cluster::SignalRoom;
use parlance_cluster::limits::PRESENCE_ROOMS;
use parlance_core::limits::MAX_SIGNAL_MEMBERS;
use parlance_core::{RoomId, UserId};
use parlance_hub::Linger;

use crate::sessions::Sessions;

/// A session's user, registered here as online until the grace period after this is dropped.
pub(crate) struct Online {
    sessions: Arc<Sessions>,
    user: UserId,
    arrival: Arrival,
    /// The rooms that were notified, once there are any.
    rooms: Option<Vec<SignalRoom>>,
    /// Other rooms that the user was added to: their members are not notified yet, but may ask who is online.
    unopened: BTreeSet<RoomId>,
    /// Records changes of the user's rooms once the session ends.
    linger: Option<Linger>,
}

/// The registry's answer to registering a session.
enum Arrival {
    /// The user was offline on every node.
    First,
    /// The user was already online.
    Further,
    /// The registry was unreachable.
    Unconfirmed,
}

impl Online {
    /// Registers a session of `user`. From then on, other nodes publish events of the user's rooms to this one;
    /// earlier events are in the store.
    pub(crate) async fn register(sessions: &Arc<Sessions>, user: &UserId) -> Option<Self> {
        let (registering, user) = (sessions.clone(), user.clone());
        // In its own task, so that the session is counted exactly once or not at all.
        let registered = sessions.tasks.spawn(async move {
            // When the registry is back, it registers the user.
            let arrival = match registering.registry.connect(&user).await {
                Ok(true) => Arrival::First,
                Ok(false) => Arrival::Further,
                Err(_) => Arrival::Unconfirmed,
            };
            Self {
                sessions: registering,
                user,
                arrival,
                rooms: None,
                unopened: BTreeSet::new(),
                linger: None,
            }
        });
        registered.await.ok()
    }

    pub(crate) fn sessions(&self) -> &Arc<Sessions> {
        &self.sessions
    }

    /// The user has left `room`: its members are not notified of the session's end.
    pub(crate) fn left(&mut self, room: &RoomId) {
        if let Some(told) = &mut self.rooms {
            told.retain(|told| told.room != *room);
        }
    }

    /// The session has joined `room` since the announcement: announces the user's presence there, too.
    pub(crate) fn entered(&mut self, room: SignalRoom) {
        let Some(told) = &mut self.rooms else { return };
        let is_told = told.iter().any(|told| told.room == room.room);
        if told.len() >= PRESENCE_ROOMS {
            told.retain(|told| !self.sessions.is_deleted(&told.room));
        }
        if is_told || told.len() >= PRESENCE_ROOMS || room.head.member_count() > MAX_SIGNAL_MEMBERS {
            return;
        }
        told.push(room.clone());
        let (sessions, user) = (self.sessions.clone(), self.user.clone());
        self.sessions.tasks.spawn(async move {
            sessions.cluster.signal_presence(&user, true, &[room]).await;
        });
    }

    /// The session ends. Called before the hub forgets it, so that no addition to a room is lost in between.
    pub(crate) fn ends(&mut self) {
        self.linger.get_or_insert_with(|| self.sessions.hub.linger(&self.user));
    }

    /// The session ends without having opened `rooms`.
    pub(crate) fn unopened(&mut self, rooms: impl Iterator<Item = RoomId>) {
        self.unopened.extend(rooms);
    }

    /// Announces the user's presence in `rooms`, and later its end.
    pub(crate) fn announce(&mut self, rooms: Vec<SignalRoom>) {
        self.rooms = Some(rooms.clone());
        if matches!(self.arrival, Arrival::Further) {
            return;
        }
        let unconfirmed = matches!(self.arrival, Arrival::Unconfirmed);
        let (sessions, user) = (self.sessions.clone(), self.user.clone());
        self.sessions.tasks.spawn(async move {
            sessions.cluster.signal_presence(&user, true, &rooms).await;
            if unconfirmed {
                sessions.cluster.report_after_outage(user, &sessions.tasks, &sessions.end);
            }
        });
    }
}

impl Sessions {
    /// Whether `room` was deleted, as far as is known here.
    fn is_deleted(&self, room: &RoomId) -> bool {
        let known = self.hub.feed(room).and_then(|feed| feed.known());
        known.is_some_and(|room| room.deleted)
    }
}

impl Drop for Online {
    /// The registration outlives the session by the grace period: reloading a page does not count as going offline.
    fn drop(&mut self) {
        let (sessions, user) = (self.sessions.clone(), self.user.clone());
        let (rooms, mut unopened) = (self.rooms.take(), std::mem::take(&mut self.unopened));
        let linger = self.linger.take().unwrap_or_else(|| sessions.hub.linger(&user));
        self.sessions.tasks.spawn(async move {
            sessions.presence_grace().await;
            let disconnected = sessions.registry.disconnect(&user).await;
            // A session that has opened here meanwhile announces itself.
            let unconfirmed = disconnected.is_err() && !sessions.hub.has_session(&user);
            if disconnected != Ok(true) && !unconfirmed {
                return;
            }
            if let Some(mut rooms) = rooms {
                rooms.retain(|room| !linger.has_left(&room.room) && !sessions.is_deleted(&room.room));
                unopened.extend(linger.added());
                unopened.retain(|room| rooms.iter().all(|told| told.room != *room));
                sessions.cluster.signal_presence(&user, false, &rooms).await;
                sessions.cluster.report_offline_in(&user, unopened).await;
            } else {
                // The session has ended during hello. An earlier one may have announced the user.
                sessions.cluster.report_offline(&user).await;
            }
            if unconfirmed {
                sessions.cluster.report_after_outage(user, &sessions.tasks, &sessions.end);
            }
        });
    }
}
