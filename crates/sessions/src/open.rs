use std::sync::Arc;

use parlance_core::{RoomId, UserId, Visibility};
use parlance_delivery::Outlet;
use parlance_hub::{Attach, Hub, Listening, Mailbox, RoomState};
use parlance_proto::v1;
use parlance_runtime::map::HashMap;
use parlance_runtime::own_task::in_own_task;
use parlance_store::{StoreError, UserRoom};

use crate::acks::Acks;
use crate::cursor::Cursor;
use crate::online::Online;
use crate::operations::Operations;
use crate::plan::{plan, steps_after};
use crate::room_stream::{RoomStream, Source};
use crate::subscribe::subscribe;
use crate::unreadable::Unreadable;

/// What a session has once hello was said. Dropping it takes the session out of
/// everything that knows it.
pub(crate) struct OpenSession {
    hub: Arc<Hub>,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) rooms: HashMap<RoomId, RoomStream>,
    /// Where the session was in rooms that its user has left meanwhile.
    pub(crate) left: HashMap<RoomId, u64>,
    /// Rooms that could not be read yet.
    pub(crate) unreadable: Unreadable,
    /// Gaps to name once, right after the welcome.
    pub(crate) notices: Vec<v1::Gap>,
    /// `None` once the session ends.
    pub(crate) acks: Option<Acks>,
    pub(crate) online: Online,
}

impl OpenSession {
    pub(crate) fn new(
        operations: &Arc<dyn Operations>,
        user: &UserId,
        outlet: Option<Outlet>,
        online: Online,
    ) -> Self {
        Self {
            hub: online.sessions().hub.clone(),
            mailbox: online.sessions().hub.open(user, outlet),
            rooms: HashMap::default(),
            left: HashMap::default(),
            unreadable: Unreadable::default(),
            notices: Vec::new(),
            acks: Some(Acks::new(online.sessions(), operations, user)),
            online,
        }
    }

    fn max_catch_up(&self) -> u64 {
        self.online.sessions().sizes.max_catch_up
    }

    /// `room` cannot be read now: it is named as a gap and tried again, and the session goes on
    /// with the others.
    pub(crate) fn postpone(&mut self, room: RoomId, cursor: Option<Cursor>, error: &StoreError) {
        tracing::error!(%room, user = %self.mailbox.user(), %error, "cannot read a room, retrying");
        metrics::counter!("parlance_unreadable_rooms_total").increment(1);
        self.notices.push(unreadable(&room, cursor));
        self.unreadable.add(room, cursor);
    }

    /// Has the rooms tried again whose time has come.
    pub(crate) fn retry_due(&mut self) {
        for room in self.unreadable.take_due() {
            self.mailbox.attach(Attach { room, joined: 0 });
        }
    }

    /// Tries again to open a room that could not be read.
    async fn open_unreadable(&mut self, room: &RoomId, cursor: Option<Cursor>) {
        let (hub, mailbox, id) = (self.hub.clone(), self.mailbox.clone(), room.clone());
        let opened = in_own_task(async move {
            let Some(subscription) = subscribe(&hub, &mailbox, &id, cursor).await? else { return Ok(None) };
            let row = hub.user_room(mailbox.user(), &id).await?;
            Ok::<_, StoreError>(row.map(|row| (subscription, row)))
        })
        .await;
        match opened {
            Ok(Some((subscription, row))) => {
                self.unreadable.reopened(room);
                if row.member.is_active() || cursor.is_some() {
                    self.open_room(&row, subscription, cursor);
                }
            }
            Ok(None) => self.unreadable.forget(room),
            Err(error) => {
                tracing::warn!(%room, %error, "still cannot read a room, retrying");
                self.unreadable.failed_again(room);
            }
        }
    }

    /// The user was added to a room, by what has reached this node: that may be old, and
    /// they removed since. Their row says what is true now.
    pub(crate) async fn attach(&mut self, attach: &Attach) {
        if let Some(cursor) = self.unreadable.cursor(&attach.room) {
            self.open_unreadable(&attach.room, cursor).await;
            return;
        }
        if let Some(stream) = self.rooms.get_mut(&attach.room) {
            // Known from the start of the session, or not yet come to the removal.
            if matches!(stream.source, Source::Live(_)) {
                stream.since = stream.since.max(attach.joined);
                stream.subscription().rejoined(attach.joined);
                return;
            }
        }
        let (hub, mailbox, room) = (self.hub.clone(), self.mailbox.clone(), attach.room.clone());
        let subscribed = in_own_task(async move {
            let Some((listening, state)) = hub.subscribe(&room, &mailbox).await? else { return Ok(None) };
            // After that: a removal that the row does not know yet comes with the stream.
            let Some(member) = hub.member(&room, mailbox.user()).await? else { return Ok(None) };
            // How far they had the room when they were members before.
            let returns = member.intervals.len() > 1 && state.visibility != Visibility::All;
            let row = if returns { hub.user_room(mailbox.user(), &room).await? } else { None };
            Ok::<_, StoreError>(Some((listening, state, member, row)))
        })
        .await;
        let earlier = self.rooms.get(&attach.room).map(RoomStream::cursor);
        let known = earlier.or_else(|| self.left.get(&attach.room).copied());
        let subscribed = match subscribed {
            Ok(subscribed) => subscribed,
            Err(error) => {
                // The next try goes on from here: nothing more of an earlier membership till then.
                self.rooms.remove(&attach.room);
                self.postpone(attach.room.clone(), known.map(|seq| Cursor { seq, epoch: 0 }), &error);
                return;
            }
        };
        let Some((listening, state, member, row)) = subscribed else { return };
        let member = row.as_ref().map_or(member, |row| row.member.clone());
        // Who has left, and did not know of the room here, is done with it.
        if known.is_none() && !member.is_active() {
            return;
        }
        let (cursor, plan) = match (known, row) {
            // As on hello: not all that they have seen on another device, or long ago.
            (None, Some(row)) => plan(listening.feed(), &row, state, None, self.max_catch_up()),
            (known, _) => {
                let cursor = known.unwrap_or(0);
                (cursor, steps_after(listening.feed(), &member, state.visibility, cursor))
            }
        };
        listening.move_to(cursor);
        listening.wake();
        let source =
            if member.is_active() { Source::live(listening, state.head) } else { Source::Past(listening) };
        self.left.remove(&attach.room);
        let stream = RoomStream::new(source, plan, &member, state.head);
        self.rooms.insert(attach.room.clone(), stream);
    }

    /// Goes on with a room from where the client has it. Returns the room's head for a member.
    pub(crate) fn open_room(
        &mut self,
        user_room: &UserRoom,
        (listening, state): (Listening, RoomState),
        cursor: Option<Cursor>,
    ) -> Option<v1::Cursor> {
        let room = &user_room.room;
        let (start, plan) = plan(listening.feed(), user_room, state, cursor, self.max_catch_up());
        let active = user_room.member.is_active();
        listening.move_to(start);
        listening.wake();
        let source = if active { Source::live(listening, state.head) } else { Source::Past(listening) };
        let stream = RoomStream::new(source, plan, &user_room.member, state.head);
        self.rooms.insert(room.clone(), stream);
        let head = v1::Cursor { room_id: room.as_str().to_owned(), seq: state.head, epoch: state.epoch };
        active.then_some(head)
    }
}

impl Drop for OpenSession {
    fn drop(&mut self) {
        // While the session still listens to its rooms.
        self.acks = None;
        // Removed, and not come to it yet.
        for (room, stream) in &self.rooms {
            if stream.subscription().removed_at() != 0 {
                self.online.left(room);
            }
        }
        self.hub.close(&self.mailbox);
    }
}

/// The gap of a room that cannot be read now, open at its end.
fn unreadable(room: &RoomId, cursor: Option<Cursor>) -> v1::Gap {
    v1::Gap {
        room_id: room.as_str().to_owned(),
        from_seq: cursor.map_or(0, |cursor| cursor.seq).saturating_add(1),
        to_seq: 0,
        reason: v1::GapReason::Unreadable.into(),
        epoch: cursor.map_or(0, |cursor| cursor.epoch),
    }
}
