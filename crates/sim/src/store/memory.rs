use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

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

use super::Tables;
use crate::dice::lock;

/// The shared tables, without faults or delays.
#[derive(Clone, Default)]
pub struct MemoryStore(Arc<Mutex<Tables>>);

impl MemoryStore {
    /// The tables as they are now.
    pub fn tables(&self) -> MutexGuard<'_, Tables> {
        lock(&self.0)
    }
}

#[async_trait]
impl LogStore for MemoryStore {
    async fn create_room(&self, creation: Creation) -> Result<Created<StoredRoom>, StoreError> {
        Ok(self.tables().create(creation))
    }

    async fn append(&self, room: &RoomId, append: Append) -> Result<(), AppendError> {
        self.tables().append(room, append)
    }

    async fn room(&self, room: &RoomId) -> Result<Option<StoredRoom>, StoreError> {
        Ok(self.tables().room(room))
    }

    async fn chunk(&self, room: &RoomId, first_seq: u64) -> Result<Option<Chunk>, StoreError> {
        Ok(self.tables().chunk(room, first_seq))
    }

    async fn chunks_after(&self, room: &RoomId, head: u64, limit: usize) -> Result<Vec<Chunk>, StoreError> {
        Ok(self.tables().chunks_after(room, head, limit))
    }

    async fn events_before(&self, room: &RoomId, seq: u64, limit: usize) -> Result<Vec<Event>, StoreError> {
        Ok(self.tables().events_before(room, seq, limit))
    }

    async fn read(
        &self,
        room: &RoomId,
        range: SeqRange,
        limit: usize,
        latest: bool,
    ) -> Result<Vec<Entry>, StoreError> {
        Ok(self.tables().read(room, range, limit, latest))
    }

    async fn overlay(&self, room: &RoomId, seq: u64) -> Result<Option<Overlay>, StoreError> {
        Ok(self.tables().overlay(room, seq))
    }

    async fn count_deleted(&self, room: &RoomId, range: SeqRange) -> Result<u64, StoreError> {
        Ok(self.tables().count_deleted(room, range))
    }
}

#[async_trait]
impl MemberStore for MemoryStore {
    async fn member(&self, room: &RoomId, user: &UserId) -> Result<Option<Member>, StoreError> {
        Ok(self.tables().member(room, user))
    }

    async fn members(
        &self,
        room: &RoomId,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<Member>, StoreError> {
        Ok(self.tables().members(room, after, limit))
    }

    async fn members_by_id(&self, room: &RoomId, users: &[UserId]) -> Result<Vec<Member>, StoreError> {
        Ok(self.tables().members_by_id(room, users))
    }

    async fn rooms_of(
        &self,
        user: &UserId,
        after: Option<&RoomId>,
        limit: usize,
    ) -> Result<UserRooms, StoreError> {
        Ok(self.tables().rooms_of(user, after, limit))
    }

    async fn user_room(&self, user: &UserId, room: &RoomId) -> Result<Option<UserRoom>, StoreError> {
        Ok(self.tables().user_room(user, room))
    }
}

#[async_trait]
impl MarkStore for MemoryStore {
    async fn advance(
        &self,
        user: &UserId,
        room: &RoomId,
        to: Cursors,
    ) -> Result<Option<Cursors>, StoreError> {
        Ok(self.tables().advance(user, room, to))
    }

    async fn set_preferences(
        &self,
        user: &UserId,
        room: &RoomId,
        change: PreferencesChange,
    ) -> Result<bool, StoreError> {
        Ok(self.tables().set_preferences(user, room, change))
    }
}

#[async_trait]
impl UserStore for MemoryStore {
    async fn create_user(&self, user: User) -> Result<Created<User>, StoreError> {
        Ok(self.tables().create_user(user))
    }

    async fn user(&self, id: &UserId) -> Result<Option<User>, StoreError> {
        Ok(self.tables().user(id))
    }

    async fn users_by_id(&self, ids: &[UserId]) -> Result<Vec<User>, StoreError> {
        Ok(self.tables().users_by_id(ids))
    }

    async fn users(&self, after: Option<&UserId>, limit: usize) -> Result<Vec<User>, StoreError> {
        Ok(self.tables().users(after, limit))
    }

    async fn find_users(
        &self,
        prefix: &FoldedName,
        after: Option<&NamePlace>,
        limit: usize,
    ) -> Result<FoundUsers, StoreError> {
        Ok(self.tables().find_users(prefix, after, limit))
    }

    async fn update_user(
        &self,
        id: &UserId,
        change: UserChange,
        at: Timestamp,
    ) -> Result<Option<User>, UpdateError> {
        Ok(self.tables().update_user(id, change, at)?)
    }
}

#[async_trait]
impl BlockStore for MemoryStore {
    async fn blocks(&self, user: &UserId) -> Result<Blocks, StoreError> {
        Ok(self.tables().blocks(user))
    }

    async fn set_block(
        &self,
        user: &UserId,
        other: &UserId,
        since: Option<Timestamp>,
    ) -> Result<Blocks, BlockError> {
        Ok(self.tables().set_block(user, other, since)?)
    }
}

#[async_trait]
impl ReportStore for MemoryStore {
    async fn create_report(&self, report: Report, is_only: bool) -> Result<Created<Report>, StoreError> {
        Ok(self.tables().reports.create(report, is_only))
    }

    async fn last_report(&self, of: &ReportOf) -> Result<Option<Report>, StoreError> {
        Ok(self.tables().reports.last(of))
    }

    async fn report(&self, id: &ReportId) -> Result<Option<Report>, StoreError> {
        Ok(self.tables().reports.get(id))
    }

    async fn reports(
        &self,
        list: &ReportList,
        after: Option<&ReportPlace>,
        limit: usize,
    ) -> Result<FoundReports, StoreError> {
        Ok(self.tables().reports.page(list, after, limit))
    }

    async fn count_reports(
        &self,
        list: &ReportList,
        since: Timestamp,
        limit: usize,
    ) -> Result<usize, StoreError> {
        Ok(self.tables().reports.count(list, since, limit))
    }

    async fn replace_report(&self, old: &Report, new: &Report) -> Result<bool, StoreError> {
        Ok(self.tables().reports.replace(old, new))
    }
}

#[async_trait]
impl InvitationStore for MemoryStore {
    async fn invitations(&self, room: &RoomId) -> Result<Invitations, StoreError> {
        Ok(self.tables().invitations(room))
    }

    async fn issued(&self, room: &RoomId) -> Result<Invitations, StoreError> {
        Ok(self.tables().issued(room))
    }

    async fn invited_to(
        &self,
        user: &UserId,
        after: Option<&RoomId>,
        limit: usize,
    ) -> Result<Vec<Invited>, StoreError> {
        Ok(self.tables().invited_to(user, after, limit))
    }

    async fn listed_with(
        &self,
        room: &RoomId,
        users: &[UserId],
    ) -> Result<BTreeMap<UserId, Listed>, StoreError> {
        Ok(self.tables().listed_with(room, users))
    }

    async fn forget_invited(&self, user: &UserId, old: &Invited) -> Result<(), StoreError> {
        self.tables().forget_invited(user, old);
        Ok(())
    }
}

#[async_trait]
impl DirectoryStore for MemoryStore {
    async fn listed_rooms(
        &self,
        prefix: &FoldedName,
        after: Option<&TitlePlace>,
        limit: usize,
    ) -> Result<FoundRooms, StoreError> {
        Ok(self.tables().listed_rooms(prefix, after, limit))
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn identity(&self) -> Result<String, StoreError> {
        Ok(self.tables().identity.clone())
    }

    async fn room_ids(&self) -> Result<RoomIds, StoreError> {
        Ok(self.tables().room_ids.clone())
    }

    async fn last_note(&self) -> Result<Option<String>, StoreError> {
        Ok(self.tables().note.clone())
    }

    async fn leave_note(&self, note: &str) -> Result<(), StoreError> {
        self.tables().note = Some(note.to_owned());
        Ok(())
    }

    async fn failed(&self) -> String {
        std::future::pending().await
    }
}
