//! The tables of the store, with the faults that are switched on.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use parlance_core::{
    Append, Blocks, Chunk, Creation, Cursors, Entry, Event, FoldedName, Invitations, Listed, Member, Overlay,
    Report, ReportId, ReportList, ReportOf, ReportPlace, RoomId, SeqRange, Timestamp, TitlePlace, UserId,
};
use parlance_store::{
    AppendError, BlockError, BlockStore, Created, DirectoryStore, FoundReports, FoundRooms, FoundUsers,
    InvitationStore, Invited, LogStore, MarkStore, MemberStore, NamePlace, PreferencesChange, ReportStore,
    RoomIds, Store, StoreError, StoredRoom, UpdateError, User, UserChange, UserRoom, UserRooms, UserStore,
};

use super::ControlledStore;

#[async_trait]
impl LogStore for ControlledStore {
    async fn create_room(&self, creation: Creation) -> Result<Created<StoredRoom>, StoreError> {
        let fail = |left: usize| left.checked_sub(1);
        if self.failing_creations.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fail).is_ok() {
            return Err(StoreError::Overloaded);
        }
        let created = self.inner.create_room(creation).await;
        self.answer().await;
        created
    }

    async fn append(&self, room: &RoomId, append: Append) -> Result<(), AppendError> {
        self.count("append");
        if let Some(held) = &mut *self.held.lock().unwrap_or_else(PoisonError::into_inner) {
            held.push((room.clone(), append));
            return Err(AppendError::Unknown);
        }
        self.inner.append(room, append).await
    }

    fn append_interval(&self) -> Duration {
        self.inner.append_interval()
    }

    fn late_append(&self) -> Duration {
        Self::LATE_APPEND
    }

    async fn room(&self, room: &RoomId) -> Result<Option<StoredRoom>, StoreError> {
        self.begin_read_of(room, "room").await;
        self.check(room)?;
        let meanwhile = std::mem::take(&mut *self.meanwhile.lock().unwrap_or_else(PoisonError::into_inner));
        for creation in meanwhile {
            self.inner.create_room(creation).await?;
        }
        let stored = self.inner.room(room).await;
        let work = self.after_room.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(work) = work {
            work.await;
        }
        stored
    }

    async fn chunk(&self, room: &RoomId, first_seq: u64) -> Result<Option<Chunk>, StoreError> {
        self.begin_read_of(room, "chunk").await;
        self.inner.chunk(room, first_seq).await
    }

    async fn chunks_after(&self, room: &RoomId, head: u64, limit: usize) -> Result<Vec<Chunk>, StoreError> {
        self.begin_read_of(room, "chunks_after").await;
        self.check(room)?;
        self.inner.chunks_after(room, head.max(self.trimmed.load(Ordering::SeqCst)), limit).await
    }

    async fn events_before(&self, room: &RoomId, seq: u64, limit: usize) -> Result<Vec<Event>, StoreError> {
        self.begin_read_of(room, "events_before").await;
        let trimmed = self.trimmed.load(Ordering::SeqCst);
        let mut events = self.inner.events_before(room, seq, limit).await?;
        events.retain(|event| event.seq > trimmed);
        Ok(events)
    }

    async fn read(
        &self,
        room: &RoomId,
        range: SeqRange,
        limit: usize,
        latest: bool,
    ) -> Result<Vec<Entry>, StoreError> {
        self.begin_read_of(room, "read").await;
        self.check(room)?;
        let unreadable = self.unreadable_messages.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let in_range = |(of, seq): &(RoomId, u64)| of == room && range.contains(*seq);
        if let Some((_, error)) = unreadable.into_iter().find(|(message, _)| in_range(message)) {
            return Err(error);
        }
        let from = range.from.max(self.trimmed.load(Ordering::SeqCst) + 1);
        self.inner.read(room, SeqRange { from, ..range }, limit, latest).await
    }

    async fn overlay(&self, room: &RoomId, seq: u64) -> Result<Option<Overlay>, StoreError> {
        self.begin_read_of(room, "overlay").await;
        self.inner.overlay(room, seq).await
    }

    async fn count_deleted(&self, room: &RoomId, range: SeqRange) -> Result<u64, StoreError> {
        self.inner.count_deleted(room, range).await
    }
}

#[async_trait]
impl MemberStore for ControlledStore {
    async fn member(&self, room: &RoomId, user: &UserId) -> Result<Option<Member>, StoreError> {
        self.begin_read_of(room, "member").await;
        if self.damaged_rows.lock().unwrap_or_else(PoisonError::into_inner).contains(user) {
            return Err(StoreError::Damaged(format!("a member of room {room}")));
        }
        self.inner.member(room, user).await
    }

    async fn members(
        &self,
        room: &RoomId,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<Member>, StoreError> {
        self.begin_read_of(room, "members").await;
        if self.damaged_lists.lock().unwrap_or_else(PoisonError::into_inner).contains(room) {
            return Err(StoreError::Damaged(format!("the members of room {room}")));
        }
        if let Some(stale) = self.stale_list.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Ok(stale);
        }
        let list = self.inner.members(room, after, limit).await;
        let work = self.after_list.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(work) = work {
            work.await;
        }
        list
    }

    async fn members_by_id(&self, room: &RoomId, users: &[UserId]) -> Result<Vec<Member>, StoreError> {
        self.begin_read_of(room, "members_by_id").await;
        self.inner.members_by_id(room, users).await
    }

    async fn rooms_of(
        &self,
        user: &UserId,
        after: Option<&RoomId>,
        limit: usize,
    ) -> Result<UserRooms, StoreError> {
        self.begin_read("rooms_of").await;
        let page = self.inner.rooms_of(user, after, limit).await.map(|page| self.with_damage(user, page));
        let work = self.after_page.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(work) = work {
            work.await;
        }
        page
    }

    async fn user_room(&self, user: &UserId, room: &RoomId) -> Result<Option<UserRoom>, StoreError> {
        self.begin_read_of(room, "user_room").await;
        let key = (user.clone(), room.clone());
        if self.damaged_user_rooms.lock().unwrap_or_else(PoisonError::into_inner).contains(&key) {
            return Err(StoreError::Damaged(format!("the row of a user in room {room}")));
        }
        self.inner.user_room(user, room).await
    }
}

#[async_trait]
impl MarkStore for ControlledStore {
    async fn advance(
        &self,
        user: &UserId,
        room: &RoomId,
        to: Cursors,
    ) -> Result<Option<Cursors>, StoreError> {
        let fail = |left: usize| left.checked_sub(1);
        if self.failing_advances.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fail).is_ok() {
            return Err(StoreError::Overloaded);
        }
        let cursors = self.inner.advance(user, room, to).await;
        self.answer().await;
        cursors
    }

    async fn set_preferences(
        &self,
        user: &UserId,
        room: &RoomId,
        change: PreferencesChange,
    ) -> Result<bool, StoreError> {
        self.inner.set_preferences(user, room, change).await
    }
}

#[async_trait]
impl UserStore for ControlledStore {
    async fn create_user(&self, user: User) -> Result<Created<User>, StoreError> {
        self.count("create_user");
        if self.stalls_users.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        self.inner.create_user(user).await
    }

    async fn user(&self, id: &UserId) -> Result<Option<User>, StoreError> {
        self.count("user");
        self.inner.user(id).await
    }

    async fn users_by_id(&self, ids: &[UserId]) -> Result<Vec<User>, StoreError> {
        self.count("users_by_id");
        self.inner.users_by_id(ids).await
    }

    async fn users(&self, after: Option<&UserId>, limit: usize) -> Result<Vec<User>, StoreError> {
        self.inner.users(after, limit).await
    }

    async fn find_users(
        &self,
        prefix: &FoldedName,
        after: Option<&NamePlace>,
        limit: usize,
    ) -> Result<FoundUsers, StoreError> {
        self.inner.find_users(prefix, after, limit).await
    }

    async fn update_user(
        &self,
        id: &UserId,
        change: UserChange,
        at: Timestamp,
    ) -> Result<Option<User>, UpdateError> {
        self.inner.update_user(id, change, at).await
    }
}

#[async_trait]
impl BlockStore for ControlledStore {
    async fn blocks(&self, user: &UserId) -> Result<Blocks, StoreError> {
        self.count("blocks");
        self.inner.blocks(user).await
    }

    async fn set_block(
        &self,
        user: &UserId,
        other: &UserId,
        since: Option<Timestamp>,
    ) -> Result<Blocks, BlockError> {
        self.inner.set_block(user, other, since).await
    }
}

#[async_trait]
impl ReportStore for ControlledStore {
    async fn create_report(&self, report: Report, is_only: bool) -> Result<Created<Report>, StoreError> {
        let work = self.before_report.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(work) = work {
            work.await;
        }
        self.inner.create_report(report, is_only).await
    }

    async fn last_report(&self, of: &ReportOf) -> Result<Option<Report>, StoreError> {
        self.inner.last_report(of).await
    }

    async fn report(&self, id: &ReportId) -> Result<Option<Report>, StoreError> {
        self.count("report");
        self.inner.report(id).await
    }

    async fn reports(
        &self,
        list: &ReportList,
        after: Option<&ReportPlace>,
        limit: usize,
    ) -> Result<FoundReports, StoreError> {
        self.inner.reports(list, after, limit).await
    }

    async fn count_reports(
        &self,
        list: &ReportList,
        since: Timestamp,
        limit: usize,
    ) -> Result<usize, StoreError> {
        self.inner.count_reports(list, since, limit).await
    }

    async fn replace_report(&self, old: &Report, new: &Report) -> Result<bool, StoreError> {
        self.inner.replace_report(old, new).await
    }
}

#[async_trait]
impl InvitationStore for ControlledStore {
    async fn invitations(&self, room: &RoomId) -> Result<Invitations, StoreError> {
        self.count("invitations");
        self.inner.invitations(room).await
    }

    async fn issued(&self, room: &RoomId) -> Result<Invitations, StoreError> {
        self.count("issued");
        self.inner.issued(room).await
    }

    async fn invited_to(
        &self,
        user: &UserId,
        after: Option<&RoomId>,
        limit: usize,
    ) -> Result<Vec<Invited>, StoreError> {
        self.inner.invited_to(user, after, limit).await
    }

    async fn listed_with(
        &self,
        room: &RoomId,
        users: &[UserId],
    ) -> Result<BTreeMap<UserId, Listed>, StoreError> {
        self.inner.listed_with(room, users).await
    }

    async fn forget_invited(&self, user: &UserId, old: &Invited) -> Result<(), StoreError> {
        if self.keeps_invited.load(Ordering::SeqCst) {
            return Err(StoreError::Overloaded);
        }
        self.inner.forget_invited(user, old).await
    }
}

#[async_trait]
impl DirectoryStore for ControlledStore {
    async fn listed_rooms(
        &self,
        prefix: &FoldedName,
        after: Option<&TitlePlace>,
        limit: usize,
    ) -> Result<FoundRooms, StoreError> {
        self.inner.listed_rooms(prefix, after, limit).await
    }
}

#[async_trait]
impl Store for ControlledStore {
    async fn identity(&self) -> Result<String, StoreError> {
        self.inner.identity().await
    }

    async fn room_ids(&self) -> Result<RoomIds, StoreError> {
        self.inner.room_ids().await
    }

    async fn last_note(&self) -> Result<Option<String>, StoreError> {
        self.inner.last_note().await
    }

    async fn leave_note(&self, note: &str) -> Result<(), StoreError> {
        self.inner.leave_note(note).await
    }

    async fn failed(&self) -> String {
        self.inner.failed().await
    }
}
