//! State shared by the tasks of a replay: the plan, the sessions, and what has arrived
//! so far.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use parlance_client::{ClientError, Request, Session};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::plan::{Plan, User};
use super::stream::Streams;

/// Timeout of one operation, including a restart of the server.
const OPERATION_DEADLINE: Duration = Duration::from_secs(120);

/// Problems kept for display; others are only counted.
const SHOWN_PROBLEMS: usize = 20;

/// Latencies up to an hour, microseconds.
const LONGEST_LATENCY: u64 = 3_600_000_000;

/// One replay.
pub(super) struct Run {
    pub(super) plan: Plan,
    /// One per user of the plan.
    pub(super) users: OnceLock<Vec<Online>>,
    /// The server's ids of the rooms, and their indices.
    rooms: OnceLock<(Vec<String>, HashMap<String, usize>)>,
    began: Instant,
    /// When each message was first sent, microseconds after `began`, by room and place.
    sent_at: Vec<Vec<AtomicU64>>,
    pub(super) sent: AtomicU64,
    pub(super) acknowledged: AtomicU64,
    /// Messages delivered correctly.
    pub(super) delivered: AtomicU64,
    /// Connections lost by sessions.
    pub(super) reconnects: AtomicU64,
    /// Notified when half of the messages are acknowledged.
    pub(super) half_way: Notify,
    latencies: Mutex<Latencies>,
    problems: Mutex<(Vec<String>, u64)>,
}

/// A logged-in user.
pub(super) struct Online {
    pub(super) session: Session,
    pub(super) streams: std::sync::Arc<Mutex<Streams>>,
}

/// Latencies, microseconds.
#[derive(Debug, Clone)]
pub(super) struct Latencies {
    /// From sending to the acknowledgement.
    pub(super) acknowledged: Histogram<u64>,
    /// From sending to each delivery.
    pub(super) delivered: Histogram<u64>,
}

impl Run {
    pub(super) fn new(plan: Plan) -> Self {
        let histogram = || {
            let histogram = Histogram::new_with_bounds(1, LONGEST_LATENCY, 3);
            histogram.unwrap_or_else(|error| unreachable!("the bounds are right: {error}"))
        };
        let sent_at = plan.rooms.iter().map(|room| room.messages.iter().map(|_| AtomicU64::new(0)).collect());
        Self {
            users: OnceLock::new(),
            rooms: OnceLock::new(),
            began: Instant::now(),
            sent_at: sent_at.collect(),
            sent: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            reconnects: AtomicU64::new(0),
            half_way: Notify::new(),
            latencies: Mutex::new(Latencies { acknowledged: histogram(), delivered: histogram() }),
            problems: Mutex::default(),
            plan,
        }
    }

    /// The user's session.
    pub(super) fn user(&self, user: User) -> &Online {
        &self.users.get().unwrap_or_else(|| unreachable!("everyone is logged in by now"))[user]
    }

    pub(super) fn rooms_created(&self, ids: Vec<String>) {
        let by_id = ids.iter().cloned().zip(0..).collect();
        let _ = self.rooms.set((ids, by_id));
    }

    /// The server's id of a room.
    pub(super) fn room_id(&self, room: usize) -> &str {
        &self.rooms.get().unwrap_or_else(|| unreachable!("the rooms are created by now")).0[room]
    }

    /// The index of this room, if it is one of ours.
    pub(super) fn room_of(&self, room_id: &str) -> Option<usize> {
        self.rooms.get()?.1.get(room_id).copied()
    }

    /// Executes an operation of a user, within a deadline.
    pub(super) async fn call<R: Request>(&self, user: User, request: R) -> Result<R::Response, ClientError> {
        match timeout(OPERATION_DEADLINE, self.user(user).session.call(request)).await {
            Ok(result) => result,
            Err(_) => Err(ClientError::Io(format!("no answer in {} s", OPERATION_DEADLINE.as_secs()))),
        }
    }

    /// Records that a message is sent for the first time.
    pub(super) fn sending(&self, room: usize, place: usize) {
        self.sent.fetch_add(1, Ordering::Relaxed);
        self.sent_at[room][place].store(self.now(), Ordering::Relaxed);
    }

    /// Records that a message was acknowledged.
    pub(super) fn acknowledged(&self, room: usize, place: usize) {
        let latency = self.since_sending(room, place);
        lock(&self.latencies).acknowledged.saturating_record(latency);
        let acknowledged = self.acknowledged.fetch_add(1, Ordering::Relaxed) + 1;
        if acknowledged == self.plan.messages().div_ceil(2) {
            self.half_way.notify_one();
        }
    }

    /// Records that a message was delivered.
    pub(super) fn delivered(&self, room: usize, place: usize) {
        let latency = self.since_sending(room, place);
        lock(&self.latencies).delivered.saturating_record(latency);
        self.delivered.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn latencies(&self) -> Latencies {
        lock(&self.latencies).clone()
    }

    /// Records a problem that is not part of any count.
    pub(super) fn problem(&self, problem: String) {
        let mut problems = lock(&self.problems);
        problems.1 += 1;
        if problems.0.len() < SHOWN_PROBLEMS {
            problems.0.push(problem);
        }
    }

    /// The first problems, and their total number.
    pub(super) fn problems(&self) -> (Vec<String>, u64) {
        lock(&self.problems).clone()
    }

    fn since_sending(&self, room: usize, place: usize) -> u64 {
        self.now().saturating_sub(self.sent_at[room][place].load(Ordering::Relaxed))
    }

    fn now(&self) -> u64 {
        self.began.elapsed().as_micros() as u64
    }
}

/// The counts left by a panicking task are still valid.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
