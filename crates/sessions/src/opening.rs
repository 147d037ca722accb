//! Rooms that a session opens while it goes on with the others.
use std::sync::Arc;

use parlance_core::{Member, RoomId, Visibility};
use parlance_hub::{Attach, Hub, Listening, Mailbox, RoomState};
use parlance_runtime::map::HashMap;
use parlance_store::{StoreError, UserRoom};

use crate::cursor::Cursor;
use crate::subscribe::subscribe;
use crate::tasks::Tasks;

/// Rooms that are being read, or wait in line for that.
pub(crate) struct Opening {
    pub(crate) tasks: Tasks<RoomId, Box<(RoomId, Opened)>>,
    /// All of them, and the event that added the user to each since, if there was one: then the room
    /// is looked at again.
    rooms: HashMap<RoomId, Option<u64>>,
}

/// What the store says of a room.
pub(crate) enum Opened {
    /// One that could not be read before, and where the client is in it.
    Again(Option<Cursor>, Result<Option<(Subscribed, UserRoom)>, StoreError>),
    /// One that the user was added to.
    Added(Result<Option<Added>, StoreError>),
}

pub(crate) type Subscribed = (Listening, RoomState);

/// A room that the user was added to.
pub(crate) struct Added {
    pub(crate) subscribed: Subscribed,
    pub(crate) member: Member,
    /// Of those who come back, in rooms where that matters.
    pub(crate) row: Option<UserRoom>,
}

impl Opening {
    pub(crate) fn new(at_once: usize) -> Self {
        Self { tasks: Tasks::new(at_once), rooms: HashMap::default() }
    }

    /// Whether the room is being opened. If so, it is looked at again after that.
    pub(crate) fn look_again(&mut self, attach: &Attach) -> bool {
        let Some(joined) = self.rooms.get_mut(&attach.room) else { return false };
        *joined = (*joined).max(Some(attach.joined));
        true
    }

    /// Puts `room` in line.
    pub(crate) fn add(&mut self, room: RoomId) {
        self.rooms.insert(room.clone(), None);
        self.tasks.add(room);
    }

    pub(crate) fn read(&mut self, room: RoomId, read: impl Future<Output = Opened> + Send + 'static) {
        self.tasks.spawn(async move { Box::new((room, read.await)) });
    }

    /// `room` was dealt with. Returns the look that was asked for meanwhile.
    pub(crate) fn done(&mut self, room: RoomId) -> Option<Attach> {
        let joined = self.rooms.remove(&room)??;
        Some(Attach { room, joined })
    }
}

/// Subscribes to a room that could not be read before.
pub(crate) async fn open_again(
    hub: Arc<Hub>,
    mailbox: Arc<Mailbox>,
    room: RoomId,
    cursor: Option<Cursor>,
) -> Opened {
    let read = async {
        let Some(subscribed) = subscribe(&hub, &mailbox, &room, cursor).await? else { return Ok(None) };
        let row = hub.user_room(mailbox.user(), &room).await?;
        Ok(row.map(|row| (subscribed, row)))
    };
    Opened::Again(cursor, read.await)
}

/// Subscribes to a room that the user was added to.
pub(crate) async fn open_added(hub: Arc<Hub>, mailbox: Arc<Mailbox>, room: RoomId) -> Opened {
    let read = async {
        let Some(subscribed) = hub.subscribe(&room, &mailbox).await? else { return Ok(None) };
        // After that: a removal that the row does not know yet comes with the stream.
        let Some(member) = hub.member(&room, mailbox.user()).await? else { return Ok(None) };
        // How far they had the room when they were members before.
        let returns = member.intervals.len() > 1 && subscribed.1.visibility != Visibility::All;
        let row = if returns { hub.user_room(mailbox.user(), &room).await? } else { None };
        Ok(Some(Added { subscribed, member, row }))
    };
    Opened::Added(read.await)
}
