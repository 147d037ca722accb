use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use parlance_core::{
    Append, Blocks, Body, Chunk, Creation, Cursors, Entry, Event, FoldedName, Interval, Invitations, Listed,
    Member, Overlay, Report, ReportId, ReportList, ReportOf, ReportPlace, RequestId, RoomId, SeqRange,
    Timestamp, TitlePlace, Unknown, UserId,
};
use parlance_store::{
    AppendError, BlockError, BlockStore, Created, DirectoryStore, FoundReports, FoundRooms, FoundUsers,
    InvitationStore, Invited, LogStore, MarkStore, MemberStore, NamePlace, PreferencesChange, ReportStore,
    RoomIds, Store, StoreError, StoredRoom, UpdateError, User, UserChange, UserRoom, UserRooms, UserStore,
};

use crate::plant::Plant;

/// A store with a bug.
pub(crate) struct PlantedStore {
    inner: Arc<dyn Store>,
    bug: Plant,
    /// The ends of the half chunks returned last: no event seems to follow there.
    halves: Mutex<HashMap<RoomId, u64>>,
}

impl PlantedStore {
    pub(crate) fn new(inner: Arc<dyn Store>, bug: Plant) -> Self {
        Self { inner, bug, halves: Mutex::default() }
    }

    fn event(&self, mut event: Event) -> Result<Event, StoreError> {
        match self.bug {
            Plant::ForgetRepeatCheck => {
                event.request = RequestId::parse("forgotten").unwrap_or(event.request);
            }
            Plant::FromTheFuture if event.body == Body::Other => {
                return Err(StoreError::Damaged("of a later version".to_owned()));
            }
            Plant::FromTheFuture => event.unknown = Unknown::default(),
            _ => {}
        }
        Ok(event)
    }

    fn chunk(&self, chunk: Chunk) -> Result<Chunk, StoreError> {
        let (nonce, previous, head) = (*chunk.nonce(), chunk.previous().copied(), chunk.head());
        let events: Result<Vec<_>, _> =
            chunk.into_events().into_iter().map(|event| self.event(event)).collect();
        let chunk = Chunk::new(nonce, events?, head.message_count(), head.member_count());
        let chunk = chunk.ok_or_else(|| StoreError::Damaged("no chunk".to_owned()))?;
        Ok(chunk.with_previous(previous))
    }

    fn stored_room(&self, room: StoredRoom) -> Result<StoredRoom, StoreError> {
        Ok(StoredRoom { tail: self.chunk(room.tail)?, ..room })
    }

    fn member(&self, mut member: Member) -> Member {
        if self.bug == Plant::ReadPastHead {
            member.intervals = vec![Interval::starting_at(1)];
        }
        member
    }

    /// The first half of the first chunk that has two, in place of it and all later chunks.
    fn halve(&self, room: &RoomId, chunks: Vec<Chunk>) -> Vec<Chunk> {
        let Some(at) = chunks.iter().position(|chunk| chunk.events().len() > 1) else { return chunks };
        let mut chunks = chunks;
        let Some(half) = half(&chunks[at]) else { return chunks };
        self.halves.lock().unwrap_or_else(PoisonError::into_inner).insert(room.clone(), half.head().seq());
        chunks.truncate(at);
        chunks.push(half);
        chunks
    }
}

/// The first half of a chunk, as a chunk of its own.
fn half(chunk: &Chunk) -> Option<Chunk> {
    let events = chunk.events().get(..chunk.events().len() / 2)?.to_vec();
    let last = events.last()?.message_count;
    let half = Chunk::new(*chunk.nonce(), events, last, chunk.head().member_count())?;
    Some(half.with_previous(chunk.previous().copied()))
}

#[async_trait]
impl LogStore for PlantedStore {
    async fn create_room(&self, creation: Creation) -> Result<Created<StoredRoom>, StoreError> {
        self.inner.create_room(creation).await
    }

    async fn append(&self, room: &RoomId, append: Append) -> Result<(), AppendError> {
        match self.bug {
            Plant::AckBeforeCommit => {
                let (inner, room) = (self.inner.clone(), room.clone());
                tokio::spawn(async move { inner.append(&room, append).await });
                Ok(())
            }
            Plant::SkipFence => match self.inner.append(room, append).await {
                Err(AppendError::HeadMoved) => Ok(()),
                other => other,
            },
            _ => self.inner.append(room, append).await,
        }
    }

    fn append_interval(&self) -> Duration {
        self.inner.append_interval()
    }

    fn late_append(&self) -> Duration {
        self.inner.late_append()
    }

    async fn room(&self, room: &RoomId) -> Result<Option<StoredRoom>, StoreError> {
        self.inner.room(room).await?.map(|room| self.stored_room(room)).transpose()
    }

    async fn chunk(&self, room: &RoomId, first_seq: u64) -> Result<Option<Chunk>, StoreError> {
        self.inner.chunk(room, first_seq).await?.map(|chunk| self.chunk(chunk)).transpose()
    }

    async fn chunks_after(&self, room: &RoomId, head: u64, limit: usize) -> Result<Vec<Chunk>, StoreError> {
        if self.bug == Plant::MiddleOfChunk {
            let mut halves = self.halves.lock().unwrap_or_else(PoisonError::into_inner);
            if halves.get(room) == Some(&head) {
                halves.remove(room);
                return Ok(Vec::new());
            }
        }
        let chunks = self.inner.chunks_after(room, head, limit).await?;
        let chunks: Result<Vec<_>, _> = chunks.into_iter().map(|chunk| self.chunk(chunk)).collect();
        let chunks = chunks?;
        Ok(if self.bug == Plant::MiddleOfChunk { self.halve(room, chunks) } else { chunks })
    }

    async fn events_before(&self, room: &RoomId, seq: u64, limit: usize) -> Result<Vec<Event>, StoreError> {
        let events = self.inner.events_before(room, seq, limit).await?;
        events.into_iter().map(|event| self.event(event)).collect()
    }

    async fn read(
        &self,
        room: &RoomId,
        range: SeqRange,
        limit: usize,
        latest: bool,
    ) -> Result<Vec<Entry>, StoreError> {
        let entries = self.inner.read(room, range, limit, latest).await?;
        if self.bug != Plant::FromTheFuture {
            return Ok(entries);
        }
        entries.into_iter().map(|entry| Ok(Entry { event: self.event(entry.event)?, ..entry })).collect()
    }

    async fn overlay(&self, room: &RoomId, seq: u64) -> Result<Option<Overlay>, StoreError> {
        self.inner.overlay(room, seq).await
    }

    async fn count_deleted(&self, room: &RoomId, range: SeqRange) -> Result<u64, StoreError> {
        self.inner.count_deleted(room, range).await
    }
}

#[async_trait]
impl MemberStore for PlantedStore {
    async fn member(&self, room: &RoomId, user: &UserId) -> Result<Option<Member>, StoreError> {
        Ok(self.inner.member(room, user).await?.map(|member| self.member(member)))
    }

    async fn members(
        &self,
        room: &RoomId,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<Member>, StoreError> {
        self.inner.members(room, after, limit).await
    }

    async fn members_by_id(&self, room: &RoomId, users: &[UserId]) -> Result<Vec<Member>, StoreError> {
        self.inner.members_by_id(room, users).await
    }

    async fn rooms_of(
        &self,
        user: &UserId,
        after: Option<&RoomId>,
        limit: usize,
    ) -> Result<UserRooms, StoreError> {
        self.inner.rooms_of(user, after, limit).await
    }

    async fn user_room(&self, user: &UserId, room: &RoomId) -> Result<Option<UserRoom>, StoreError> {
        self.inner.user_room(user, room).await
    }
}

#[async_trait]
impl MarkStore for PlantedStore {
    async fn advance(
        &self,
        user: &UserId,
        room: &RoomId,
        to: Cursors,
    ) -> Result<Option<Cursors>, StoreError> {
        self.inner.advance(user, room, to).await
    }

    async fn advance_stored(
        &self,
        user: &UserId,
        room: &RoomId,
        to: Cursors,
    ) -> Result<Option<Cursors>, StoreError> {
        self.inner.advance_stored(user, room, to).await
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
impl UserStore for PlantedStore {
    async fn create_user(&self, user: User) -> Result<Created<User>, StoreError> {
        self.inner.create_user(user).await
    }

    async fn user(&self, id: &UserId) -> Result<Option<User>, StoreError> {
        self.inner.user(id).await
    }

    async fn users_by_id(&self, ids: &[UserId]) -> Result<Vec<User>, StoreError> {
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
impl BlockStore for PlantedStore {
    async fn blocks(&self, user: &UserId) -> Result<Blocks, StoreError> {
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
impl ReportStore for PlantedStore {
    async fn create_report(&self, report: Report, is_only: bool) -> Result<Created<Report>, StoreError> {
        self.inner.create_report(report, is_only).await
    }

    async fn last_report(&self, of: &ReportOf) -> Result<Option<Report>, StoreError> {
        self.inner.last_report(of).await
    }

    async fn report(&self, id: &ReportId) -> Result<Option<Report>, StoreError> {
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
impl InvitationStore for PlantedStore {
    async fn invitations(&self, room: &RoomId) -> Result<Invitations, StoreError> {
        self.inner.invitations(room).await
    }

    async fn issued(&self, room: &RoomId) -> Result<Invitations, StoreError> {
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
        self.inner.forget_invited(user, old).await
    }
}

#[async_trait]
impl DirectoryStore for PlantedStore {
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
impl Store for PlantedStore {
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
