use std::collections::VecDeque;
use std::sync::Arc;

use parlance_core::{RoomId, UserId};
use parlance_delivery::{Delivery, Outlet};
use parlance_hub::{Attach, Hub, Mailbox, Places};
use parlance_proto::v1;
use parlance_runtime::map::HashMap;
use parlance_store::{StoreError, UserRoom};

use crate::acks::Acks;
use crate::cursor::Cursor;
use crate::limits::LOG_READS;
use crate::log_reads::{LogRead, LogReads};
use crate::online::Online;
use crate::opening::{Added, Opened, Opening, open_added, open_again};
use crate::operations::Operations;
use crate::plan::{plan, steps_after};
use crate::room_stream::{Progress, RoomStream, Source};
use crate::subscribe::{Subscribed, Subscribing, subscribe};
use crate::unreadable::Unreadable;

/// The state of a session after hello. Dropping it unsubscribes and unregisters the session.
pub(crate) struct OpenSession {
    hub: Arc<Hub>,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) rooms: HashMap<RoomId, RoomStream>,
    /// The session's position in rooms that its user has left meanwhile.
    pub(crate) left: HashMap<RoomId, u64>,
    /// Rooms that could not be read yet.
    pub(crate) unreadable: Unreadable,
    /// Counts them among the subscriptions.
    to_come: Places,
    /// Rooms being opened.
    pub(crate) opening: Opening,
    pub(crate) log_reads: LogReads,
    /// Gaps to send once, right after the welcome.
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
        let hub = online.sessions().hub.clone();
        let mailbox = hub.open(user, outlet);
        Self {
            to_come: hub.places(&mailbox),
            hub,
            mailbox,
            rooms: HashMap::default(),
            left: HashMap::default(),
            unreadable: Unreadable::default(),
            opening: Opening::new(online.sessions().sizes.subscribe_concurrency),
            log_reads: LogReads::new(LOG_READS),
            notices: Vec::new(),
            acks: Some(Acks::new(online.sessions(), operations, user)),
            online,
        }
    }

    fn max_catch_up(&self) -> u64 {
        self.online.sessions().sizes.max_catch_up
    }

    /// Handles a room that cannot be read now: it is reported as a gap and retried, while the session continues with
    /// the others.
    pub(crate) fn postpone(&mut self, room: RoomId, cursor: Option<Cursor>, error: &StoreError) {
        if let StoreError::Damaged(_) = error {
            tracing::error!(%room, user = %self.mailbox.user(), %error, "cannot read a room, retrying");
            metrics::counter!("parlance_unreadable_rooms_total").increment(1);
        } else {
            // Debug level: with a slow store this is logged for every room of every session.
            tracing::debug!(%room, user = %self.mailbox.user(), %error, "cannot read a room, retrying");
        }
        self.notices.push(unreadable(&room, cursor));
        self.unreadable.add(room, cursor, error);
        self.to_come.set(self.unreadable.len());
    }

    /// Handles a room that was not opened in time: it is reported like one that cannot be read, and opened while the session
    /// is served. What was `begun` goes on, if it is not one of too many: to begin again would only make the store slower.
    pub(crate) fn open_late(&mut self, room: RoomId, cursor: Option<Cursor>, begun: Option<Subscribing>) {
        self.notices.push(unreadable(&room, cursor));
        self.unreadable.add_late(room.clone(), cursor);
        self.to_come.set(self.unreadable.len());
        match begun.filter(|_| !self.opening.tasks.is_full()) {
            Some(begun) => {
                let opened = open_again(self.hub.clone(), self.mailbox.clone(), room.clone(), cursor, begun);
                self.opening.go_on(room, opened);
            }
            None => {
                self.opening.add(room);
                self.open_next();
            }
        }
    }

    /// The same for rooms in which the user's row is damaged.
    pub(crate) fn postpone_damaged(&mut self, rooms: Vec<RoomId>, cursors: &mut HashMap<RoomId, Cursor>) {
        for room in rooms {
            let error = StoreError::Damaged("the row of the user".to_owned());
            let cursor = cursors.remove(&room);
            self.postpone(room, cursor, &error);
        }
    }

    /// Retries the rooms that are due.
    pub(crate) fn retry_due(&mut self) {
        for room in self.unreadable.take_due() {
            self.attach(Attach { room, joined: 0 });
        }
    }

    /// The user was added to a room, according to an event that reached this node. It may be old, and they may have
    /// been removed since: their row is authoritative.
    pub(crate) fn attach(&mut self, attach: Attach) {
        if self.opening.look_again(&attach) {
            return;
        }
        if let Some(stream) = self.rooms.get_mut(&attach.room) {
            // Known from the start of the session, or the removal was not processed yet.
            if matches!(stream.source, Source::Live(_)) {
                stream.since = stream.since.max(attach.joined);
                stream.subscription().added(attach.joined);
                return;
            }
        }
        self.opening.add(attach.room);
        self.open_next();
    }

    /// Starts opening rooms, up to the allowed number.
    fn open_next(&mut self) {
        while let Some(room) = self.opening.tasks.next_waiting() {
            let (hub, mailbox) = (self.hub.clone(), self.mailbox.clone());
            match self.unreadable.cursor(&room) {
                Some(cursor) => {
                    let subscribing = subscribe(hub.clone(), mailbox.clone(), room.clone(), cursor);
                    let opened = open_again(hub, mailbox, room.clone(), cursor, subscribing);
                    self.opening.read(room, opened);
                }
                None => self.opening.read(room.clone(), open_added(hub, mailbox, room)),
            }
        }
    }

    /// Handles the result of opening a room.
    pub(crate) fn opened(&mut self, room: RoomId, opened: Opened) {
        match opened {
            Opened::Again(cursor, read) => self.opened_again(&room, cursor, read),
            Opened::Added(read) => self.opened_added(&room, read),
        }
        self.to_come.set(self.unreadable.len());
        if let Some(attach) = self.opening.done(room) {
            self.attach(attach);
        }
        self.open_next();
    }

    fn opened_again(
        &mut self,
        room: &RoomId,
        cursor: Option<Cursor>,
        read: Result<Option<(Subscribed, UserRoom)>, StoreError>,
    ) {
        match read {
            Ok(Some((subscribed, row))) => {
                self.unreadable.reopened(room);
                if row.member.is_active() || cursor.is_some() {
                    self.open_room(&row, subscribed, cursor);
                    self.entered(room);
                }
            }
            Ok(None) => self.unreadable.forget(room),
            Err(error) => {
                tracing::debug!(%room, %error, "still cannot read a room, retrying");
                self.unreadable.failed_again(room, &error);
            }
        }
    }

    fn opened_added(&mut self, room: &RoomId, read: Result<Option<Added>, StoreError>) {
        // The stream of an earlier membership: its end is still to be delivered, was delivered, or cannot be read.
        let earlier = self.rooms.get(room).map(RoomStream::cursor);
        let unreadable = || self.unreadable.cursor(room).flatten().map(|cursor| cursor.seq);
        let known = earlier.or_else(|| self.left.get(room).copied()).or_else(unreadable);
        let added = match read {
            Ok(Some(added)) => added,
            Ok(None) => return,
            Err(error) => {
                // The next attempt continues from here: nothing more of an earlier membership until then.
                self.rooms.remove(room);
                self.postpone(room.clone(), known.map(|seq| Cursor { seq, epoch: 0 }), &error);
                return;
            }
        };
        let Added { subscribed: (listening, state), member, row } = added;
        let member = row.as_ref().map_or(member, |row| row.member.clone());
        // A former member whose client does not have the room needs nothing of it.
        if known.is_none() && !member.is_active() {
            return;
        }
        let (cursor, plan) = match (known, row) {
            // As on hello: not everything they have seen on another device or long ago.
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
        self.left.remove(room);
        self.unreadable.reopened(room);
        let stream = RoomStream::new(source, plan, &member, state.head);
        self.rooms.insert(room.clone(), stream);
        self.entered(room);
    }

    /// Announces the user's presence in `room`, unless that was done before.
    fn entered(&mut self, room: &RoomId) {
        if let Some(room) = self.rooms.get(room).and_then(RoomStream::signal_room) {
            self.online.entered(room);
        }
    }

    /// Advances a room that has new events.
    pub(crate) fn advance(&mut self, room: &RoomId, out: &mut VecDeque<Delivery>) {
        let Some(stream) = self.rooms.get_mut(room) else { return };
        let progress = stream.advance(self.mailbox.user(), out);
        self.progress(room, progress, false);
    }

    /// Handles the result of reading what a room's stream needed.
    pub(crate) fn log_read(&mut self, read: LogRead, out: &mut VecDeque<Delivery>) {
        let LogRead { subscription, found } = read;
        let room = subscription.room();
        if let Some(stream) = self.rooms.get_mut(room).filter(|stream| stream.is_of(&subscription)) {
            let woken = stream.end_wait();
            match found {
                Ok(found) => {
                    let progress = stream.take(found, self.mailbox.user(), out);
                    self.progress(room, progress, woken);
                }
                Err(error) => {
                    let cursor = stream.position();
                    self.rooms.remove(room);
                    self.postpone(room.clone(), Some(cursor), &error);
                }
            }
        }
        self.read_next();
    }

    /// Records the progress of `room`; `woken` if it has new events since the read began.
    fn progress(&mut self, room: &RoomId, progress: Progress, woken: bool) {
        let Some(stream) = self.rooms.get(room) else { return };
        match progress {
            // Queued behind the other waiting rooms.
            Progress::More => stream.subscription().wake(),
            Progress::UpToDate => {
                stream.subscription().set_at_head(stream.follows());
                if woken {
                    stream.subscription().wake();
                }
                self.unreadable.forget(room);
            }
            Progress::Over => {
                self.left.insert(room.clone(), stream.cursor());
                self.rooms.remove(room);
                self.online.left(room);
                self.unreadable.forget(room);
            }
            Progress::Needs(needs) => {
                self.log_reads.add((stream.subscription().clone(), needs));
                self.read_next();
            }
            Progress::Waits => {}
        }
    }

    /// Starts reading what rooms need, up to the allowed number.
    fn read_next(&mut self) {
        while let Some((subscription, needs)) = self.log_reads.next_waiting() {
            // A stream that was replaced meanwhile needs nothing.
            let stream = self.rooms.get(subscription.room());
            if let Some(stream) = stream.filter(|stream| stream.is_of(&subscription)) {
                self.log_reads.begin(&self.hub, stream, needs);
            }
        }
    }

    /// Continues a room from the client's cursor. Returns the room's head for a member.
    pub(crate) fn open_room(
        &mut self,
        user_room: &UserRoom,
        (listening, state): Subscribed,
        cursor: Option<Cursor>,
    ) -> Option<v1::Cursor> {
        let room = &user_room.room;
        let active = user_room.member.is_active();
        // The end of a deleted room is delivered until some device has acknowledged it, and to clients that name it.
        if active && state.deleted && cursor.is_none() && user_room.cursors.delivered >= state.head {
            return None;
        }
        let (start, plan) = plan(listening.feed(), user_room, state, cursor, self.max_catch_up());
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
        // While the session is still subscribed to its rooms.
        self.acks = None;
        // Removed, but the removal was not processed yet.
        for (room, stream) in &self.rooms {
            if stream.subscription().removed_at() != 0 {
                self.online.left(room);
            }
        }
        self.online.ends();
        self.hub.close(&self.mailbox);
        let unopened = self.opening.rooms().chain(self.unreadable.rooms()).cloned();
        self.online.unopened(unopened.chain(self.mailbox.unopened()));
    }
}

/// The open-ended gap of a room that cannot be read now.
fn unreadable(room: &RoomId, cursor: Option<Cursor>) -> v1::Gap {
    v1::Gap {
        room_id: room.as_str().to_owned(),
        from_seq: cursor.map_or(0, |cursor| cursor.seq).saturating_add(1),
        to_seq: 0,
        reason: v1::GapReason::Unreadable.into(),
        epoch: cursor.map_or(0, |cursor| cursor.epoch),
    }
}
