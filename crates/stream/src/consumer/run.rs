//! The task of a consumer.

mod commands;
mod parked;
mod reminder;
mod report;
mod save;
mod unread;

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use parlance_core::RoomId;
use parlance_store::StoreError;
use parlance_store::consumers::{ConsumerState, Parked, Walk, Wanted};
use parlance_store::feed::{ChangeFeed, FeedPage, Position};
use tokio::sync::{mpsc, watch};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use self::parked::ParkedRooms;
use self::reminder::Reminder;
use self::unread::{Last, Unread};
use super::clock_jumps::ClockJumps;
use super::work::Worked;
use super::{Answer, Command, Shared, Status};
use crate::limits::{
    LAST_LOOK, LAST_WORK, LAST_WORK_AWAY, PENDING_PAGE, RECORDS_PAGE, STORE_PAUSE, WALK_FAILURES,
};
use crate::sink::SinkError;
use crate::tracker::{Ended, Millis, Outcome, Tracker};

type Reading = BoxFuture<'static, Result<FeedPage, StoreError>>;
type Inbox = mpsc::Receiver<(Command, Answer)>;

/// Why a consumer leaves its loop.
enum Leave {
    Shutdown,
    /// To walk all rooms.
    Walk,
}

pub(crate) struct Runner {
    shared: Arc<Shared>,
    state: ConsumerState,
    /// The state as last written.
    written: ConsumerState,
    tracker: Tracker,
    status: watch::Sender<Status>,
    works: JoinSet<Worked>,
    /// The room of each task, in case it panics.
    working: HashMap<Id, RoomId>,
    begun: Instant,
    jumps: ClockJumps,
    /// Where the next scan for pending rooms starts.
    scan_after: Option<RoomId>,
    parked: ParkedRooms,
    /// Why the sink is unavailable; empty if it is not.
    away_because: String,
    reminder: Reminder,
    unread: Unread,
}

impl Runner {
    pub(crate) fn new(shared: Arc<Shared>, state: ConsumerState, status: watch::Sender<Status>) -> Self {
        let tracker = tracker_of(&shared, &state);
        let written = state.clone();
        let jumps = ClockJumps::new(shared.parts.clock.now());
        Self {
            shared,
            state,
            written,
            tracker,
            status,
            works: JoinSet::new(),
            working: HashMap::new(),
            begun: Instant::now(),
            jumps,
            scan_after: None,
            parked: ParkedRooms::default(),
            away_because: String::new(),
            reminder: Reminder::default(),
            unread: Unread::default(),
        }
    }

    pub(crate) async fn run(mut self, mut inbox: Inbox, shutdown: CancellationToken) {
        while !shutdown.is_cancelled() {
            if self.state.walk.is_some() {
                // What is undelivered is unknown before its end.
                self.state.behind_since.get_or_insert(self.shared.parts.clock.now());
                // A command during the walk must not write back the position from before it.
                self.tracker = tracker_of(&self.shared, &self.state);
                self.report();
                let walked = shutdown.run_until_cancelled(self.walk(&mut inbox)).await;
                if walked.is_none() {
                    return;
                }
            }
            self.tracker = tracker_of(&self.shared, &self.state);
            self.scan_after = None;
            let leave = self.work_on(&mut inbox, &shutdown).await;
            self.finish_work().await;
            // Rooms whose progress is unknown hold the checkpoint: reading it now would take too long.
            let _ = self.save().await;
            match leave {
                Leave::Shutdown => return,
                Leave::Walk => {
                    if shutdown.run_until_cancelled(self.begin_walk(&mut inbox)).await.is_none() {
                        return;
                    }
                }
            }
        }
    }

    /// Walks all rooms. Operators' commands are executed between steps.
    async fn walk(&mut self, inbox: &mut Inbox) {
        let mut failures = 0;
        while self.state.walk.is_some() {
            let stepped = self.shared.walk_on(&mut self.state, failures >= WALK_FAILURES).await;
            self.written = self.state.clone();
            self.report();
            let pause = match stepped {
                Ok(all_read) => {
                    // Where one room cannot be read, others may follow.
                    failures = if all_read { 0 } else { failures };
                    Duration::ZERO
                }
                Err(error) => {
                    let name = &self.shared.options.name;
                    tracing::warn!(consumer = %name, %error, "cannot walk the rooms, retrying");
                    failures += 1;
                    STORE_PAUSE
                }
            };
            let mut pausing = pin!(sleep(pause));
            loop {
                tokio::select! {
                    biased;
                    Some((command, answer)) = inbox.recv() => {
                        if self.carry_out(command, answer).await.is_some() {
                            self.begin_walk(inbox).await;
                        }
                    }
                    () = &mut pausing => break,
                }
            }
        }
    }

    /// Records the end of the feed, so that nothing is missed while all rooms are walked. Operators' commands are
    /// executed until it is known.
    async fn begin_walk(&mut self, inbox: &mut Inbox) {
        let mut pause = Duration::ZERO;
        loop {
            let feed = self.shared.parts.feed.clone();
            let mut asking = pin!(async move {
                sleep(pause).await;
                feed.tip().await
            });
            pause = STORE_PAUSE;
            let tip = loop {
                tokio::select! {
                    biased;
                    Some((command, answer)) = inbox.recv() => {
                        // All rooms are walked anyway.
                        let _ = self.carry_out(command, answer).await;
                    }
                    tip = &mut asking => break tip,
                }
            };
            match tip {
                Ok(tip) => {
                    self.unread.read(None, false);
                    self.state.position = tip;
                    self.state.walk = Some(Walk::default());
                    if self.write(Vec::new()).await.is_ok() {
                        return;
                    }
                }
                Err(error) => {
                    self.not_read(&error);
                    self.report();
                }
            }
        }
    }

    async fn work_on(&mut self, inbox: &mut Inbox, shutdown: &CancellationToken) -> Leave {
        let mut tick = interval(self.shared.options.flush_every);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut reading: Option<Reading> = None;
        let mut counting = parked::count(&self.shared, &self.parked);
        loop {
            let scans_on = self.load_pending().await;
            self.start_work();
            if reading.is_none() && self.tracker.can_read() {
                let (feed, from) = (self.shared.parts.feed.clone(), self.tracker.read_from().clone());
                reading = Some(next_page(feed, from, self.unread.last()).boxed());
            }
            let page = async {
                match &mut reading {
                    Some(reading) => reading.await,
                    None => std::future::pending().await,
                }
            };
            let wake = self.tracker.next_at(self.now()).map(|at| self.begun + Duration::from_millis(at));
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
                    match shutdown.run_until_cancelled(self.carry_out(command, answer)).await {
                        None => return Leave::Shutdown,
                        Some(Some(leave)) => return leave,
                        Some(None) => {}
                    }
                }
                Some(worked) = self.works.join_next_with_id() => self.worked(worked),
                _ = tick.tick() => {
                    if shutdown.run_until_cancelled(self.load()).await.is_none() {
                        return Leave::Shutdown;
                    }
                    let _ = self.save().await;
                    self.report();
                }
                page = page => {
                    reading = None;
                    match page {
                        Ok(FeedPage::Records { records, next, unread }) => {
                            let now = self.now();
                            self.unread.read(unread, records.is_empty());
                            records.iter().for_each(|record| self.tracker.record(record, now));
                            self.tracker.read_to(next);
                        }
                        Err(error) => self.not_read(&error),
                        Ok(FeedPage::Trimmed) => {
                            let name = &self.shared.options.name;
                            tracing::warn!(consumer = %name, "the feed does not reach back: walking all rooms");
                            return Leave::Walk;
                        }
                    }
                }
                page = &mut counting => {
                    self.parked.found(page);
                    counting = parked::count(&self.shared, &self.parked);
                }
                () = wake => {}
                () = std::future::ready(()), if scans_on => {}
            }
        }
    }

    fn not_read(&mut self, error: &StoreError) {
        tracing::warn!(consumer = %self.shared.options.name, %error, "cannot read the feed, retrying");
        self.unread.failed(error, self.shared.parts.clock.now());
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
        let Ok((_, Worked { room, ended, not_taken })) = worked else {
            // The panic was logged. The room is retried, and finally parked.
            if let Some(room) = room {
                let outcome = if self.tracker.gives_up(&room) {
                    let since = self.shared.parts.clock.now();
                    Outcome::Parked(Parked { reason: "the work on it panics".to_owned(), since })
                } else {
                    Outcome::Failed
                };
                let ended = self.tracker.since_commands(&room, Ended { outcome, ..Ended::NOTHING });
                self.parked.ended(&room, &ended.outcome);
                self.tracker.ended(&room, ended, self.now());
            }
            return;
        };
        let (now, was_away) = (self.now(), self.tracker.is_away());
        let ended = self.tracker.since_commands(&room, ended);
        self.parked.ended(&room, &ended.outcome);
        self.tracker.ended(&room, ended, now);
        self.complain(&room, was_away, not_taken.as_ref());
        if let Some((_, SinkError::Gone { reason })) = not_taken {
            self.disable(reason);
        }
    }

    /// Waits for deliveries in flight, and gives them up at once where the sink accepts nothing.
    async fn finish_work(&mut self) {
        let begun = Instant::now();
        loop {
            let is_away = self.tracker.is_away() || self.shared.parts.sink.is_away();
            let deadline = begun + if is_away { LAST_WORK_AWAY } else { LAST_WORK };
            let look = deadline.min(Instant::now() + LAST_LOOK);
            match timeout_at(look, self.works.join_next_with_id()).await {
                Ok(Some(worked)) => self.worked(worked),
                Ok(None) => return,
                Err(_) if look < deadline => {}
                Err(_) => {
                    let name = &self.shared.options.name;
                    tracing::warn!(consumer = %name, is_away, "deliveries in flight are given up and will be repeated");
                    self.works.shutdown().await;
                    self.working.clear();
                    return;
                }
            }
        }
    }

    /// Reads some pending rooms, if there may be more of them than are in memory. Returns whether to read on at once.
    async fn load_pending(&mut self) -> bool {
        if !self.tracker.wants_pending() {
            return false;
        }
        let (table, name) = (&self.shared.parts.table, &self.shared.options.name);
        match table.rooms(name, Wanted::Pending, self.scan_after.as_ref(), PENDING_PAGE).await {
            Ok(page) => {
                self.tracker.pending(page.rooms, page.next.is_none());
                self.scan_after = page.next;
                self.tracker.wants_pending()
            }
            Err(error) => {
                tracing::warn!(consumer = %name, %error, "cannot read pending rooms, retrying");
                false
            }
        }
    }
}

fn tracker_of(shared: &Shared, state: &ConsumerState) -> Tracker {
    let is_stopped = state.paused || !state.disabled.is_empty();
    Tracker::new(state.position.clone(), is_stopped, state.behind_since, shared.options.limits)
}

/// The page after `from`, once there is one; after a pause if the `last` read has failed. An empty one where something
/// cannot be read, or could not be: that it can be read again is news.
async fn next_page(feed: Arc<dyn ChangeFeed>, from: Position, last: Last) -> Result<FeedPage, StoreError> {
    match last {
        Last::Failed => sleep(STORE_PAUSE).await,
        // What can be read is not delayed.
        Last::EmptyPart => drop(timeout(STORE_PAUSE, feed.wait(&from)).await),
        Last::Whole | Last::Part => {}
    }
    loop {
        match feed.records_after(&from, RECORDS_PAGE).await? {
            FeedPage::Records { next, unread: None, .. } if next == from && last == Last::Whole => {
                feed.wait(&from).await;
            }
            page => return Ok(page),
        }
    }
}
