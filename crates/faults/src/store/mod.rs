//! The embedded store with faults, each switched on by a test; its tables are in [`tables`].

mod tables;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use parlance_core::{Append, Creation, Member, RoomId, UserId};
use parlance_store::{Embedded, LogStore, OpenError, Options, StoreError, UserRooms};
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
    /// Runs right before the next report is stored.
    pub before_report: Mutex<Option<BoxFuture<'static, ()>>>,
    /// Whether no room can be taken off a list of invitations.
    pub keeps_invited: AtomicBool,
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
            before_report: Mutex::default(),
            keeps_invited: AtomicBool::new(false),
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
