use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;
use parlance_core::{
    Append, Chunk, Creation, Cursors, Entry, Event, Mark, Member, Overlay, RoomId, SeqRange, Timestamp,
    UserId,
};
use parlance_store::{
    AppendError, Created, Embedded, LogStore, MarkStore, MemberStore, OpenError, Options, PreferencesChange,
    RoomIds, Store, StoreError, StoredRoom, UpdateError, User, UserChange, UserRoom, UserRooms, UserStore,
};
use tokio::sync::{Semaphore, watch};

/// The embedded store, with faults.
pub struct ControlledStore {
    inner: Embedded,
    /// Rooms that cannot be read.
    pub damaged: Mutex<HashSet<RoomId>>,
    /// Rooms whose reads are not answered while they are in this set.
    hanging: watch::Sender<HashSet<RoomId>>,
    /// Messages that cannot be read.
    pub unreadable_messages: Mutex<HashMap<(RoomId, u64), StoreError>>,
    /// Users whose rows are unreadable in every room.
    pub damaged_rows: Mutex<HashSet<UserId>>,
    /// Rooms of users in which their row is unreadable.
    pub damaged_user_rooms: Mutex<HashSet<(UserId, RoomId)>>,
    /// Rooms whose member lists are unreadable.
    pub damaged_lists: Mutex<HashSet<RoomId>>,
    /// The next member list, as of before a half-visible change.
    pub stale_list: Mutex<Option<Vec<Member>>>,
    /// Number of room creations that will fail.
    pub failing_creations: AtomicUsize,
    /// Rooms to create when a room is next read.
    pub meanwhile: Mutex<Vec<Creation>>,
    /// Events up to here are no longer kept.
    pub trimmed: AtomicU64,
    /// Permits for writes that are committed but not answered yet.
    pub committed: Semaphore,
    /// Permits for answers to writes.
    pub answers: Semaphore,
    /// Runs right after the next page of a user's rooms was read.
    pub after_page: Mutex<Option<BoxFuture<'static, ()>>>,
    /// Runs right after the next member list was read.
    pub after_list: Mutex<Option<BoxFuture<'static, ()>>>,
    /// Runs right after the next room was read.
    pub after_room: Mutex<Option<BoxFuture<'static, ()>>>,
    /// Reads of rooms, logs and rows so far.
    reads: AtomicUsize,
    /// Whether users are neither stored nor answered.
    pub stalls_users: AtomicBool,
    /// Batch reads of member rows so far. Number of cursor moves that will fail.
    failing_advances: AtomicUsize,
    /// Appends that timed out and will be carried out late; `None` while all are answered.
    held: Mutex<Option<Vec<(RoomId, Append)>>>,
    calls: Mutex<BTreeMap<&'static str, usize>>,
}

impl ControlledStore {
    /// How long an append that timed out may still be carried out.
    pub const LATE_APPEND: Duration = Duration::from_secs(300);

    /// Opens the embedded store in `folder`.
    ///
    /// # Errors
    /// Why it cannot be opened.
    pub fn open(folder: &Path) -> Result<Self, OpenError> {
        Ok(Self {
            inner: Embedded::open(folder, Options::default())?,
            damaged: Mutex::default(),
            hanging: watch::Sender::default(),
            unreadable_messages: Mutex::default(),
            damaged_user_rooms: Mutex::default(),
            damaged_lists: Mutex::default(),
            stale_list: Mutex::default(),
            failing_creations: AtomicUsize::new(0),
            damaged_rows: Mutex::default(),
            meanwhile: Mutex::default(),
            trimmed: AtomicU64::new(0),
            after_page: Mutex::default(),
            after_list: Mutex::default(),
            after_room: Mutex::default(),
            committed: Semaphore::new(0),
            answers: Semaphore::new(0),
            reads: AtomicUsize::new(0),
            stalls_users: AtomicBool::new(false),
            failing_advances: AtomicUsize::new(0),
            held: Mutex::default(),
            calls: Mutex::default(),
        })
    }

    fn check(&self, room: &RoomId) -> Result<(), StoreError> {
        if self.damaged.lock().unwrap_or_else(PoisonError::into_inner).contains(room) {
            return Err(StoreError::Damaged(format!("room {room}")));
        }
        Ok(())
    }

    fn with_damage(&self, user: &UserId, mut page: UserRooms) -> UserRooms {
        let damaged = self.damaged_user_rooms.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let hit = page.rows.extract_if(.., |row| damaged.contains(&(user.clone(), row.room.clone())));
        page.damaged.extend(hit.map(|row| row.room));
        page
    }

    async fn answer(&self) {
        self.committed.add_permits(1);
        if let Ok(answer) = self.answers.acquire().await {
            answer.forget();
        }
    }

    /// Never ready at once, however fast the disk is.
    async fn begin_read(&self, call: &'static str) {
        self.count(call);
        self.reads.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
    }

    async fn begin_read_of(&self, room: &RoomId, call: &'static str) {
        self.begin_read(call).await;
        let _ = self.hanging.subscribe().wait_for(|hanging| !hanging.contains(room)).await;
    }

    /// Leaves reads of `room` unanswered.
    pub fn hang(&self, room: &RoomId) {
        self.hanging.send_modify(|hanging| _ = hanging.insert(room.clone()));
    }

    /// Answers reads of `room` again, including pending ones.
    pub fn answer_reads(&self, room: &RoomId) {
        self.hanging.send_modify(|hanging| _ = hanging.remove(room));
    }

    /// Reads of rooms, logs and rows so far.
    pub fn reads(&self) -> usize {
        self.reads.load(Ordering::SeqCst)
    }

    /// Batch reads of member rows so far.
    pub fn row_batches(&self) -> usize {
        self.calls().get("members_by_id").copied().unwrap_or(0)
    }

    /// Makes this many cursor moves fail.
    pub fn fail_advances(&self, count: usize) {
        self.failing_advances.store(count, Ordering::SeqCst);
    }

    /// Makes appends time out, and holds them until they are carried out late.
    pub fn hold_appends(&self) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default();
    }

    /// Carries out the appends that timed out. Retries of one are carried out once.
    pub async fn land_appends(&self) {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).take();
        for (room, append) in held.into_iter().flatten() {
            let _ = self.inner.append(&room, append).await;
        }
    }

    /// Number of calls so far, by name.
    pub fn calls(&self) -> BTreeMap<&'static str, usize> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn count(&self, call: &'static str) {
        *self.calls.lock().unwrap_or_else(PoisonError::into_inner).entry(call).or_default() += 1;
    }

    /// Answers all writes at once.
    pub fn answer_all(&self) {
        self.answers.add_permits(1_000);
    }
}

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

    async fn set_hidden(&self, user: &UserId, room: &RoomId, hidden: Mark) -> Result<bool, StoreError> {
        self.inner.set_hidden(user, room, hidden).await
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

    async fn users(&self, after: Option<&UserId>, limit: usize) -> Result<Vec<User>, StoreError> {
        self.inner.users(after, limit).await
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
impl Store for ControlledStore {
    async fn identity(&self) -> Result<String, StoreError> {
        self.inner.identity().await
    }

    async fn room_ids(&self) -> Result<RoomIds, StoreError> {
        self.inner.room_ids().await
    }

    async fn failed(&self) -> String {
        self.inner.failed().await
    }
}
