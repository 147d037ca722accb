use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parlance_core::{
    Append, Blocks, Chunk, Clock as _, ClockMonitor, ClockOffset, Creation, Cursors, Entry, Event,
    FoldedName, Member, Overlay, Report, ReportId, ReportList, ReportOf, ReportPlace, RoomId, SeqRange,
    TimeSource, Timestamp, TitlePlace, UserId,
};
use parlance_planted::Plant;
use parlance_store::{
    AppendError, BlockError, BlockStore, Created, DirectoryStore, FoundReports, FoundRooms, FoundUsers,
    LogStore, MarkStore, MemberStore, NamePlace, PreferencesChange, ReportStore, RoomIds, Store, StoreError,
    StoredRoom, UpdateError, User, UserChange, UserRoom, UserRooms, UserStore,
};
use tokio::time::sleep;

use super::{MemoryStore, Tables};
use crate::clock::SimulatedClock;
use crate::fence::{CrashPoint, Fence};
use crate::weather::Weather;

/// One node's access to the store, which takes time, fails now and then, and loses
/// answers.
pub struct NodeStore {
    memory: MemoryStore,
    fence: Arc<Fence>,
    weather: Arc<Weather>,
    /// The node's clock.
    monitor: Arc<ClockMonitor>,
    /// The store's own clock, which is right.
    clock: SimulatedClock,
}

/// The outcome of an append.
enum Fate {
    Answered,
    /// Refused for lack of capacity: not written.
    Overloaded,
    /// Not written, and no answer.
    Lost,
    /// Written, and no answer.
    AnswerLost,
    /// Written long after the caller has given up.
    Late(Duration),
}

impl NodeStore {
    /// Creates the access of the node behind `fence`.
    pub fn new(
        memory: MemoryStore,
        fence: Arc<Fence>,
        weather: Arc<Weather>,
        monitor: Arc<ClockMonitor>,
    ) -> Self {
        let clock = SimulatedClock::new(weather.trace().start(), 0);
        Self { memory, fence, weather, monitor, clock }
    }

    /// Answers contain the time.
    pub fn compare_clocks(&self) {
        if parlance_planted::is(Plant::TrustClock) {
            return;
        }
        let own = self.monitor.uncorrected();
        self.monitor.record(TimeSource::Store, ClockOffset::measure(own, own, self.clock.now(), 0));
    }

    /// Records how far the times of an append are ahead of its arrival.
    fn note_times(&self, append: &Append) {
        if let Some(last) = append.chunk.events().last() {
            let ahead = last.at.since(self.clock.now());
            let mut tables = self.memory.tables();
            tables.ahead_ms = tables.ahead_ms.max(ahead);
        }
    }

    pub(super) async fn read<T>(&self, read: impl FnOnce(&Tables) -> T) -> Result<T, StoreError> {
        self.go().await;
        if self.weather.store_fails() {
            return Err(StoreError::Overloaded);
        }
        let answer = read(&self.memory.tables());
        self.go().await;
        self.compare_clocks();
        Ok(answer)
    }

    /// A write that is safe to repeat; if it fails, it may have happened.
    pub(super) async fn write<T>(&self, write: impl FnOnce(&mut Tables) -> T) -> Result<T, StoreError> {
        self.go().await;
        if self.weather.store_fails() {
            return Err(StoreError::Overloaded);
        }
        let answer = write(&mut self.memory.tables());
        self.go().await;
        if self.weather.answer_lost() {
            return Err(StoreError::Overloaded);
        }
        Ok(answer)
    }

    /// One half of the round trip.
    async fn go(&self) {
        self.fence.pass().await;
        sleep(self.weather.store_latency()).await;
        self.fence.pass().await;
    }

    fn fate(&self) -> Fate {
        if self.fence.is_armed(CrashPoint::ReadingBack) || self.weather.answer_lost() {
            return Fate::AnswerLost;
        }
        if self.weather.store_fails() {
            return Fate::Overloaded;
        }
        if !self.weather.answer_lost() {
            return Fate::Answered;
        }
        let dice = self.weather.dice();
        if dice.chance(500) { Fate::Lost } else { Fate::Late(dice.millis(5, 900)) }
    }
}

#[async_trait]
impl LogStore for NodeStore {
    async fn create_room(&self, creation: Creation) -> Result<Created<StoredRoom>, StoreError> {
        self.note_times(&creation.append);
        let created = self.write(|tables| tables.create(creation)).await?;
        self.fence.reach(CrashPoint::Committed).await;
        Ok(created)
    }

    async fn append(&self, room: &RoomId, append: Append) -> Result<(), AppendError> {
        self.go().await;
        self.note_times(&append);
        let fate = self.fate();
        if matches!(fate, Fate::Lost | Fate::AnswerLost | Fate::Late(_)) {
            self.weather
                .trace()
                .line(format_args!("append at {} of {room} unanswered", append.chunk.first_seq()));
        }
        let answer = match fate {
            Fate::Overloaded => return Err(StoreError::Overloaded.into()),
            Fate::Lost => Err(AppendError::Unknown),
            Fate::Answered => self.memory.tables().append(room, append),
            Fate::AnswerLost => {
                let _ = self.memory.tables().append(room, append);
                Err(AppendError::Unknown)
            }
            Fate::Late(delay) => {
                let (memory, room) = (self.memory.clone(), room.clone());
                tokio::spawn(async move {
                    sleep(delay).await;
                    let _ = memory.tables().append(&room, append);
                });
                Err(AppendError::Unknown)
            }
        };
        if answer.is_ok() {
            self.fence.reach(CrashPoint::Committed).await;
        }
        self.go().await;
        answer
    }

    async fn room(&self, room: &RoomId) -> Result<Option<StoredRoom>, StoreError> {
        self.read(|tables| tables.room(room)).await
    }

    async fn chunk(&self, room: &RoomId, first_seq: u64) -> Result<Option<Chunk>, StoreError> {
        self.fence.reach(CrashPoint::ReadingBack).await;
        self.read(|tables| tables.chunk(room, first_seq)).await
    }

    async fn chunks_after(&self, room: &RoomId, head: u64, limit: usize) -> Result<Vec<Chunk>, StoreError> {
        self.read(|tables| tables.chunks_after(room, head, limit)).await
    }

    async fn events_before(&self, room: &RoomId, seq: u64, limit: usize) -> Result<Vec<Event>, StoreError> {
        self.read(|tables| tables.events_before(room, seq, limit)).await
    }

    async fn read(
        &self,
        room: &RoomId,
        range: SeqRange,
        limit: usize,
        latest: bool,
    ) -> Result<Vec<Entry>, StoreError> {
        self.read(|tables| tables.read(room, range, limit, latest)).await
    }

    async fn overlay(&self, room: &RoomId, seq: u64) -> Result<Option<Overlay>, StoreError> {
        self.read(|tables| tables.overlay(room, seq)).await
    }

    async fn count_deleted(&self, room: &RoomId, range: SeqRange) -> Result<u64, StoreError> {
        self.read(|tables| tables.count_deleted(room, range)).await
    }
}

#[async_trait]
impl MemberStore for NodeStore {
    async fn member(&self, room: &RoomId, user: &UserId) -> Result<Option<Member>, StoreError> {
        self.read(|tables| tables.member(room, user)).await
    }

    async fn members(
        &self,
        room: &RoomId,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<Member>, StoreError> {
        self.read(|tables| tables.members(room, after, limit)).await
    }

    async fn members_by_id(&self, room: &RoomId, users: &[UserId]) -> Result<Vec<Member>, StoreError> {
        self.read(|tables| tables.members_by_id(room, users)).await
    }

    async fn rooms_of(
        &self,
        user: &UserId,
        after: Option<&RoomId>,
        limit: usize,
    ) -> Result<UserRooms, StoreError> {
        self.read(|tables| tables.rooms_of(user, after, limit)).await
    }

    async fn user_room(&self, user: &UserId, room: &RoomId) -> Result<Option<UserRoom>, StoreError> {
        self.read(|tables| tables.user_room(user, room)).await
    }
}

#[async_trait]
impl MarkStore for NodeStore {
    async fn advance(
        &self,
        user: &UserId,
        room: &RoomId,
        to: Cursors,
    ) -> Result<Option<Cursors>, StoreError> {
        self.write(|tables| tables.advance(user, room, to)).await
    }

    async fn set_preferences(
        &self,
        user: &UserId,
        room: &RoomId,
        change: PreferencesChange,
    ) -> Result<bool, StoreError> {
        self.write(|tables| tables.set_preferences(user, room, change)).await
    }
}

#[async_trait]
impl UserStore for NodeStore {
    async fn create_user(&self, user: User) -> Result<Created<User>, StoreError> {
        self.write(|tables| tables.create_user(user)).await
    }

    async fn user(&self, id: &UserId) -> Result<Option<User>, StoreError> {
        self.read(|tables| tables.user(id)).await
    }

    async fn users_by_id(&self, ids: &[UserId]) -> Result<Vec<User>, StoreError> {
        self.read(|tables| tables.users_by_id(ids)).await
    }

    async fn users(&self, after: Option<&UserId>, limit: usize) -> Result<Vec<User>, StoreError> {
        self.read(|tables| tables.users(after, limit)).await
    }

    async fn find_users(
        &self,
        prefix: &FoldedName,
        after: Option<&NamePlace>,
        limit: usize,
    ) -> Result<FoundUsers, StoreError> {
        self.read(|tables| tables.find_users(prefix, after, limit)).await
    }

    async fn update_user(
        &self,
        id: &UserId,
        change: UserChange,
        at: Timestamp,
    ) -> Result<Option<User>, UpdateError> {
        Ok(self.write(|tables| tables.update_user(id, change, at)).await??)
    }
}

#[async_trait]
impl BlockStore for NodeStore {
    async fn blocks(&self, user: &UserId) -> Result<Blocks, StoreError> {
        self.read(|tables| tables.blocks(user)).await
    }

    async fn set_block(
        &self,
        user: &UserId,
        other: &UserId,
        since: Option<Timestamp>,
    ) -> Result<Blocks, BlockError> {
        Ok(self.write(|tables| tables.set_block(user, other, since)).await??)
    }
}

#[async_trait]
impl ReportStore for NodeStore {
    async fn create_report(&self, report: Report, is_only: bool) -> Result<Created<Report>, StoreError> {
        self.write(|tables| tables.reports.create(report, is_only)).await
    }

    async fn last_report(&self, of: &ReportOf) -> Result<Option<Report>, StoreError> {
        self.read(|tables| tables.reports.last(of)).await
    }

    async fn report(&self, id: &ReportId) -> Result<Option<Report>, StoreError> {
        self.read(|tables| tables.reports.get(id)).await
    }

    async fn reports(
        &self,
        list: &ReportList,
        after: Option<&ReportPlace>,
        limit: usize,
    ) -> Result<FoundReports, StoreError> {
        self.read(|tables| tables.reports.page(list, after, limit)).await
    }

    async fn count_reports(
        &self,
        list: &ReportList,
        since: Timestamp,
        limit: usize,
    ) -> Result<usize, StoreError> {
        self.read(|tables| tables.reports.count(list, since, limit)).await
    }

    async fn replace_report(&self, old: &Report, new: &Report) -> Result<bool, StoreError> {
        self.write(|tables| tables.reports.replace(old, new)).await
    }
}

#[async_trait]
impl DirectoryStore for NodeStore {
    async fn listed_rooms(
        &self,
        prefix: &FoldedName,
        after: Option<&TitlePlace>,
        limit: usize,
    ) -> Result<FoundRooms, StoreError> {
        self.read(|tables| tables.listed_rooms(prefix, after, limit)).await
    }
}

#[async_trait]
impl Store for NodeStore {
    async fn identity(&self) -> Result<String, StoreError> {
        Ok(self.memory.tables().identity.clone())
    }

    async fn room_ids(&self) -> Result<RoomIds, StoreError> {
        Ok(self.memory.tables().room_ids.clone())
    }

    async fn last_note(&self) -> Result<Option<String>, StoreError> {
        self.read(|tables| tables.note.clone()).await
    }

    async fn leave_note(&self, note: &str) -> Result<(), StoreError> {
        self.write(|tables| tables.note = Some(note.to_owned())).await
    }

    async fn failed(&self) -> String {
        std::future::pending().await
    }
}
