//! A node on a store whose answers tests control.

use std::collections::HashSet;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use parlance_core::{
    Append, Chunk, Creation, Cursors, Entry, Event, Mark, Member, Name, NewRoom, Overlay, RoomId, RoomIdKey,
    RoomKind, SeqRange, Settings, SystemClock, Timestamp, UserId, Visibility,
};
use parlance_delivery::{Deliveries, Frames};
use parlance_proto::v1;
use parlance_registry::{Local, NodeId};
use parlance_store::{
    AppendError, Created, Embedded, Options, RoomIds, Store, StoreError, StoredRoom, User, UserRoom,
};
use tempfile::TempDir;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use v1::client_frame::Operation;
use v1::server_frame::Frame;

use crate::auth::{Auth, Caller};
use crate::session::Session;
use crate::{Api, Parts, Sizes};
use parlance_hub::{Listening, Mailbox};

/// The embedded store, with faults.
pub(crate) struct ControlledStore {
    inner: Embedded,
    /// Rooms that cannot be read.
    pub(crate) damaged: Mutex<HashSet<RoomId>>,
    /// Messages that cannot be read.
    pub(crate) damaged_messages: Mutex<HashSet<(RoomId, u64)>>,
    /// Rooms that come to be when a room is next read.
    pub(crate) meanwhile: Mutex<Vec<Creation>>,
    /// Events up to here are no longer kept.
    pub(crate) trimmed: AtomicU64,
    /// Writes that are committed and not answered yet.
    pub(crate) committed: Semaphore,
    /// Answers to writes that are given.
    pub(crate) answers: Semaphore,
    /// What happens right after the next page of a user's rooms was read.
    pub(crate) after_page: Mutex<Option<BoxFuture<'static, ()>>>,
    /// What happens right after the next room was read.
    pub(crate) after_room: Mutex<Option<BoxFuture<'static, ()>>>,
    /// Reads of rooms, logs and rows so far.
    reads: AtomicUsize,
    /// Users are not stored, and nobody is answered.
    pub(crate) stalls_users: AtomicBool,
    /// Times that rows of several members were read in one.
    row_batches: AtomicUsize,
    /// Moves of cursors that are still to fail.
    failing_advances: AtomicUsize,
}

impl ControlledStore {
    fn check(&self, room: &RoomId) -> Result<(), StoreError> {
        if self.damaged.lock().unwrap().contains(room) {
            return Err(StoreError::Damaged(format!("room {room}")));
        }
        Ok(())
    }

    async fn answer(&self) {
        self.committed.add_permits(1);
        self.answers.acquire().await.unwrap().forget();
    }

    /// Never ready at once, however fast the disk is.
    async fn begin_read(&self) {
        self.reads.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
    }

    pub(crate) fn reads(&self) -> usize {
        self.reads.load(Ordering::SeqCst)
    }

    pub(crate) fn row_batches(&self) -> usize {
        self.row_batches.load(Ordering::SeqCst)
    }

    /// Has as many moves of cursors fail.
    pub(crate) fn fail_advances(&self, count: usize) {
        self.failing_advances.store(count, Ordering::SeqCst);
    }

    /// Answers all writes at once.
    pub(crate) fn answer_all(&self) {
        self.answers.add_permits(1_000);
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

    async fn create_room(&self, creation: Creation) -> Result<Created<StoredRoom>, StoreError> {
        let created = self.inner.create_room(creation).await;
        self.answer().await;
        created
    }

    async fn append(&self, room: &RoomId, append: Append) -> Result<(), AppendError> {
        self.inner.append(room, append).await
    }

    async fn room(&self, room: &RoomId) -> Result<Option<StoredRoom>, StoreError> {
        self.begin_read().await;
        self.check(room)?;
        let meanwhile = std::mem::take(&mut *self.meanwhile.lock().unwrap());
        for creation in meanwhile {
            self.inner.create_room(creation).await?;
        }
        let stored = self.inner.room(room).await;
        let work = self.after_room.lock().unwrap().take();
        if let Some(work) = work {
            work.await;
        }
        stored
    }

    async fn chunk(&self, room: &RoomId, first_seq: u64) -> Result<Option<Chunk>, StoreError> {
        self.begin_read().await;
        self.inner.chunk(room, first_seq).await
    }

    async fn chunks_after(&self, room: &RoomId, head: u64, limit: usize) -> Result<Vec<Chunk>, StoreError> {
        self.begin_read().await;
        self.check(room)?;
        self.inner.chunks_after(room, head.max(self.trimmed.load(Ordering::SeqCst)), limit).await
    }

    async fn events_before(&self, room: &RoomId, seq: u64, limit: usize) -> Result<Vec<Event>, StoreError> {
        self.begin_read().await;
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
        self.begin_read().await;
        self.check(room)?;
        let is_damaged = |(of, seq): &(RoomId, u64)| of == room && range.contains(*seq);
        if self.damaged_messages.lock().unwrap().iter().any(is_damaged) {
            return Err(StoreError::Damaged(format!("a message of room {room}")));
        }
        let from = range.from.max(self.trimmed.load(Ordering::SeqCst) + 1);
        self.inner.read(room, SeqRange { from, ..range }, limit, latest).await
    }

    async fn overlay(&self, room: &RoomId, seq: u64) -> Result<Option<Overlay>, StoreError> {
        self.begin_read().await;
        self.inner.overlay(room, seq).await
    }

    async fn count_deleted(&self, room: &RoomId, range: SeqRange) -> Result<u64, StoreError> {
        self.inner.count_deleted(room, range).await
    }

    async fn member(&self, room: &RoomId, user: &UserId) -> Result<Option<Member>, StoreError> {
        self.begin_read().await;
        self.inner.member(room, user).await
    }

    async fn members(
        &self,
        room: &RoomId,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<Member>, StoreError> {
        self.begin_read().await;
        self.inner.members(room, after, limit).await
    }

    async fn members_by_id(&self, room: &RoomId, users: &[UserId]) -> Result<Vec<Member>, StoreError> {
        self.begin_read().await;
        self.row_batches.fetch_add(1, Ordering::SeqCst);
        self.inner.members_by_id(room, users).await
    }

    async fn rooms_of(
        &self,
        user: &UserId,
        after: Option<&RoomId>,
        limit: usize,
    ) -> Result<Vec<UserRoom>, StoreError> {
        self.begin_read().await;
        let page = self.inner.rooms_of(user, after, limit).await;
        let work = self.after_page.lock().unwrap().take();
        if let Some(work) = work {
            work.await;
        }
        page
    }

    async fn user_room(&self, user: &UserId, room: &RoomId) -> Result<Option<UserRoom>, StoreError> {
        self.begin_read().await;
        self.inner.user_room(user, room).await
    }

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

    async fn create_user(&self, user: User) -> Result<Created<User>, StoreError> {
        if self.stalls_users.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        self.inner.create_user(user).await
    }

    async fn user(&self, id: &UserId) -> Result<Option<User>, StoreError> {
        self.inner.user(id).await
    }
    async fn set_hidden(&self, user: &UserId, room: &RoomId, hidden: Mark) -> Result<bool, StoreError> {
        self.inner.set_hidden(user, room, hidden).await
    }

    async fn users(&self, after: Option<&UserId>, limit: usize) -> Result<Vec<User>, StoreError> {
        self.inner.users(after, limit).await
    }

    async fn rename_user(&self, id: &UserId, name: Name, at: Timestamp) -> Result<Option<User>, StoreError> {
        self.inner.rename_user(id, name, at).await
    }

    async fn failed(&self) -> String {
        self.inner.failed().await
    }
}

/// A node with nobody beside it.
pub(crate) struct TestNode {
    pub(crate) api: Arc<Api>,
    pub(crate) store: Arc<ControlledStore>,
    room_ids: RoomIds,
    _folder: TempDir,
}

impl TestNode {
    /// A node with small pages.
    pub(crate) fn start() -> Self {
        Self::start_with_grace(Duration::ZERO)
    }

    /// The same, where someone counts as online for so long after their last session has ended.
    pub(crate) fn start_with_grace(presence_grace: Duration) -> Self {
        let room_ids = RoomIds { key: RoomIdKey::new([7; RoomIdKey::BYTES]), some_unkeyed: false };
        Self::start_from(room_ids, presence_grace)
    }

    /// The same, where ids of rooms are made this way.
    pub(crate) fn start_with(room_ids: RoomIds) -> Self {
        Self::start_from(room_ids, Duration::ZERO)
    }

    fn start_from(room_ids: RoomIds, presence_grace: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(ControlledStore {
            inner: Embedded::open(folder.path(), Options::default()).unwrap(),
            damaged: Mutex::default(),
            damaged_messages: Mutex::default(),
            meanwhile: Mutex::default(),
            trimmed: AtomicU64::new(0),
            after_page: Mutex::default(),
            after_room: Mutex::default(),
            committed: Semaphore::new(0),
            answers: Semaphore::new(0),
            reads: AtomicUsize::new(0),
            stalls_users: AtomicBool::new(false),
            row_batches: AtomicUsize::new(0),
            failing_advances: AtomicUsize::new(0),
        });
        let parts = Parts { presence_grace, ..parts(store.clone(), room_ids.clone(), &Sizes::SMALL) };
        Self { api: Api::start(parts, CancellationToken::new()), store, room_ids, _folder: folder }
    }
}

impl TestNode {
    /// Another node on the same store. All hints between the two are lost.
    pub(crate) fn other(&self) -> Arc<Api> {
        let parts = parts(self.store.clone(), self.room_ids.clone(), &Sizes::SMALL);
        Api::start(parts, CancellationToken::new())
    }

    /// A node with a group of alice and bob; writes are answered at once, and carol is a user.
    pub(crate) async fn with_group() -> (Self, RoomId) {
        let node = Self::start();
        node.store.answer_all();
        for id in ["alice", "bob", "carol"] {
            node.api.ensure_user(&caller(id)).await.unwrap();
        }
        let room = node.api.rooms().create(group("first")).await.unwrap().into_parts().0.info.id;
        (node, room)
    }

    /// A session of `id` that listens to `room` as that of a member.
    pub(crate) async fn live(&self, id: &str, room: &RoomId) -> (Arc<Mailbox>, Listening) {
        let mailbox = self.api.hub().open(&user(id), None);
        let (listening, state) = self.api.hub().subscribe(room, &mailbox).await.unwrap().unwrap();
        listening.now_live(state.head);
        (mailbox, listening)
    }
}

/// Alice says something; returns its seq.
pub(crate) async fn say(api: &Api, room: &RoomId, text: &str) -> u64 {
    let request = v1::SendMessageRequest {
        text: text.to_owned(),
        client_message_id: text.replace(' ', "-"),
        target: Some(v1::send_message_request::Target::RoomId(room.to_string())),
        ..Default::default()
    };
    api.send_message(&caller("alice"), request).await.unwrap().seq
}

/// Alice removes someone; returns the seq of that.
pub(crate) async fn remove(api: &Api, room: &RoomId, whom: &str) -> u64 {
    let request = v1::RemoveMemberRequest {
        room_id: room.to_string(),
        user_id: whom.to_owned(),
        request_id: format!("remove-{whom}"),
        ..Default::default()
    };
    api.remove_member(&caller("alice"), request).await.unwrap().outcome.unwrap().seq
}

/// Alice adds someone; returns the seq of that.
pub(crate) async fn add(api: &Api, room: &RoomId, whom: &str) -> u64 {
    let request = v1::AddMembersRequest {
        room_id: room.to_string(),
        user_ids: vec![whom.to_owned()],
        request_id: format!("add-{whom}"),
        ..Default::default()
    };
    api.add_members(&caller("alice"), request).await.unwrap().outcome.unwrap().seq
}

/// A node alone on `store`.
pub(crate) fn parts(store: Arc<dyn Store>, room_ids: RoomIds, sizes: &'static Sizes) -> Parts {
    Parts {
        store,
        room_ids,
        registry: Arc::new(Local::new(NodeId::from_random(1))),
        auth: Auth::local(b"test"),
        clock: Arc::new(SystemClock),
        user_rate: None::<NonZeroU32>,
        reconnect_spread: Duration::ZERO,
        isolation: Duration::from_secs(45),
        recovery_reads: 100,
        presence_grace: Duration::ZERO,
        sizes,
    }
}

pub(crate) fn caller(id: &str) -> Caller {
    Caller { user: user(id), is_service: false, expires_at: u64::MAX }
}

pub(crate) fn user(id: &str) -> UserId {
    UserId::parse(id).unwrap()
}

/// A group of alice and bob; its id depends on `request`.
pub(crate) fn group(request: &str) -> Creation {
    let settings = Settings {
        title: parlance_core::Title::default(),
        topic: parlance_core::Topic::default(),
        visibility: Visibility::SinceJoined,
    };
    let request = parlance_core::RequestId::parse(request).unwrap();
    let others = [user("bob")];
    let creator = user("alice");
    let id = RoomId::created_unkeyed(&creator, &request);
    let new = NewRoom { id, creator: &creator, request: &request, kind: RoomKind::Group, settings };
    Creation::shared(new, &others, [1; 16], Timestamp(1))
}

/// What `future` comes to, or a failure if it takes too long.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.unwrap()
}

/// A client in the same process, in a session of its own.
pub(crate) struct Conversation {
    requests: mpsc::Sender<Result<v1::ClientFrame, Status>>,
    frames: Frames,
    /// Of the rooms that it has not caught up in.
    heads: Vec<v1::Cursor>,
}

impl Conversation {
    /// Says hello, and waits for the welcome.
    pub(crate) async fn open(api: &Arc<Api>, caller: Caller) -> Self {
        let (requests, inbound) = mpsc::channel(8);
        let inbound = ReceiverStream::new(inbound).boxed();
        let deliveries: Deliveries = Session::stream(api.clone(), caller, inbound, false, None).boxed();
        let mut conversation = Self { requests, frames: deliveries.into(), heads: Vec::new() };
        conversation.send(Operation::Hello(v1::Hello::default())).await;
        loop {
            if let Frame::Welcome(welcome) = conversation.next().await {
                conversation.heads = welcome.heads;
                return conversation;
            }
        }
    }

    /// Takes what was there before the session.
    pub(crate) async fn catch_up(&mut self) {
        while !self.heads.is_empty() {
            if let Frame::Event(event) = self.next().await {
                self.heads.retain(|head| head.room_id != event.room_id || head.seq > event.seq);
            }
        }
    }

    async fn send(&self, operation: Operation) {
        let frame = v1::ClientFrame { request_id: "request".into(), operation: Some(operation) };
        self.requests.send(Ok(frame)).await.unwrap();
    }

    /// The next frame.
    pub(crate) async fn next(&mut self) -> Frame {
        let frame = soon(self.frames.next()).await.expect("the session goes on").unwrap();
        frame.decode_frame().unwrap().frame.unwrap()
    }

    /// The frames that can be had without waiting.
    pub(crate) fn waiting(&mut self) -> Vec<Frame> {
        let next = || self.frames.next().now_or_never()??.unwrap().decode_frame().unwrap().frame;
        std::iter::from_fn(next).collect()
    }

    /// Has an operation carried out, and waits for its answer.
    pub(crate) async fn call(&mut self, operation: Operation) -> v1::reply::Result {
        self.send(operation).await;
        loop {
            if let Frame::Reply(reply) = self.next().await {
                return reply.result.unwrap();
            }
        }
    }
}
