//! What a session needs of each room when it opens.
use std::sync::Arc;

use futures::{StreamExt, stream};
use parlance_core::{Caller, RoomId};
use parlance_delivery::Outlet;
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
use crate::subscribe::{Subscribed, Subscribing, subscribe};

impl Sessions {
    /// Subscribes a new session to the rooms of its user, each from the client's cursor. Returns it with the heads. Counts the
    /// rooms in `read`, also those of a session that is refused.
    pub(crate) async fn catch_up(
        &self,
        operations: &Arc<dyn Operations>,
        online: Online,
        caller: &Caller,
        mut cursors: HashMap<RoomId, Cursor>,
        outlet: Option<Outlet>,
        read: &mut usize,
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
            *read += page.rows.len();
            if after.is_none() && page.rows.is_empty() && page.damaged.is_empty() {
                // Anyone who is or was a member of a room exists as a user.
                operations.ensure_user(caller).await.map_err(Error::Operation)?;
            }
            open.postpone_damaged(page.damaged, &mut cursors);
            let mut subscribed =
                self.subscribe_page(&mut open, caller, page.rows, &mut cursors, until).await?;
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
            tracing::warn!(%user, rooms = open.notices.len(), "opened a session without rooms that could not be read yet");
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

    /// Subscribes to the rooms of a page that concern the session, some at a time. Those that do not answer in time, or by
    /// `until`, are opened later.
    async fn subscribe_page(
        &self,
        open: &mut OpenSession,
        caller: &Caller,
        page: Vec<UserRoom>,
        cursors: &mut HashMap<RoomId, Cursor>,
        until: Instant,
    ) -> Result<HashMap<RoomId, Subscribed>, Error> {
        // Former members whose hello does not name the room need nothing of it.
        let concerned = page.into_iter().filter_map(|row| {
            let cursor = cursors.get(&row.room).copied();
            (row.member.is_active() || cursor.is_some()).then_some((row.room, cursor))
        });
        let concerned: Vec<_> = concerned.collect();
        self.check_subscriptions(caller, concerned.len())?;
        let (hub, mailbox) = (self.hub.clone(), open.mailbox.clone());
        let begin = |(room, cursor): (RoomId, _)| {
            let subscribing = subscribe(hub.clone(), mailbox.clone(), room.clone(), cursor);
            async move { (room, Answer::in_time(subscribing, until).await) }
        };
        let mut answers =
            stream::iter(concerned).map(begin).buffer_unordered(self.sizes.subscribe_concurrency);
        let mut subscribed = HashMap::default();
        // Each answer is handled as it comes: a late read that nobody polls would keep others from the store.
        while let Some((room, answer)) = answers.next().await {
            match answer {
                Answer::Read(Ok(Some(subscription))) => drop(subscribed.insert(room, subscription)),
                Answer::Read(Ok(None)) => {}
                Answer::Read(Err(error)) => open.postpone(room.clone(), cursors.remove(&room), &error),
                Answer::Late(begun) => open.open_late(room.clone(), cursors.remove(&room), begun),
            }
        }
        Ok(subscribed)
    }

    /// Refuses `more` subscriptions if its user, or everyone here, would have too many. Rooms that users are added to later
    /// count, too, but are never refused: only sessions that open are.
    fn check_subscriptions(&self, caller: &Caller, more: usize) -> Result<(), Error> {
        let most = self.hub.most_subscriptions();
        let refused = if self.hub.subscriptions() + more > most {
            Some(None)
        } else if let Some(of_user) = self.subscriptions_of_user.filter(|_| !caller.is_service) {
            // No user takes all that there are.
            let most = (of_user.get() as usize).min(most / 2);
            (self.hub.subscriptions_of(&caller.user) + more > most).then_some(Some(most))
        } else {
            None
        };
        let Some(limit) = refused else { return Ok(()) };
        metrics::counter!("parlance_limited_total", "limit" => "subscriptions").increment(1);
        Err(Error::TooManySubscriptions(limit))
    }
}

/// The answer of a room while a session opens.
enum Answer {
    Read(Result<Option<Subscribed>, StoreError>),
    /// It takes too long. `None` if it was not begun.
    Late(Option<Subscribing>),
}

impl Answer {
    async fn in_time(
        subscribing: impl Future<Output = Result<Option<Subscribed>, StoreError>> + Send + 'static,
        until: Instant,
    ) -> Self {
        let now = Instant::now();
        if now >= until {
            return Self::Late(None);
        }
        let mut subscribing: Subscribing = Box::pin(subscribing);
        let read = timeout_at(until.min(now + ROOM_PATIENCE), &mut subscribing).await;
        read.map_or_else(|_| Self::Late(Some(subscribing)), Self::Read)
    }
}
