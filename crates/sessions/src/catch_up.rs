//! What a session needs of each room when it opens.
use std::sync::Arc;

use futures::{StreamExt, stream};
use parlance_core::{Caller, RoomId};
use parlance_delivery::Outlet;
use parlance_hub::{Listening, RoomState};
use parlance_proto::v1;
use parlance_runtime::map::HashMap;
use parlance_store::{StoreError, UserRoom};
use tokio::time::{Instant, timeout_at};

use crate::cursor::Cursor;
use crate::error::Error;
use crate::limits::{ROOM_PATIENCE, ROOMS_PATIENCE};
use crate::online::Online;
use crate::open::OpenSession;
use crate::operations::Operations;
use crate::sessions::Sessions;
use crate::subscribe::subscribe;

impl Sessions {
    /// Subscribes a new session to the rooms of its user, each from the client's cursor. Returns it with the heads.
    pub(crate) async fn catch_up(
        &self,
        operations: &Arc<dyn Operations>,
        online: Online,
        caller: &Caller,
        mut cursors: HashMap<RoomId, Cursor>,
        outlet: Option<Outlet>,
    ) -> Result<(OpenSession, Vec<v1::Cursor>), Error> {
        // After the stream was registered to be ended: a change of the account from now on ends it.
        operations.check_account(caller).await.map_err(Error::Operation)?;
        let user = &caller.user;
        let size = self.sizes.rooms_page;
        let mut open = OpenSession::new(operations, user, outlet, online);
        if let Some(most) = self.sessions_of_user.filter(|_| !caller.is_service)
            && self.hub.sessions_of(user) > most.get() as usize
        {
            return Err(Error::TooManySessions(most.get()));
        }
        let mut heads = Vec::new();
        let mut after: Option<RoomId> = None;
        let until = Instant::now() + ROOMS_PATIENCE;
        loop {
            let page = self.store.rooms_of(user, after.as_ref(), size).await?;
            if after.is_none() && page.rows.is_empty() && page.damaged.is_empty() {
                // Anyone who is or was a member of a room exists as a user.
                operations.ensure_user(caller).await.map_err(Error::Operation)?;
            }
            open.postpone_damaged(page.damaged, &mut cursors);
            let mut subscribed = HashMap::default();
            for (room, subscription) in self.subscribe_page(&open, page.rows, &cursors, until).await {
                match subscription {
                    Ok(Some(subscription)) => drop(subscribed.insert(room, subscription)),
                    Ok(None) => {}
                    Err(error) => open.postpone(room.clone(), cursors.remove(&room), &error),
                }
            }
            // Those rows may be older than the subscriptions: read them again, now that nothing can be missed in
            // between. They may take more than one page now: the user may have been added to rooms between them.
            let mut from = after.clone();
            while !subscribed.is_empty() {
                let again = self.store.rooms_of(user, from.as_ref(), size).await?;
                let is_end = again.next.is_none();
                from = again.next;
                let damaged = again.damaged.into_iter().filter(|room| subscribed.remove(room).is_some());
                open.postpone_damaged(damaged.collect(), &mut cursors);
                for user_room in again.rows {
                    let Some(subscription) = subscribed.remove(&user_room.room) else { continue };
                    let cursor = cursors.remove(&user_room.room);
                    if let Some(head) = open.open_room(&user_room, subscription, cursor) {
                        heads.push(head);
                    }
                }
                if is_end {
                    break;
                }
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        if !open.notices.is_empty() {
            tracing::warn!(%user, rooms = open.notices.len(), "opened a session without rooms that cannot be read, retrying them");
        }
        // Rooms of others: their existence must not be revealed.
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

    /// Subscribes to the rooms of a page that concern the session, some at a time. A room that does not answer in
    /// time, or by `until`, counts as unreadable.
    async fn subscribe_page(
        &self,
        open: &OpenSession,
        page: Vec<UserRoom>,
        cursors: &HashMap<RoomId, Cursor>,
        until: Instant,
    ) -> Vec<(RoomId, Result<Option<(Listening, RoomState)>, StoreError>)> {
        // Former members whose hello does not name the room need nothing of it.
        let concerned: Vec<RoomId> = page
            .into_iter()
            .filter(|row| row.member.is_active() || cursors.contains_key(&row.room))
            .map(|row| row.room)
            .collect();
        stream::iter(concerned)
            .map(|room| async move {
                let cursor = cursors.get(&room).copied();
                let soon = until.min(Instant::now() + ROOM_PATIENCE);
                let subscribed = timeout_at(soon, subscribe(&self.hub, &open.mailbox, &room, cursor)).await;
                let unanswered = || StoreError::Unreachable("a room, when a session opened".to_owned());
                (room, subscribed.unwrap_or_else(|_| Err(unanswered())))
            })
            .buffer_unordered(self.sizes.subscribe_concurrency)
            .collect()
            .await
    }
}
