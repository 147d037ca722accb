//! A client: one user on one device, who sends, changes, reads and leaves according to
//! the script, despite connection failures, and records everything.

mod answers;
mod asking;
mod rooms;
mod serving;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use parlance_client::ClientError;
use parlance_client::transport::{Connection, Dialer};
use parlance_proto::v1;
use parlance_proto::v1::client_frame::Operation;
use parlance_proto::v1::reply::Result as Reply;
use parlance_proto::v1::server_frame::Frame;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};

use self::rooms::Rooms;
use super::history::{At, ClientHistory};
use super::script::Script;
use super::world::{self, User, World};
use parlance_testbed::{NodeAddresses, Seeded};

/// From connecting to the welcome: long enough that clients reconnecting to a slow
/// machine do not have to queue again.
const OPEN_DEADLINE: Duration = Duration::from_secs(45);

/// What the clients of a run share.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) world: World,
    pub(super) began: Instant,
    pub(super) nodes: Vec<NodeAddresses>,
    /// Average interval of a client's steps.
    pub(super) pace: Duration,
    /// Maximum number of unanswered operations per client.
    pub(super) in_flight: usize,
    pub(super) counts: Counts,
}

/// Counts so far, for progress and the table.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) sent: AtomicU64,
    pub(super) acknowledged: AtomicU64,
    pub(super) delivered: AtomicU64,
    pub(super) sessions: AtomicU64,
    pub(super) gaps: AtomicU64,
    pub(super) draining: AtomicU64,
}

impl Counts {
    pub(super) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

impl Stage {
    pub(super) fn now(&self) -> At {
        self.began.elapsed().as_millis() as At
    }
}

/// The phase of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Run,
    /// No new operations; unanswered ones are retried.
    Settle,
    Stop,
}

/// A disturbance of a client.
#[derive(Debug, Clone, Copy)]
pub(super) enum Control {
    Stall(Duration),
    /// Sends nothing new, but keeps listening.
    Silence(Duration),
    Move,
    /// Sends an operation, and disconnects before the answer.
    HangUp,
    Fresh,
}

/// The state of a client, for waiting until all have settled.
#[derive(Debug, Default)]
pub(super) struct Standing {
    pub(super) unanswered: AtomicU32,
    /// The position in each of its rooms, in the order of [`World::rooms_of`].
    pub(super) reached: Vec<AtomicU64>,
    /// The number of its connection; 0 while disconnected.
    pub(super) session: AtomicU64,
}

/// Parameters of a client.
pub(super) struct Start {
    pub(super) user: User,
    pub(super) token: String,
    pub(super) script: Script,
    pub(super) seed: u64,
    pub(super) standing: Arc<Standing>,
    pub(super) control: mpsc::Receiver<Control>,
    pub(super) phase: watch::Receiver<Phase>,
}

pub(super) struct Client {
    stage: Arc<Stage>,
    user: User,
    token: String,
    script: Script,
    /// Delays and sizes that need not be reproducible.
    chance: Seeded,
    standing: Arc<Standing>,
    control: mpsc::Receiver<Control>,
    phase: watch::Receiver<Phase>,
    rooms: Rooms,
    history: ClientHistory,
    /// By the number of their frames.
    pending: BTreeMap<u64, Pending>,
    ready: VecDeque<u64>,
    delayed: BTreeSet<(Instant, u64)>,
    next_frame: u64,
    next_op: u32,
    /// Recently acknowledged operations, to be repeated.
    answered: VecDeque<(usize, Operation)>,
    node: usize,
    next_step: Instant,
}

/// An operation in flight.
struct Pending {
    operation: Operation,
    what: What,
    /// Whether events since it was first sent were not seen.
    blind: bool,
    seen: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    /// Index in the history.
    Op(usize),
    /// A repeat of an answered one.
    Repeat(usize),
    Page {
        room: u16,
        asked: At,
        from: u64,
    },
    Typing,
}

impl Client {
    pub(super) fn new(stage: Arc<Stage>, start: Start) -> Self {
        let Start { user, token, script, seed, standing, control, phase } = start;
        let rooms = Rooms::new(&stage.world, user);
        let node = usize::from(user) % stage.nodes.len();
        Self {
            rooms,
            chance: Seeded::new(seed ^ u64::from(user)),
            history: ClientHistory::default(),
            pending: BTreeMap::new(),
            ready: VecDeque::new(),
            delayed: BTreeSet::new(),
            next_frame: 0,
            next_op: 1,
            answered: VecDeque::new(),
            node,
            next_step: stage.began,
            stage,
            user,
            token,
            script,
            standing,
            control,
            phase,
        }
    }

    /// Runs until the run stops; returns the history.
    pub(super) async fn run(mut self) -> ClientHistory {
        while *self.phase.borrow() != Phase::Stop {
            match timeout(OPEN_DEADLINE, Box::pin(self.open())).await {
                Ok(Ok((connection, welcome))) => {
                    Box::pin(self.serve(connection, welcome)).await;
                    self.standing.session.store(0, Ordering::Relaxed);
                }
                Ok(Err(_)) | Err(_) => {
                    self.history.failed_connects += 1;
                    self.rest().await;
                }
            }
            self.node = (self.node + 1) % self.stage.nodes.len();
        }
        self.history
    }

    async fn open(&mut self) -> Result<(Connection, v1::Welcome), ClientError> {
        let addresses = &self.stage.nodes[self.node];
        let user = usize::from(self.user);
        // Every other client connects through a proxy, if there are any.
        let address = match addresses.shares.len() {
            0 => &addresses.direct,
            shares if user.is_multiple_of(2) => &addresses.shares[user / 2 % shares],
            _ => &addresses.direct,
        };
        let dialer = Dialer::new(world::door(self.user), address.clone());
        let mut connection = dialer.connect(&self.token).await?;
        let hello = v1::Hello { device_id: "torture".to_owned(), cursors: self.rooms.cursors() };
        let operation = Some(Operation::Hello(hello));
        let _ = connection
            .send(v1::ClientFrame { request_id: "hello".to_owned(), operation, as_user: String::new() })
            .await;
        let frame = connection.recv().await?.and_then(|frame| frame.frame);
        match frame {
            Some(Frame::Welcome(welcome)) => Ok((connection, welcome)),
            Some(Frame::Reply(v1::Reply { result: Some(Reply::Error(error)), .. })) => {
                self.hello_refused(&error);
                Err(error.into())
            }
            _ => Err(ClientError::Protocol("no welcome".to_owned())),
        }
    }

    /// A refusal other than for load or a draining node is recorded, and the client
    /// continues as a new device.
    fn hello_refused(&mut self, error: &v1::Error) {
        if answers::is_passing(error) {
            return;
        }
        let refused = Some(format!("{}: {}", error.reason, error.message));
        let (opened, cursors) = (self.stage.now(), self.rooms.positions());
        let node = self.node as u8;
        self.history.sessions.push(super::history::SessionRecord {
            node,
            opened,
            ended: Some(opened),
            cursors,
            refused,
            ..Default::default()
        });
        self.forget();
    }

    /// Pauses between two attempts.
    async fn rest(&mut self) {
        let delay = Duration::from_millis(50 + self.chance.below(250));
        tokio::select! {
            () = sleep(delay) => {}
            _ = self.phase.wait_for(|phase| *phase == Phase::Stop) => {}
        }
    }

    /// Continues like a new device: without any earlier state.
    fn forget(&mut self) {
        self.rooms.forget();
        for pending in self.pending.values_mut() {
            pending.blind = true;
        }
    }
}
