//! What a session is to get of each room when it opens.

use std::collections::VecDeque;

use parlance_core::{RoomId, visible_ranges};
use parlance_proto::{Outlet, v1};
use parlance_store::UserRoom;

use super::OpenSession;
use super::online::Online;
use super::stream::{RoomStream, Source, Step, gap};
use crate::auth::Caller;
use crate::hub::{Feed, Listening, RoomState};
use crate::map::HashMap;
use crate::operations::parse::Cursor;
use crate::{Api, Error, Sizes};

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
            for user_room in page {
                // Who has left and says nothing of the room is done with it.
                if !user_room.member.is_active() && !cursors.contains_key(&user_room.room) {
                    continue;
                }
                let room = user_room.room;
                let Some((listening, mut state)) = self.hub().subscribe(&room, &open.mailbox).await? else {
                    continue;
                };
                // The client comes from where more is known than has reached this node.
                if cursors.get(&room).is_some_and(|cursor| cursor.seq > state.head) {
                    self.hub().refresh(listening.feed()).await?;
                    state = listening.feed().known().unwrap_or(state);
                }
                // What another task has just read may not be delivered yet; and to have a client
                // drop what it holds takes the store's own word.
                if cursors.get(&room).is_some_and(|cursor| cursor.seq > state.head)
                    && let Some(stored) = self.store().room(&room).await?
                {
                    state.head = state.head.max(stored.head().seq());
                }
                subscribed.insert(room, (listening, state));
            }
            // Those rows may be older than the subscriptions: read again, now that nothing
            // can slip through in between.
            for user_room in self.store().rooms_of(user, after.as_ref(), size).await? {
                let Some(subscription) = subscribed.remove(&user_room.room) else { continue };
                let cursor = cursors.remove(&user_room.room);
                if let Some(head) = open_room(&mut open, &user_room, subscription, cursor, self.sizes()) {
                    heads.push(head);
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
        Ok((open, heads))
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
    let source = if active { Source::live(listening) } else { Source::Past(listening) };
    let stream = RoomStream { source, plan, since: user_room.member.changed_at() };
    open.rooms.insert(room.clone(), stream);
    let head = v1::Cursor { room_id: room.as_str().to_owned(), seq: state.head, epoch: state.epoch };
    active.then_some(head)
}

/// What is to be handed out of a room and named as gaps, and the position to begin
/// from. Together they leave nothing out.
fn plan(
    feed: &Feed,
    user_room: &UserRoom,
    state: RoomState,
    cursor: Option<Cursor>,
    max_catch_up: u64,
) -> (u64, VecDeque<Step>) {
    use v1::GapReason::{AcknowledgedElsewhere, NotMember, Restored, Retention, TooLong};

    // The row may know of a change whose chunk is about to be delivered.
    let head = state.head.max(user_room.member.changed_at());
    let mut plan = VecDeque::new();
    let mut at = match cursor {
        // What the client has of the room is not of this log, or no longer in it.
        Some(cursor) if cursor.seq > head || (cursor.epoch != 0 && cursor.epoch != state.epoch) => {
            plan.push_back(Step::Gap(gap(feed, 1, head, Restored)));
            return (head, plan);
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
    let ranges = visible_ranges(&user_room.member, state.visibility, head);
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
