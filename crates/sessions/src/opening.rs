//! Rooms that a session opens while it continues with others.
use std::sync::Arc;

use parlance_core::{Member, RoomId, Visibility};
use parlance_hub::{Attach, Hub, Mailbox};
use parlance_runtime::map::HashMap;
use parlance_store::{StoreError, UserRoom};

use crate::cursor::Cursor;
use crate::subscribe::Subscribed;
use crate::tasks::Tasks;

/// Rooms being read or queued for it.
pub(crate) struct Opening {
    pub(crate) tasks: Tasks<RoomId, Box<(RoomId, Opened)>>,
    /// All of them, with the event that has added the user since, if any: the room is then checked again.
    rooms: HashMap<RoomId, Option<u64>>,
}

/// The result of reading a room.
pub(crate) enum Opened {
    /// A room that could not be read before, with the client's cursor.
    Again(Option<Cursor>, Result<Option<(Subscribed, UserRoom)>, StoreError>),
    /// A room that the user was added to.
    Added(Result<Option<Added>, StoreError>),
}

/// A room that the user was added to.
pub(crate) struct Added {
    pub(crate) subscribed: Subscribed,
    pub(crate) member: Member,
    /// For users who return, in rooms where that matters.
    pub(crate) row: Option<UserRoom>,
}

impl Opening {
    pub(crate) fn new(at_once: usize) -> Self {
        Self { tasks: Tasks::new(at_once), rooms: HashMap::default() }
    }

    /// Whether the room is being opened. If so, it is checked again afterwards.
    pub(crate) fn look_again(&mut self, attach: &Attach) -> bool {
        let Some(joined) = self.rooms.get_mut(&attach.room) else { return false };
        *joined = (*joined).max(Some(attach.joined));
        true
    }

    /// Those rooms.
    pub(crate) fn rooms(&self) -> impl Iterator<Item = &RoomId> {
        self.rooms.keys()
    }

    /// Queues `room`.
    pub(crate) fn add(&mut self, room: RoomId) {
        self.rooms.insert(room.clone(), None);
        self.tasks.add(room);
    }

    /// Goes on with `room`, whose reading was begun before.
    pub(crate) fn go_on(&mut self, room: RoomId, read: impl Future<Output = Opened> + Send + 'static) {
        self.rooms.insert(room.clone(), None);
        self.read(room, read);
    }

    pub(crate) fn read(&mut self, room: RoomId, read: impl Future<Output = Opened> + Send + 'static) {
        self.tasks.spawn(async move { Box::new((room, read.await)) });
    }

    /// Removes `room`. Returns the check that was requested meanwhile.
    pub(crate) fn done(&mut self, room: RoomId) -> Option<Attach> {
        let joined = self.rooms.remove(&room)??;
        Some(Attach { room, joined })
    }
}

/// Opens a room that could not be read before.
pub(crate) async fn open_again(
    hub: Arc<Hub>,
    mailbox: Arc<Mailbox>,
    room: RoomId,
    cursor: Option<Cursor>,
    subscribing: impl Future<Output = Result<Option<Subscribed>, StoreError>>,
) -> Opened {
    let read = async {
        let Some(subscribed) = subscribing.await? else { return Ok(None) };
        let row = hub.user_room(mailbox.user(), &room).await?;
        Ok(row.map(|row| (subscribed, row)))
    };
    Opened::Again(cursor, read.await)
}

/// Subscribes to a room that the user was added to.
pub(crate) async fn open_added(hub: Arc<Hub>, mailbox: Arc<Mailbox>, room: RoomId) -> Opened {
    let read = async {
        let Some(subscribed) = hub.subscribe(&room, &mailbox).await? else { return Ok(None) };
        // Read after subscribing: a removal that is not in the row yet arrives with the stream.
        let Some(member) = hub.member(&room, mailbox.user()).await? else { return Ok(None) };
        // The user's position in the room during an earlier membership.
        let returns = member.intervals.len() > 1 && subscribed.1.visibility != Visibility::All;
        let row = if returns { hub.user_room(mailbox.user(), &room).await? } else { None };
        Ok(Some(Added { subscribed, member, row }))
    };
    Opened::Added(read.await)
}
