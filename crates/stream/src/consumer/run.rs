//! The task of a consumer.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use parlance_core::RoomId;
use parlance_store::StoreError;
use parlance_store::consumers::{ConsumerState, ConsumerWrite, EventKey, Parked, RoomProgress, Walk, Wanted};
use parlance_store::feed::{ChangeFeed, FeedPage, Position};
use tokio::sync::{mpsc, watch};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::work::Worked;
use super::{Answer, Command, Error, Shared, Status};
use crate::plant::{self, Plant};
use crate::sink::SinkError;
use crate::tracker::{Ended, Millis, Outcome, Tracker};

/// Records that are read at once.
const PAGE: usize = 256;

/// Pending rooms that are read at once.
const PENDING_PAGE: usize = 500;

/// How long to leave a store alone that does not answer.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// How long work that is under way may take at the end.
const LAST_WORK: Duration = Duration::from_secs(5);

type Reading = BoxFuture<'static, FeedPage>;
type Inbox = mpsc::Receiver<(Command, Answer)>;

/// Why a consumer leaves its loop.
enum Leave {
    Shutdown,
    /// All rooms are to be walked.
    Walk,
}

pub(crate) struct Runner {
    shared: Arc<Shared>,
    state: ConsumerState,
    /// The state as it was last written.
    written: ConsumerState,
    tracker: Tracker,
    status: watch::Sender<Status>,
    works: JoinSet<Worked>,
    /// The room of each work that is under way, should it panic.
    working: HashMap<Id, RoomId>,
    begun: Instant,
    /// Where pending rooms are looked for next.
    scan_after: Option<RoomId>,
}

impl Runner {
    pub(crate) fn new(shared: Arc<Shared>, state: ConsumerState, status: watch::Sender<Status>) -> Self {
        let tracker = tracker_of(&shared, &state);
        let written = state.clone();
        Self {
            shared,
            state,
            written,
            tracker,
            status,
            works: JoinSet::new(),
            working: HashMap::new(),
            begun: Instant::now(),
            scan_after: None,
        }
    }

    pub(crate) async fn run(mut self, mut inbox: Inbox, shutdown: CancellationToken) {
        while !shutdown.is_cancelled() {
            if self.state.walk.is_some() {
                let walked = shutdown.run_until_cancelled(self.walk()).await;
                if walked.is_none() {
                    return;
                }
            }
            self.tracker = tracker_of(&self.shared, &self.state);
            self.scan_after = None;
            let leave = self.work_on(&mut inbox, &shutdown).await;
            self.finish_work().await;
            self.flush().await;
            match leave {
                Leave::Shutdown => return,
                Leave::Walk => {
                    if shutdown.run_until_cancelled(self.begin_walk()).await.is_none() {
                        return;
                    }
                }
            }
        }
    }

    async fn walk(&mut self) {
        while let Err(error) = self.shared.walk(&mut self.state).await {
            tracing::warn!(consumer = %self.shared.options.name, %error, "cannot walk the rooms, retrying");
            sleep(STORE_PAUSE).await;
        }
    }

    /// Notes the end of the feed, so that nothing is missed while all rooms are walked.
    async fn begin_walk(&mut self) {
        loop {
            match self.shared.parts.feed.tip().await {
                Ok(tip) => self.state.position = tip,
                Err(error) => {
                    tracing::warn!(consumer = %self.shared.options.name, %error, "cannot read the feed, retrying");
                    sleep(STORE_PAUSE).await;
                    continue;
                }
            }
            if !plant::is(Plant::SkipTheTrimmed) {
                self.state.walk = Some(Walk::default());
            }
            if self.write(Vec::new()).await.is_ok() {
                return;
            }
            sleep(STORE_PAUSE).await;
        }
    }

    async fn work_on(&mut self, inbox: &mut Inbox, shutdown: &CancellationToken) -> Leave {
        let mut tick = interval(self.shared.options.flush_every);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut reading: Option<Reading> = None;
        loop {
            self.load_pending().await;
            self.start_work();
            if reading.is_none() && self.tracker.can_read() {
                let (feed, from) = (self.shared.parts.feed.clone(), self.tracker.read_from().clone());
                reading = Some(next_page(feed, from).boxed());
            }
            let page = async {
                match &mut reading {
                    Some(reading) => reading.await,
                    None => std::future::pending().await,
                }
            };
            let wake = self.tracker.next_at().map(|at| self.begun + Duration::from_millis(at));
            let wake = async {
                match wake {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Leave::Shutdown,
                Some((command, answer)) = inbox.recv() => {
                    if let Some(leave) = self.carry_out(command, answer).await {
                        return leave;
                    }
                }
                Some(worked) = self.works.join_next_with_id() => self.worked(worked),
                _ = tick.tick() => {
                    self.flush().await;
                    self.report();
                }
                page = page => {
                    reading = None;
                    match page {
                        FeedPage::Records { records, next } => {
                            let now = self.now();
                            records.iter().for_each(|record| self.tracker.record(record, now));
                            self.tracker.read_to(next);
                        }
                        FeedPage::Trimmed => {
                            let name = &self.shared.options.name;
                            tracing::warn!(consumer = %name, "the feed does not reach back: walking all rooms");
                            return Leave::Walk;
                        }
                    }
                }
                () = wake => {}
            }
        }
    }

    fn now(&self) -> Millis {
        self.begun.elapsed().as_millis() as Millis
    }

    fn start_work(&mut self) {
        while let Some(room) = self.tracker.next(self.now()) {
            let origin = self.tracker.origin(&room).unwrap_or_default();
            let gives_up = self.tracker.gives_up(&room);
            let shared = self.shared.clone();
            let work = {
                let room = room.clone();
                async move { shared.work(&room, origin, gives_up).await }
            };
            self.working.insert(self.works.spawn(work).id(), room);
        }
    }

    fn worked(&mut self, worked: Result<(Id, Worked), JoinError>) {
        let id = match &worked {
            Ok((id, _)) => *id,
            Err(error) => error.id(),
        };
        let room = self.working.remove(&id);
        let Ok((_, Worked { room, ended, error })) = worked else {
            // A panic is in the log. The room is tried again, and parked in the end.
            if let Some(room) = room {
                let outcome = if self.tracker.gives_up(&room) {
                    let since = self.shared.parts.clock.now();
                    Outcome::Parked(Parked { reason: "the work on it panics".to_owned(), since })
                } else {
                    Outcome::FAILED
                };
                let ended = Ended { outcome, ..Ended::NOTHING };
                self.tracker.ended(&room, ended, self.now());
            }
            return;
        };
        let (now, was_away) = (self.now(), self.tracker.is_away());
        self.tracker.ended(&room, ended, now);
        let name = &self.shared.options.name;
        match (was_away, self.tracker.is_away(), &error) {
            (false, true, Some(error)) => {
                tracing::warn!(consumer = %name, %error, "nothing is taken, retrying; nothing is lost meanwhile");
            }
            (true, false, _) => tracing::info!(consumer = %name, "events are taken again"),
            _ => {}
        }
        if let Some(SinkError::Gone { reason }) = error {
            self.disable(reason);
        }
    }

    async fn finish_work(&mut self) {
        let finish = async {
            while let Some(worked) = self.works.join_next_with_id().await {
                self.worked(worked);
            }
        };
        if timeout(LAST_WORK, finish).await.is_err() {
            tracing::warn!(consumer = %self.shared.options.name, "events that were under way are sent again later");
            self.works.shutdown().await;
            self.working.clear();
        }
    }

    async fn load_pending(&mut self) {
        if !self.tracker.wants_pending() {
            return;
        }
        let (table, name) = (&self.shared.parts.table, &self.shared.options.name);
        match table.rooms(name, Wanted::Pending, self.scan_after.as_ref(), PENDING_PAGE).await {
            Ok(page) => {
                self.tracker.pending(page.rooms, page.next.is_none());
                self.scan_after = page.next;
            }
            Err(error) => tracing::warn!(consumer = %name, %error, "cannot read pending rooms, retrying"),
        }
    }

    /// Writes how far the consumer is. What fails is written later: until then events may be repeated.
    async fn flush(&mut self) {
        let now = self.now();
        for (room, origin) in self.tracker.to_load(now) {
            let loaded = async {
                let Some(head) = self.shared.parts.log.room(&room).await? else {
                    return Ok(RoomProgress::default());
                };
                self.shared.progress(&room, &head, origin).await
            };
            match loaded.await {
                Ok(row) => self.tracker.loaded(&room, row),
                Err(StoreError::Damaged(_)) => self.tracker.loaded(&room, RoomProgress::default()),
                Err(error) => {
                    let name = &self.shared.options.name;
                    tracing::warn!(consumer = %name, %room, %error, "cannot read how far a room is, retrying");
                }
            }
        }
        match self.tracker.flush(now) {
            Some(flush) => {
                // The position holds only together with these rows.
                let before = std::mem::replace(&mut self.state.position, flush.position.clone());
                match self.write(flush.rows.clone()).await {
                    Ok(()) => self.tracker.flushed(&flush),
                    Err(_) => self.state.position = before,
                }
            }
            None if self.state != self.written => {
                // The next try is at the next tick.
                let _ = self.write(Vec::new()).await;
            }
            None => {}
        }
    }

    async fn write(&mut self, rooms: Vec<(RoomId, RoomProgress)>) -> Result<(), StoreError> {
        let name = &self.shared.options.name;
        let write = ConsumerWrite { state: Some(self.state.clone()), rooms };
        match self.shared.parts.table.write_consumer(name, write).await {
            Ok(()) => {
                self.written = self.state.clone();
                Ok(())
            }
            Err(error) => {
                tracing::warn!(consumer = %name, %error, "cannot write how far the consumer is, retrying");
                Err(error)
            }
        }
    }

    fn disable(&mut self, reason: String) {
        if self.state.disabled.is_empty() {
            let name = &self.shared.options.name;
            tracing::error!(consumer = %name, reason, "the consumer is disabled; it goes on once it is resumed");
            self.state.disabled = reason;
            self.tracker.pause(true);
        }
    }

    /// Notes since when the sink takes nothing, and tells others how the consumer stands.
    fn report(&mut self) {
        let (options, now) = (&self.shared.options, self.shared.parts.clock.now());
        if !self.tracker.is_away() {
            self.state.failing_since = None;
        } else {
            let since = *self.state.failing_since.get_or_insert(now);
            let is_long = |after: Duration| u128::from(now.since(since)) >= after.as_millis();
            if options.disable_after.is_some_and(is_long) {
                self.disable("nothing was taken for too long".to_owned());
            }
        }
        let status = Status {
            behind_since: self.tracker.oldest(),
            rooms: self.tracker.active(),
            is_idle: self.tracker.is_idle(),
            is_away: self.tracker.is_away(),
            paused: self.state.paused,
            disabled: self.state.disabled.clone(),
        };
        let gauge = |name: &'static str, value: f64| {
            metrics::gauge!(name, "consumer" => self.shared.options.name.to_string()).set(value);
        };
        let lag = status.behind_since.map_or(0.0, |since| now.since(since) as f64 / 1_000.0);
        gauge("parlance_consumer_lag_seconds", lag);
        gauge("parlance_consumer_unfinished_rooms", status.rooms as f64);
        gauge("parlance_consumer_away", f64::from(u8::from(status.is_away)));
        gauge("parlance_consumer_disabled", f64::from(u8::from(!status.disabled.is_empty())));
        self.status.send_if_modified(|last| {
            let is_new = *last != status;
            *last = status;
            is_new
        });
    }

    /// Carries out what an operator wants; answers once it is kept.
    async fn carry_out(&mut self, command: Command, answer: Answer) -> Option<Leave> {
        let mut leave = None;
        let result = match command {
            Command::Pause(paused) => self.pause(paused).await,
            Command::Unpark { room, skip } => self.unpark(room, skip).await,
            Command::Replay => {
                leave = Some(Leave::Walk);
                self.finish_work().await;
                // What it holds is not to be written over what is forgotten.
                self.tracker = tracker_of(&self.shared, &self.state);
                self.forget_progress().await.map_err(Error::from)
            }
        };
        self.report();
        let _ = answer.send(result);
        leave
    }

    /// Stops, or goes on; then it is not given up any more.
    async fn pause(&mut self, paused: bool) -> Result<(), Error> {
        self.state.paused = paused;
        if !paused {
            self.state.disabled.clear();
            self.state.failing_since = None;
        }
        self.tracker.pause(self.state.paused || !self.state.disabled.is_empty());
        self.scan_after = None;
        Ok(self.write(Vec::new()).await?)
    }

    async fn unpark(&mut self, room: RoomId, skip: bool) -> Result<(), Error> {
        self.flush().await;
        let (table, name) = (&self.shared.parts.table, &self.shared.options.name);
        let row = table.progress(name, std::slice::from_ref(&room)).await?.pop().map(|(_, row)| row);
        let Some(mut row) = row.filter(|row| row.parked.is_some()) else {
            return Err(Error::NotParked(room));
        };
        row.parked = None;
        if skip && let Some(head) = self.shared.parts.log.room(&room).await? {
            let next = if row.done.epoch == head.epoch { row.done.seq + 1 } else { 1 };
            row.done = EventKey { epoch: head.epoch, seq: next };
        }
        // Also if the write fails, which may have been done: a later flush writes what holds.
        self.tracker.unpark(&room, row.clone());
        Ok(self.write(vec![(room, row)]).await?)
    }

    /// Has every room begin anew.
    async fn forget_progress(&mut self) -> Result<(), StoreError> {
        self.state.created_at = parlance_core::Timestamp(0);
        let feed = self.shared.parts.feed.clone();
        let mut after = None;
        loop {
            let rooms = feed.walk_rooms(after.as_ref(), PENDING_PAGE).await?;
            let Some(last) = rooms.last().cloned() else { return Ok(()) };
            // Pending until it is done: a process that ends here would otherwise leave rooms that nobody
            // comes back to.
            let anew = RoomProgress { pending: true, ..RoomProgress::default() };
            let rows = rooms.into_iter().map(|room| (room, anew.clone())).collect();
            self.write(rows).await?;
            after = Some(last);
        }
    }
}

fn tracker_of(shared: &Shared, state: &ConsumerState) -> Tracker {
    let is_stopped = state.paused || !state.disabled.is_empty();
    Tracker::new(state.position.clone(), is_stopped, shared.options.limits)
}

/// What follows `from` in the feed, once there is something.
async fn next_page(feed: Arc<dyn ChangeFeed>, from: Position) -> FeedPage {
    loop {
        match feed.records_after(&from, PAGE).await {
            Ok(FeedPage::Records { next, .. }) if next == from => feed.wait(&from).await,
            Ok(page) => return page,
            Err(error) => {
                tracing::warn!(%error, "cannot read the feed, retrying");
                sleep(STORE_PAUSE).await;
            }
        }
    }
}
