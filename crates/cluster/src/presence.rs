//! Presence of users whose node is gone or was considered gone: the node that removes their registrations reports
//! them.
use std::collections::BTreeSet;
use std::future::ready;
use std::pin::pin;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use parlance_core::limits::MAX_SIGNAL_MEMBERS;
use parlance_core::{RoomId, UserId};
use parlance_delivery::SharedFrame;
use parlance_proto::v1;
use parlance_store::{StoreError, rooms};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cluster::Cluster;
use crate::limits::{GONE_AT_ONCE, PRESENCE_ROOMS, USERS_AT_ONCE};
use crate::signal_room::SignalRoom;

impl Cluster {
    /// Signals to everyone who shares one of `rooms` with `user` that they came online or went offline. If the
    /// opposite has become true meanwhile, signals that too: another node may have sent it before this.
    pub async fn signal_presence(&self, user: &UserId, online: bool, rooms: &[SignalRoom]) {
        self.signal_once(user, online, rooms).await;
        let is_certain = online && self.hub.has_session(user);
        if !is_certain && self.registry.online(std::slice::from_ref(user)).await == Ok(vec![!online]) {
            self.signal_once(user, !online, rooms).await;
        }
    }

    async fn signal_once(&self, user: &UserId, online: bool, rooms: &[SignalRoom]) {
        let frame = presence(user, online);
        let mut rooms = rooms.to_vec();
        if self.hides_presence {
            let unanswered = self.unanswered(user, rooms.iter().map(|room| &room.room)).await;
            rooms.retain(|room| !unanswered.contains(&room.room));
        }
        let blocks = match self.blocks_of(user).await {
            Ok(blocks) => blocks,
            // A signal may be lost, and must not reach those who are blocked.
            Err(error) => return tracing::warn!(%error, "cannot read blocks, not reporting presence"),
        };
        let mut except = vec![user.clone()];
        except.extend(blocks.iter().map(|(blocked, _)| blocked.clone()));
        self.signal(&rooms, &frame, &except).await;
        if !online {
            return;
        }
        // Whoever was blocked meanwhile may have been shown as offline before this.
        if let Ok(now) = self.blocks_of(user).await {
            for (blocked, _) in now.iter().filter(|(blocked, _)| !blocks.contains(blocked)) {
                self.show_presence(user, blocked).await;
            }
        }
    }

    /// Signals to `other`, whom `user` has blocked or blocks no more, that `user` is offline or online for them, if that
    /// is a change and the two share a room whose members are told of it.
    pub async fn show_presence(&self, user: &UserId, other: &UserId) {
        let shown = async {
            if !self.shares_presence(user, other).await? {
                return Ok(());
            }
            let is_hidden = self.blocks_of(user).await?.contains(other);
            let is_online = if self.hub.has_session(user) {
                Some(true)
            } else {
                self.registry.online(std::slice::from_ref(user)).await.ok().map(|online| online == [true])
            };
            // Where that is not known, they are hidden all the same.
            if is_online.unwrap_or(is_hidden) {
                self.signal_user(other, &presence(user, !is_hidden)).await;
            }
            Ok::<(), StoreError>(())
        };
        if let Err(error) = shown.await {
            tracing::warn!(%error, "cannot report presence after a change of blocks");
        }
    }

    /// Whether the two share a room whose members are told of each other's presence.
    async fn shares_presence(&self, user: &UserId, other: &UserId) -> Result<bool, StoreError> {
        let (store, page) = (self.store.as_ref(), self.sizes.rooms_page);
        let rooms_of = |user| rooms::active(store, user, page).map_ok(|row| row.room);
        let theirs: BTreeSet<RoomId> = rooms_of(other).try_collect().await?;
        let mut shared = pin!(rooms_of(user).try_filter(|room| ready(theirs.contains(room))));
        while let Some(room) = shared.try_next().await? {
            let stored = store.room(&room).await?.filter(|stored| !stored.info.deleted);
            let is_told = stored.is_some_and(|stored| stored.head().member_count() <= MAX_SIGNAL_MEMBERS);
            if is_told && !self.hides_in(user, &room).await {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Signals that `users` are offline, unless they come back within the grace period.
    pub(crate) fn report_gone(
        self: &Arc<Self>,
        users: Vec<UserId>,
        tasks: &TaskTracker,
        end: &CancellationToken,
    ) {
        let cluster = self.clone();
        let reporting = async move {
            sleep(cluster.presence_grace).await;
            let gone = cluster.offline(users).await;
            cluster.report_each(gone, false).await;
        };
        tasks.spawn(end.clone().run_until_cancelled_owned(reporting));
    }

    /// Signals that the users here are online, which others may have reported as offline.
    pub(crate) fn report_here(self: &Arc<Self>, tasks: &TaskTracker, end: &CancellationToken) {
        let cluster = self.clone();
        let reporting = async move { cluster.report_each(cluster.hub.users(), true).await };
        tasks.spawn(end.clone().run_until_cancelled_owned(reporting));
    }

    /// Signals that `user` is offline in all of their rooms, according to the store. Best effort: if they cannot be
    /// read, a warning is logged.
    pub async fn report_offline(&self, user: &UserId) {
        if let Err(error) = self.report(user, false).await {
            tracing::warn!(%error, "cannot report presence");
        }
    }

    /// The same in those of `rooms` that `user` is a member of, each on its own: one that cannot be read delays no
    /// other.
    pub async fn report_offline_in(&self, user: &UserId, rooms: BTreeSet<RoomId>) {
        let report = |room| async move {
            let told = async {
                self.reads.take().await;
                let member = self.store.member(&room, user).await?;
                if !member.is_some_and(|member| member.is_active()) {
                    return Ok(None);
                }
                self.room_to_tell(&room).await
            };
            match told.await {
                Ok(Some(told)) => self.signal_presence(user, false, &[told]).await,
                Ok(None) => {}
                Err::<_, StoreError>(error) => tracing::warn!(%room, %error, "cannot report presence"),
            }
        };
        stream::iter(rooms.into_iter().take(PRESENCE_ROOMS)).for_each_concurrent(None, report).await;
    }

    async fn report_each(&self, users: Vec<UserId>, online: bool) {
        stream::iter(users)
            .for_each_concurrent(GONE_AT_ONCE, |user| async move {
                if let Err(error) = self.report(&user, online).await {
                    tracing::warn!(%error, online, "cannot report presence");
                }
            })
            .await;
    }

    async fn report(&self, user: &UserId, online: bool) -> Result<(), StoreError> {
        let rooms = self.rooms_to_tell(user).await?;
        self.signal_presence(user, online, &rooms).await;
        Ok(())
    }

    /// The registry was unreachable when the presence of `user` changed. Reports whether they are online once it is
    /// back: other nodes were cut off too, and the user may be online there.
    pub fn report_after_outage(self: &Arc<Self>, user: UserId, tasks: &TaskTracker, end: &CancellationToken) {
        let mut unreported = self.unreported.lock().unwrap_or_else(PoisonError::into_inner);
        let is_waited_for = !unreported.is_empty();
        unreported.insert(user);
        if is_waited_for {
            return;
        }
        let cluster = self.clone();
        let reporting = async move { cluster.report_unreported().await };
        tasks.spawn(end.clone().run_until_cancelled_owned(reporting));
    }

    async fn report_unreported(&self) {
        // Until the registry is healthy it may hold registrations that have already ended here.
        if self.registry_back().await.is_none() {
            return;
        }
        let users = std::mem::take(&mut *self.unreported.lock().unwrap_or_else(PoisonError::into_inner));
        let users: Vec<UserId> = users.into_iter().collect();
        for users in users.chunks(USERS_AT_ONCE) {
            let Some(online) = self.online_once_reachable(users).await else { return };
            for state in [true, false] {
                let in_state = users.iter().zip(&online).filter(|(_, online)| **online == state);
                self.report_each(in_state.map(|(user, _)| user.clone()).collect(), state).await;
            }
        }
    }

    /// Those of `users` who are not online anywhere, once the registry can answer.
    async fn offline(&self, users: Vec<UserId>) -> Vec<UserId> {
        let Some(online) = self.online_once_reachable(&users).await else { return Vec::new() };
        let offline = users.into_iter().zip(online).filter(|(_, online)| !online);
        offline.map(|(user, _)| user).collect()
    }

    async fn online_once_reachable(&self, users: &[UserId]) -> Option<Vec<bool>> {
        loop {
            if let Ok(online) = self.registry.online(users).await {
                return Some(online);
            }
            self.registry_back().await?;
        }
    }

    /// Waits a second, and longer while the registry is unavailable. `None` on shutdown.
    async fn registry_back(&self) -> Option<()> {
        sleep(Duration::from_secs(1)).await;
        // A watch wakes its waiters in any order; this depends only on the clock.
        while self.is_away() {
            if self.health.has_changed().is_err() {
                return None;
            }
            sleep(Duration::from_secs(1)).await;
        }
        Some(())
    }

    /// The rooms that are notified of the presence of `user`, with their known members.
    async fn rooms_to_tell(&self, user: &UserId) -> Result<Vec<SignalRoom>, StoreError> {
        let mut rooms = Vec::new();
        let mut after = None;
        loop {
            self.reads.take().await;
            let page = self.store.rooms_of(user, after.as_ref(), self.sizes.rooms_page).await?;
            after = page.next;
            for user_room in page.rows.iter().filter(|room| room.member.is_active()) {
                rooms.extend(self.room_to_tell(&user_room.room).await?);
                if rooms.len() == PRESENCE_ROOMS {
                    return Ok(rooms);
                }
            }
            if after.is_none() {
                return Ok(rooms);
            }
        }
    }

    /// `room`, with its known members, if it is notified of presence.
    async fn room_to_tell(&self, room: &RoomId) -> Result<Option<SignalRoom>, StoreError> {
        self.reads.take().await;
        let Some(stored) = self.store.room(room).await? else { return Ok(None) };
        let room = SignalRoom::from(&stored);
        if stored.info.deleted || room.head.member_count() > MAX_SIGNAL_MEMBERS {
            return Ok(None);
        }
        if self.audiences.known(&room.room, room.head.seq()).is_none() {
            self.reads.take().await;
            let (store, page) = (self.store.as_ref(), self.sizes.members_page);
            self.audiences.of(store, &room.room, room.head, &BTreeSet::new(), page).await?;
        }
        Ok(Some(room))
    }
}

/// The signal that `user` is online or offline.
fn presence(user: &UserId, online: bool) -> SharedFrame {
    let presence = v1::Presence { user_id: user.as_str().to_owned(), online };
    SharedFrame::signal(v1::signal::Signal::Presence(presence))
}
