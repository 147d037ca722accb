use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use parlance_api::Sizes;
use parlance_core::{RoomId, UserId};
use parlance_proto::v1::client_frame::Operation;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep};

use crate::calls::{self, Impatient};
use crate::dice::{Dice, lock};
use crate::history::{Answer, Asked, History, is_passing};
use crate::mesh::Mesh;
use crate::node::{Node, authorization};
use crate::orders::{Do, FOREVER};
use crate::store::MemoryStore;
use crate::trace::Trace;
use crate::weather::Weather;

/// How far a wrong clock may be off, in milliseconds.
const WRONG_MS: u64 = 10 * 60 * 1_000;

/// The kind of run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Everyday traffic and acts.
    Everyday,
    /// The same with tiny pages and caches, callers that disconnect, stalled stores and a clock that is minutes off;
    /// checks everything that readers may see and nodes may retain.
    Wide,
    /// One room that grows to 600 members.
    Growth,
}

/// Everything simulated, and what was observed.
pub struct World {
    /// The trace.
    pub trace: Arc<Trace>,
    /// The faults.
    pub weather: Arc<Weather>,
    /// The store's contents.
    pub memory: MemoryStore,
    /// The registry.
    pub mesh: Arc<Mesh>,
    /// What clients sent and received.
    pub history: Arc<Mutex<History>>,
    /// Decides the activity, independently of faults.
    pub dice: Dice,
    /// Sizes of the nodes' pages and caches.
    pub sizes: &'static Sizes,
    /// More faults, and more checks.
    pub wide: bool,
    /// Frames that were pushed to connections past their sessions.
    pub pushed: Arc<AtomicUsize>,
    places: Mutex<Vec<Option<Node>>>,
    /// The place whose clock is wrong by minutes, if any.
    wrong_clock: Option<usize>,
    /// Whether dead nodes are replaced.
    replace: AtomicBool,
    /// Wakes waiters for that. Unlike a watch, it wakes them in order of arrival.
    replaces: Notify,
    clients: Mutex<Vec<Handle>>,
    complaints: Mutex<Vec<String>>,
}

/// A client, as the script sees it.
pub(crate) struct Handle {
    user: UserId,
    todo: mpsc::UnboundedSender<Do>,
}

impl World {
    /// Creates a world of `places` nodes.
    pub fn new(seed: u64, kind: Kind, places: usize, keep_trace: bool) -> Arc<Self> {
        let trace = Arc::new(Trace::new(keep_trace));
        let weather = Arc::new(Weather::new(Dice::new(seed ^ 0x57ea_7e12), trace.clone()));
        let mesh = Mesh::new(weather.clone());
        let wide = kind == Kind::Wide;
        let world = Arc::new(Self {
            trace,
            weather,
            memory: MemoryStore::default(),
            mesh,
            history: Arc::default(),
            dice: Dice::new(seed),
            sizes: if wide { sizes(seed) } else { &Sizes::PRODUCTION },
            wide,
            pushed: Arc::default(),
            places: Mutex::new(vec![None; places]),
            wrong_clock: (wide && seed % 7 == 3).then_some(0),
            replace: AtomicBool::new(true),
            replaces: Notify::new(),
            clients: Mutex::default(),
            complaints: Mutex::default(),
        });
        for place in 0..places {
            world.start(place);
        }
        world
    }

    /// The number of nodes, including dead ones.
    pub fn places(&self) -> usize {
        lock(&self.places).len()
    }

    /// The node at a place, if it is alive and accepts sessions.
    pub fn node(&self, place: usize) -> Option<Node> {
        lock(&self.places).get(place)?.clone().filter(|node| !node.fence.dead().is_cancelled())
    }

    /// The live nodes, each with its place.
    pub fn nodes(&self) -> Vec<(usize, Node)> {
        (0..self.places()).filter_map(|place| Some((place, self.node(place)?))).collect()
    }

    /// Starts a node at a place, and another one when that dies.
    pub fn start(self: &Arc<Self>, place: usize) {
        let most = if self.wrong_clock == Some(place) { WRONG_MS } else { 3_000 };
        let skew = self.weather.dice().within(0, 2 * most) as i64 - most as i64;
        let node = Node::start(&self.memory, &self.mesh, &self.weather, skew, self.sizes);
        lock(&self.places)[place] = Some(node.clone());
        let world = self.clone();
        tokio::spawn(async move {
            node.fence.dead().cancelled().await;
            world.trace.line(format_args!("{} is dead", node.id));
            node.crash();
            let mine = world.forget(place, &node);
            sleep(world.weather.dice().millis(200, 9_000)).await;
            if mine {
                while !world.replace.load(Ordering::Relaxed) {
                    world.replaces.notified().await;
                }
                world.start(place);
            }
        });
    }

    /// Sets whether dead nodes are replaced from now on, including those already dead.
    pub fn replace(&self, replace: bool) {
        self.replace.store(replace, Ordering::Relaxed);
        self.replaces.notify_waiters();
    }

    fn forget(&self, place: usize, node: &Node) -> bool {
        let mut places = lock(&self.places);
        let mine = places[place].as_ref().is_some_and(|other| other.id == node.id);
        if mine {
            places[place] = None;
        }
        mine
    }

    /// Shuts a node down gracefully, and starts another in its place.
    pub fn roll(self: &Arc<Self>, place: usize) {
        let Some(node) = self.node(place) else { return };
        self.trace.line(format_args!("{} drains", node.id));
        self.forget(place, &node);
        node.drain();
        let world = self.clone();
        tokio::spawn(async move {
            // Sessions end by themselves a while after they are told to leave.
            sleep(Duration::from_secs(8)).await;
            let stopped = tokio::time::timeout(Duration::from_secs(60), node.stop()).await;
            if stopped.is_err() && !node.fence.dead().is_cancelled() {
                world.complain(format!("{} does not end: {:?}", node.id, node.usage()));
            }
            world.trace.line(format_args!("{} is gone", node.id));
            world.start(place);
        });
    }

    /// Adds a client of `user`; returns its index, and the channel of its orders.
    pub(crate) fn register_client(&self, user: &UserId) -> (usize, mpsc::UnboundedReceiver<Do>) {
        let (todo, taken) = mpsc::unbounded_channel();
        let mut clients = lock(&self.clients);
        clients.push(Handle { user: user.clone(), todo });
        (clients.len() - 1, taken)
    }

    /// Makes all clients leave for good, and checks what nodes still hold for them.
    pub async fn leave(&self) {
        for client in 0..self.clients() {
            self.tell(client, Do::Away(FOREVER));
        }
        // Rooms stay loaded for a minute.
        let is_idle = || self.nodes().iter().all(|(_, node)| node.leftovers().is_none());
        self.wait(Duration::from_secs(150), is_idle).await;
        for (_, node) in self.nodes() {
            if let Some(leftovers) = node.leftovers() {
                self.complain(format!("{} still holds {leftovers}", node.id));
            }
        }
    }

    /// The number of clients.
    pub fn clients(&self) -> usize {
        lock(&self.clients).len()
    }

    /// Makes a client do something.
    pub(crate) fn tell(&self, client: usize, what: Do) {
        self.trace.line(format_args!("client {client} is to {what:?}"));
        if let Some(handle) = lock(&self.clients).get(client) {
            let _ = handle.todo.send(what);
        }
    }

    /// Sends an operation through a client; with `retry` until it is answered.
    pub fn ask(&self, client: usize, operation: Operation, retry: bool) -> usize {
        let user = lock(&self.clients)[client].user.clone();
        let mut history = lock(&self.history);
        let asked = history.asked.len();
        history.asked.push(Asked {
            user,
            operation,
            first_sent: None,
            retries: retry,
            attempts: 0,
            answer: None,
        });
        drop(history);
        self.tell(client, Do::Ask { asked, retry });
        asked
    }

    /// Makes a unary call of a user to a node, polled as often as `polls` says, or to completion.
    pub(crate) fn call(&self, user: &UserId, node: &Node, operation: Operation, polls: Option<u32>) {
        let mut history = lock(&self.history);
        let index = history.asked.len();
        history.asked.push(Asked {
            user: user.clone(),
            operation: operation.clone(),
            first_sent: Some(self.trace.now()),
            retries: false,
            attempts: 1,
            answer: None,
        });
        drop(history);
        self.trace.line(format_args!("{user} calls {index} at {}, {polls:?} polls", node.id));
        let call = calls::call(node.services.clone(), &authorization(user), operation);
        let (history, trace, node) = (self.history.clone(), self.trace.clone(), node.clone());
        tokio::spawn(async move {
            let answer = tokio::select! {
                biased;
                () = node.fence.dead().cancelled() => None,
                answer = Impatient::new(call, polls.unwrap_or(u32::MAX)) => answer,
            };
            trace.line(format_args!("call {index} ends, answered: {}", answer.is_some()));
            if let Some(Ok(result)) = answer {
                let answer = Answer { at: trace.now(), node: node.id.clone(), result };
                lock(&history).asked[index].answer = Some(answer);
            }
        });
    }

    /// Records a violation.
    pub fn complain(&self, what: String) {
        self.trace.line(format_args!("VIOLATION {what}"));
        lock(&self.complaints).push(what);
    }

    /// Records a rejected hello.
    pub fn complain_of_hello(&self, user: &UserId, reason: &str) {
        if !is_passing(reason) {
            self.complain(format!("{user} may not open a session: {reason}"));
        }
    }

    /// The recorded violations.
    pub fn complaints(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.complaints))
    }

    /// The current members of a room, as stored.
    pub fn members(&self, room: &RoomId) -> Vec<UserId> {
        let tables = self.memory.tables();
        let rows = tables.rooms.get(room).map(|row| row.members.values()).into_iter().flatten();
        rows.filter(|member| member.is_active()).map(|member| member.user.clone()).collect()
    }

    /// Waits until `is_so`, for at most `patience`. Returns whether it is.
    pub async fn wait(&self, patience: Duration, is_so: impl Fn() -> bool) -> bool {
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if is_so() {
                return true;
            }
            sleep(Duration::from_millis(50)).await;
        }
        is_so()
    }
}

/// Mostly small ones, so that few rows and events reach every boundary; some of these push everything missed on hello
/// and some push next to nothing.
fn sizes(seed: u64) -> &'static Sizes {
    const PUSH_ALL: Sizes = {
        let mut sizes = Sizes::SMALL;
        sizes.sessions.max_catch_up = Sizes::PRODUCTION.sessions.max_catch_up;
        sizes
    };
    match seed % 5 {
        0 => &Sizes::PRODUCTION,
        1 => &Sizes::SMALL,
        _ => &PUSH_ALL,
    }
}
