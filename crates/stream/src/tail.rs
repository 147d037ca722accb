//! A stream of all events whose reader keeps the cursor.

mod cursor;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parlance_core::evict::survivors;
use parlance_core::{RoomId, SeqRange};
use parlance_proto::events::v1::RoomEvent;
use parlance_store::StoreError;
use parlance_store::consumers::EventKey;
use parlance_store::feed::{ChangeFeed, FeedPage, Position, Record};
use prost::Message as _;
use tokio::time::{Instant, sleep_until, timeout_at};

pub use self::cursor::Cursor;
use self::cursor::Place;
use crate::cold::start_of;
use crate::event::{Content, room_event};
use crate::limits::{STORE_PAUSE, TAIL_BATCH, TAIL_BATCH_BYTES, TAIL_PAGE, TAIL_REMEMBERED, TAIL_ROOMS};
use crate::log::{Log, RoomHead};

/// Why a stream ends.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TailError {
    /// The feed no longer reaches back to the cursor.
    #[error("the cursor is too old, or of another store")]
    Expired,
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Where a stream without a cursor starts, and what happens if the feed no longer reaches back to its cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum From {
    /// With events from now on; an expired cursor is refused.
    #[default]
    Now,
    /// With all events of all rooms; likewise if the cursor has expired.
    Beginning,
}

/// Some events of one room, in ascending order.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// The events; empty if only the cursor has moved, or as a heartbeat.
    pub events: Vec<RoomEvent>,
    /// Where to continue after them.
    pub cursor: Cursor,
    /// Whether they are the first of a walk over all rooms.
    pub resync: bool,
}

/// A stream of events.
pub struct Tail {
    feed: Arc<dyn ChangeFeed>,
    log: Arc<dyn Log>,
    from: From,
    content: Content,
    cursor: Cursor,
    /// Records that were read but not sent.
    records: VecDeque<Record>,
    /// Progress in each room.
    done: HashMap<RoomId, EventKey>,
    /// The heads of the first record's rooms when it was first processed. A record may name only the first event of
    /// its commit; the rest of the commit is below this.
    goals: HashMap<RoomId, u64>,
    /// Rooms of a walk that were read but not sent.
    rooms: VecDeque<RoomId>,
    resync: bool,
    /// Whether it goes on with a walk of a cursor, whose store may have been restored since, or trimmed.
    is_unchecked: bool,
    /// Whether its reader has no cursor yet, and gets one at once: one that reconnects before the first event would
    /// start elsewhere.
    owes_cursor: bool,
}

impl Tail {
    /// Opens a stream at `cursor`, or at `from`.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn open(
        feed: Arc<dyn ChangeFeed>,
        log: Arc<dyn Log>,
        cursor: Option<Cursor>,
        from: From,
        content: Content,
    ) -> Result<Self, TailError> {
        let is_new = cursor.is_none();
        let is_unchecked = cursor.as_ref().is_some_and(|cursor| cursor.walk.is_some());
        let cursor = match cursor {
            Some(cursor) => cursor,
            None => Cursor::at(feed.tip().await?),
        };
        let (records, done, rooms) = (VecDeque::new(), HashMap::new(), VecDeque::new());
        let mut tail = Self {
            feed,
            log,
            from,
            content,
            cursor,
            records,
            done,
            goals: HashMap::new(),
            rooms,
            resync: false,
            is_unchecked,
            owes_cursor: is_new,
        };
        if is_new && from == From::Beginning {
            tail.walk_from(tail.cursor.position.clone());
        }
        Ok(tail)
    }

    /// The next events, or none after `patience`. Without a cursor, the first batch is one without events. A store that is
    /// overloaded, or does not answer, is waited for like events. Cancel-safe.
    ///
    /// # Errors
    /// Others of the store, and that the cursor has expired.
    pub async fn next(&mut self, patience: Duration) -> Result<Batch, TailError> {
        if std::mem::take(&mut self.owes_cursor) {
            return Ok(self.batch(Vec::new()));
        }
        let (until, mut is_first) = (Instant::now() + patience, true);
        loop {
            // Records without events, and rooms without any, only move the cursor, which is sent now and then.
            if !std::mem::take(&mut is_first) && Instant::now() >= until {
                return Ok(self.batch(Vec::new()));
            }
            match self.step(until).await {
                Ok(Some(batch)) => return Ok(batch),
                Ok(None) => {}
                Err(TailError::Store(error @ (StoreError::Overloaded | StoreError::Unreachable(_)))) => {
                    tracing::debug!(%error, "a stream of events waits for the store");
                    sleep_until(until.min(Instant::now() + STORE_PAUSE)).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The next events, or none: then there may be some at once. Waits for them until `until`.
    async fn step(&mut self, until: Instant) -> Result<Option<Batch>, TailError> {
        if self.is_unchecked {
            // A room would go on under another epoch, and all of the walk be in vain.
            if self.feed.records_after(&self.cursor.position, 1).await? == FeedPage::Trimmed {
                self.trimmed().await?;
            }
            self.is_unchecked = false;
            return Ok(None);
        }
        if let Some(place) = self.cursor.walk.clone() {
            return self.walk(place).await;
        }
        if let Some(record) = self.records.front() {
            let record = record.clone();
            let batch = self.send(&record).await?;
            if batch.is_none() {
                // All of it was sent.
                self.finish(&record);
            }
            return Ok(batch);
        }
        match self.feed.records_after(&self.cursor.position, TAIL_PAGE).await? {
            FeedPage::Records { records, next, .. } if records.is_empty() && next == self.cursor.position => {
                let _ = timeout_at(until, self.feed.wait(&next)).await;
            }
            FeedPage::Records { records, next, .. } => {
                if records.is_empty() {
                    self.cursor = Cursor::at(next);
                }
                self.records.extend(records);
            }
            FeedPage::Trimmed => self.trimmed().await?,
        }
        Ok(None)
    }

    /// The feed does not reach back to the cursor.
    async fn trimmed(&mut self) -> Result<(), TailError> {
        if self.from == From::Now {
            return Err(TailError::Expired);
        }
        let tip = self.feed.tip().await?;
        self.walk_from(tip);
        Ok(())
    }

    /// Sends all rooms from their first event on, and then what follows `position`.
    fn walk_from(&mut self, position: Position) {
        self.done.clear();
        self.goals.clear();
        self.rooms.clear();
        self.resync = true;
        self.cursor = Cursor { position, walk: Some(Place::default()) };
    }

    /// The next events of a record's rooms; `None` once all of them were sent.
    async fn send(&mut self, record: &Record) -> Result<Option<Batch>, TailError> {
        for moved in &record.changes.heads {
            let done = self.done.get(&moved.room).copied();
            if self.is_sent_to(&moved.room, moved.last) {
                continue;
            }
            let Some(head) = self.room(&moved.room).await? else { continue };
            let goal = *self.goals.entry(moved.room.clone()).or_insert(head.head);
            let from = match done {
                Some(done) if done.epoch == head.epoch => done.seq + 1,
                Some(_) => 1,
                None => {
                    let (log, feed) = (self.log.as_ref(), self.feed.as_ref());
                    match start_of(log, feed, &moved.room, moved.first, record.at).await {
                        Ok(start) => start + 1,
                        Err(StoreError::Damaged(what)) => {
                            leave_out(&moved.room, &what);
                            continue;
                        }
                        Err(error) => return Err(error.into()),
                    }
                }
            };
            // Not past the goal, where a commit ends: in the middle of a later commit, its record would seem to be
            // sent.
            let range = SeqRange { from: from.max(head.floor), to: head.head.min(goal) };
            if let Some(events) = self.read(&moved.room, range).await? {
                if self.is_sent(record) {
                    self.finish(record);
                }
                return Ok(Some(self.batch(events)));
            }
        }
        Ok(None)
    }

    /// Whether all events of a record were sent.
    fn is_sent(&self, record: &Record) -> bool {
        record.changes.heads.iter().all(|moved| self.is_sent_to(&moved.room, moved.last))
    }

    /// Whether a room was sent up to `last`, including the rest of its commit.
    fn is_sent_to(&self, room: &RoomId, last: u64) -> bool {
        let goal = self.goals.get(room).map_or(last, |goal| last.max(*goal));
        self.done.get(room).is_some_and(|done| done.seq >= goal)
    }

    /// Continues after the first record.
    fn finish(&mut self, record: &Record) {
        self.cursor = Cursor::at(record.position.clone());
        self.records.pop_front();
        self.goals.clear();
    }

    /// The next events of a walk; `None` if it has ended, or a room had none.
    async fn walk(&mut self, place: Place) -> Result<Option<Batch>, TailError> {
        // A room in progress comes first.
        let next = match (&place.room, place.seq) {
            (Some(room), seq) if seq > 0 => Some((room.clone(), seq)),
            _ => {
                if self.rooms.is_empty() {
                    self.rooms.extend(self.feed.walk_rooms(place.room.as_ref(), TAIL_ROOMS).await?);
                }
                self.rooms.front().map(|room| (room.clone(), 0))
            }
        };
        let Some((room, sent)) = next else {
            self.cursor.walk = None;
            return Ok(None);
        };
        let head = self.room(&room).await?;
        let events = match &head {
            Some(head) => {
                let range = SeqRange { from: (sent + 1).max(head.floor), to: head.head };
                self.read(&room, range).await?
            }
            None => None,
        };
        if self.rooms.front() == Some(&room) {
            self.rooms.pop_front();
        }
        let seq = events.as_ref().and_then(|events| events.last()).map_or(0, |event| event.seq);
        self.cursor.walk = Some(Place { room: Some(room), seq });
        Ok(events.map(|events| self.batch(events)))
    }

    /// Reads events of `range` to send; `None` if there are none.
    async fn read(&mut self, room: &RoomId, range: SeqRange) -> Result<Option<Vec<RoomEvent>>, TailError> {
        if range.from > range.to {
            return Ok(None);
        }
        let entries = match self.log.read(room, range, TAIL_BATCH).await {
            Ok(entries) => entries,
            Err(StoreError::Damaged(what)) => {
                leave_out(room, &what);
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        let Some(head) = self.room(room).await? else { return Ok(None) };
        let (mut events, mut bytes) = (Vec::new(), 0);
        for entry in &entries {
            let event = room_event(room, &head, entry, self.content);
            bytes += event.encoded_len();
            if bytes > TAIL_BATCH_BYTES && !events.is_empty() {
                break;
            }
            events.push(event);
        }
        let Some(last) = events.last() else { return Ok(None) };
        if self.done.len() > TAIL_REMEMBERED {
            let mut survives = survivors(self.done.len(), TAIL_REMEMBERED);
            self.done.retain(|_, _| survives());
        }
        self.done.insert(room.clone(), EventKey { epoch: head.epoch, seq: last.seq });
        Ok(Some(events))
    }

    /// The state of a room; `None` if it does not exist, or is unreadable.
    async fn room(&self, room: &RoomId) -> Result<Option<RoomHead>, StoreError> {
        match self.log.room(room).await {
            Err(StoreError::Damaged(what)) => {
                leave_out(room, &what);
                Ok(None)
            }
            other => other,
        }
    }

    fn batch(&mut self, events: Vec<RoomEvent>) -> Batch {
        Batch { events, cursor: self.cursor.clone(), resync: std::mem::take(&mut self.resync) }
    }
}

/// An unreadable room does not stop the others; the reader sees a gap.
fn leave_out(room: &RoomId, what: &str) {
    tracing::error!(%room, what, "cannot read a room, leaving it out of a stream of events");
    metrics::counter!("parlance_stream_unreadable_rooms_total").increment(1);
}
