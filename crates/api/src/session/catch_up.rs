//! What a session is to get of each room when it opens.

use std::collections::VecDeque;
use std::sync::Arc;

use futures::{StreamExt, stream};
use parlance_core::plant::{self, Plant};
use parlance_core::{RoomId, visible_ranges};
use parlance_delivery::Outlet;
use parlance_proto::v1;
use parlance_store::UserRoom;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

use super::OpenSession;
use super::online::Online;
use super::stream::{RoomStream, Source, Step, gap};
use crate::auth::Caller;
use crate::limits::{UNREADABLE_RETRY, UNREADABLE_RETRY_MAX};
use crate::operations::parse::Cursor;
use crate::{Api, Error, Sizes};
use parlance_hub::{Attach, Feed, Hub, Listening, Mailbox, RoomState};
use parlance_runtime::map::HashMap;
use parlance_runtime::own_task::in_own_task;

impl Api {
    /// Fills a new session with the rooms of its user, each from where the client has
    /// it. Returns it with the heads.
    pub(super) async fn catch_up(
        &self,
        online: Online,
        caller: &Caller,
        mut cursors: HashMap<RoomId, Cursor>,
        outlet: Option<Outlet>,
    ) -> Result<(OpenSession, Vec<v1::Cursor>), Error> {
        let user = &caller.user;
        let size = self.sizes().rooms_page;
        let mut open = OpenSession::new(self.hub(), user, outlet, online);
        let mut heads = Vec::new();
        let mut after: Option<RoomId> = None;
        loop {
            let page = self.store().rooms_of(user, after.as_ref(), size).await?;
            let Some(last) = page.last() else {
                if after.is_none() {
                    self.ensure_user(caller).await?;
                }
                break;
            };
            // Whoever is or was somewhere is a user.
            self.remember(user);
            let last = last.room.clone();
            let is_last = page.len() < size;
            let mut subscribed = HashMap::default();
            for (room, subscription) in self.subscribe_page(&open, page, &cursors).await {
                match subscription {
                    Ok(Some(subscription)) => drop(subscribed.insert(room, subscription)),
                    Ok(None) => {}
                    Err(error) => {
                        if plant::is(Plant::OneBadRoom) {
                            return Err(error);
                        }
                        open.postpone(room.clone(), cursors.remove(&room), &error);
                    }
                }
            }
            // Those rows may be older than the subscriptions: read again, now that nothing can
            // slip through in between. The same rows may take more than one page now: the user
            // may have been added to rooms between them.
            let mut from = after.clone();
            while !subscribed.is_empty() {
                let again = self.store().rooms_of(user, from.as_ref(), size).await?;
                let is_end = again.len() < size || plant::is(Plant::RereadPage);
                from = again.last().map(|last| last.room.clone());
                for user_room in again {
                    let Some(subscription) = subscribed.remove(&user_room.room) else { continue };
                    let cursor = cursors.remove(&user_room.room);
                    if let Some(head) = open_room(&mut open, &user_room, subscription, cursor, self.sizes()) {
                        heads.push(head);
                    }
                }
                if is_end {
                    break;
                }
            }
            if is_last {
                break;
            }
            after = Some(last);
        }
        // Rooms that are not this user's: whether they exist is not theirs to know.
        for (room, cursor) in cursors {
            let gap = v1::Gap {
                room_id: room.as_str().to_owned(),
                from_seq: cursor.seq.saturating_add(1),
                to_seq: 0,
                reason: v1::GapReason::NotMember.into(),
                epoch: 0,
            };
            open.notices.push(gap);
        }
        open.retry_later();
        Ok((open, heads))
    }

    /// Subscribes to the rooms of a page that concern the session, some at a time.
    async fn subscribe_page(
        &self,
        open: &OpenSession,
        page: Vec<UserRoom>,
        cursors: &HashMap<RoomId, Cursor>,
    ) -> Vec<(RoomId, Result<Option<(Listening, RoomState)>, Error>)> {
        // Who has left and says nothing of the room is done with it.
        let concerned: Vec<RoomId> = page
            .into_iter()
            .filter(|row| row.member.is_active() || cursors.contains_key(&row.room))
            .map(|row| row.room)
            .collect();
        stream::iter(concerned)
            .map(|room| async move {
                let cursor = cursors.get(&room).copied();
                let subscribed = subscribe(&open.hub, &open.mailbox, &room, cursor).await;
                (room, subscribed)
            })
            .buffer_unordered(self.sizes().subscribe_concurrency)
            .collect()
            .await
    }
}

/// Subscribes to a room, and reads where it is as far as the client knows it.
async fn subscribe(
    hub: &Arc<Hub>,
    mailbox: &Arc<Mailbox>,
    room: &RoomId,
    cursor: Option<Cursor>,
) -> Result<Option<(Listening, RoomState)>, Error> {
    let Some((listening, mut state)) = hub.subscribe(room, mailbox).await? else { return Ok(None) };
    // The client comes from where more is known than has reached this node.
    if cursor.is_some_and(|cursor| cursor.seq > state.head) {
        hub.refresh(listening.feed()).await?;
        state = listening.feed().known().unwrap_or(state);
    }
    // To have a client drop what it holds takes the store's own word.
    if cursor.is_some_and(|cursor| cursor.seq > state.head)
        && let Some(stored) = hub.stored_head(room).await?
    {
        state.head = state.head.max(stored);
    }
    Ok(Some((listening, state)))
}

impl OpenSession {
    /// `room` cannot be read now: it is named as a gap and tried again, and the session goes on
    /// with the others.
    pub(super) fn postpone(&mut self, room: RoomId, cursor: Option<Cursor>, error: &Error) {
        tracing::error!(%room, user = %self.mailbox.user(), %error, "cannot read a room, retrying");
        metrics::counter!("parlance_unreadable_rooms_total").increment(1);
        self.notices.push(unreadable(&room, cursor));
        self.unreadable.insert(room, cursor);
    }

    /// Has the rooms that could not be read tried again, later each time.
    pub(super) fn retry_later(&mut self) {
        if self.unreadable.is_empty() {
            self.retry_delay = UNREADABLE_RETRY;
            self.retry = None;
            return;
        }
        let delay = self.retry_delay;
        self.retry_delay = (delay * 2).min(UNREADABLE_RETRY_MAX);
        let mailbox = self.mailbox.clone();
        let rooms: Vec<RoomId> = self.unreadable.keys().cloned().collect();
        self.retry = Some(AbortOnDropHandle::new(tokio::spawn(async move {
            sleep(delay).await;
            for room in rooms {
                mailbox.attach(Attach { room, joined: 0 });
            }
        })));
    }

    /// Tries again to open a room that could not be read.
    pub(super) async fn open_unreadable(&mut self, room: &RoomId, cursor: Option<Cursor>) {
        let (hub, mailbox, id) = (self.hub.clone(), self.mailbox.clone(), room.clone());
        let opened = in_own_task(async move {
            let Some(subscription) = subscribe(&hub, &mailbox, &id, cursor).await? else { return Ok(None) };
            let row = hub.user_room(mailbox.user(), &id).await?;
            Ok::<_, Error>(row.map(|row| (subscription, row)))
        })
        .await;
        match opened {
            Ok(Some((subscription, row))) => {
                self.unreadable.remove(room);
                if row.member.is_active() || cursor.is_some() {
                    let sizes = self.online.api().sizes();
                    open_room(self, &row, subscription, cursor, sizes);
                }
            }
            Ok(None) => drop(self.unreadable.remove(room)),
            Err(error) => tracing::warn!(%room, %error, "still cannot read a room, retrying"),
        }
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

fn open_room(
    open: &mut OpenSession,
    user_room: &UserRoom,
    (listening, state): (Listening, RoomState),
    cursor: Option<Cursor>,
    sizes: &Sizes,
) -> Option<v1::Cursor> {
    let room = &user_room.room;
    let (start, plan) = plan(listening.feed(), user_room, state, cursor, sizes.max_catch_up);
    let active = user_room.member.is_active();
    listening.move_to(start);
    listening.wake();
    let source = if active { Source::live(listening, state.head) } else { Source::Past(listening) };
    let stream = RoomStream::new(source, plan, &user_room.member, state.head);
    open.rooms.insert(room.clone(), stream);
    let head = v1::Cursor { room_id: room.as_str().to_owned(), seq: state.head, epoch: state.epoch };
    active.then_some(head)
}

/// What is to be handed out of a room and named as gaps, and the position to begin
/// from. Together they leave nothing out.
pub(super) fn plan(
    feed: &Feed,
    user_room: &UserRoom,
    state: RoomState,
    cursor: Option<Cursor>,
    max_catch_up: u64,
) -> (u64, VecDeque<Step>) {
    use v1::GapReason::{AcknowledgedElsewhere, NotMember, Restored, Retention, TooLong};

    // The row may know of a change whose chunk is about to be delivered.
    let head = state.head.max(user_room.member.changed_at());
    let ranges = visible_ranges(&user_room.member, state.visibility, head);
    let mut plan = VecDeque::new();
    let mut at = match cursor {
        // What the client has of the room is not of this log, or no longer in it.
        Some(cursor) if cursor.seq > head || (cursor.epoch != 0 && cursor.epoch != state.epoch) => {
            // How far it went on without them is not theirs to know.
            let end =
                if user_room.member.is_active() { head } else { ranges.last().map_or(0, |last| last.to) };
            plan.push_back(Step::Gap(gap(feed, 1, end, Restored)));
            return (end, plan);
        }
        Some(cursor) => cursor.seq,
        None => 0,
    };
    let start = at;
    let name = |plan: &mut VecDeque<Step>, at: &mut u64, to: u64, reason| {
        if *at < to {
            plan.push_back(Step::Gap(gap(feed, *at + 1, to, reason)));
            *at = to;
        }
    };
    name(&mut plan, &mut at, state.floor.saturating_sub(1), Retention);
    if cursor.is_none() {
        let first = ranges.first().map_or(1, |range| range.from);
        let delivered = user_room.cursors.delivered.min(head);
        // What was before one's time is no news to page, unless all of it is open.
        name(&mut plan, &mut at, first.saturating_sub(1).min(delivered), NotMember);
        name(&mut plan, &mut at, delivered, AcknowledgedElsewhere);
    }
    let mut pushed: u64 = ranges.iter().map(|range| range.to.saturating_sub(at.max(range.from - 1))).sum();
    for range in &ranges {
        if range.to <= at {
            continue;
        }
        name(&mut plan, &mut at, range.from - 1, NotMember);
        if pushed > max_catch_up {
            let skip = (pushed - max_catch_up).min(range.to - at);
            let to = at + skip;
            name(&mut plan, &mut at, to, TooLong);
            pushed -= skip;
        }
        if at < range.to {
            plan.push_back(Step::Through(range.to));
            at = range.to;
        }
    }
    // A member's last range goes on live.
    if user_room.member.is_active()
        && let Some(Step::Through(_)) = plan.back()
    {
        plan.pop_back();
    }
    (start, plan)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{TestNode, caller, group, soon, user};
    use parlance_hub::Waken;

    async fn rooms(node: &TestNode, count: usize) -> Vec<RoomId> {
        node.store.answer_all();
        let mut rooms = Vec::new();
        for number in 0..count {
            let created = node.api.rooms().create(group(&format!("room-{number}"))).await.unwrap();
            rooms.push(created.into_parts().0.info.id);
        }
        rooms.sort();
        rooms
    }

    async fn open(node: &TestNode) -> Result<(OpenSession, Vec<v1::Cursor>), Error> {
        let online = Online::register(&node.api, &user("bob")).await.unwrap();
        soon(node.api.catch_up(online, &caller("bob"), HashMap::default(), None)).await
    }

    /// Bob opens a session while he is added to more rooms than fit on a page, all of which sort
    /// before those that he has.
    async fn heads_while_being_added(node: &TestNode) -> (Vec<RoomId>, Vec<String>) {
        let rooms = rooms(node, 10).await;
        let before_the_page_ends = |creation: &parlance_core::Creation| creation.info.id < rooms[2];
        let added = (0..).map(|number| group(&format!("added-{number}"))).filter(before_the_page_ends);
        *node.store.meanwhile.lock().unwrap() = added.take(7).collect();
        let (open, heads) = open(node).await.unwrap();
        assert_eq!(open.rooms.len(), heads.len());
        (rooms, heads.into_iter().map(|head| head.room_id).collect())
    }

    #[tokio::test]
    async fn a_session_has_all_rooms_although_its_user_is_added_to_others() {
        let (rooms, heads) = heads_while_being_added(&TestNode::start()).await;
        let missing: Vec<_> =
            rooms.iter().filter(|room| !heads.iter().any(|head| head == room.as_str())).collect();
        assert_eq!(missing, Vec::<&RoomId>::new());
    }

    #[tokio::test]
    async fn an_unreadable_room_is_a_gap_and_is_opened_once_it_can_be_read() {
        let node = TestNode::start();
        let rooms = rooms(&node, 5).await;
        let bad = rooms[1].clone();
        node.store.damaged.lock().unwrap().insert(bad.clone());
        let (mut open, heads) = open(&node).await.unwrap();
        assert_eq!(heads.len(), 4);
        let gaps: Vec<_> = open.notices.drain(..).map(|gap| (gap.room_id.clone(), gap.reason())).collect();
        assert_eq!(gaps, [(bad.to_string(), v1::GapReason::Unreadable)]);

        node.store.damaged.lock().unwrap().clear();
        loop {
            if let Waken::Attach(attach) = soon(open.mailbox.next()).await {
                assert_eq!(attach.room, bad);
                open.attach(&attach).await;
                break;
            }
        }
        assert!(open.rooms.contains_key(&bad));
        assert!(open.unreadable.is_empty() && open.retry.is_none());
    }

    #[tokio::test]
    async fn lists_name_the_rooms_that_they_leave_out() {
        let node = TestNode::start();
        let rooms = rooms(&node, 3).await;
        node.store.damaged.lock().unwrap().insert(rooms[1].clone());
        let left_out = vec![rooms[1].to_string()];
        let listed = node.api.list_rooms(&caller("bob"), v1::ListRoomsRequest::default()).await.unwrap();
        assert_eq!((listed.rooms.len(), listed.unreadable_room_ids), (2, left_out.clone()));
        let inbox = node.api.list_inbox(&caller("bob"), v1::ListInboxRequest::default()).await.unwrap();
        assert_eq!((inbox.entries.len(), inbox.unreadable_room_ids), (2, left_out));
    }
}
