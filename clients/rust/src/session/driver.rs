use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use parlance_client_core::{
    CallId, Commands, ConnectionState, Core, Discarded, Input, Options, Output, StoredCommand,
};
use parlance_proto::v1::AcknowledgeDeliveryRequest;
use parlance_proto::v1::client_frame::Operation;
use parlance_proto::v1::reply::Result as Answer;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout, timeout_at};

use super::config::Config;
use super::cursors::Processed;
use super::link::{Link, at, ready, receive, send};
use super::orders::{Order, Settled};
use super::updates::Item;
use crate::ClientError;
use crate::random::random_number;
use crate::transport::Connection;

/// How often moved cursors are stored.
const SAVE_INTERVAL: Duration = Duration::from_secs(1);

/// How often processed events are acknowledged to the server: one mark covers all before it.
const ACKNOWLEDGE_INTERVAL: Duration = Duration::from_secs(2);

/// Timeout of the cursor store at the beginning and the end of a session. Without its cursors,
/// rooms start with a gap.
const STORE_TIMEOUT: Duration = Duration::from_secs(10);

/// State shared by the handles of a session and its driver.
pub(super) struct Application {
    pub(super) updates: mpsc::Sender<Item>,
    pub(super) processed: Processed,
    pub(super) state: watch::Sender<ConnectionState>,
    pub(super) queued: watch::Sender<Commands>,
    /// Numbers calls.
    pub(super) calls: Arc<AtomicU64>,
}

/// The single task of a session: executes what the core decides.
pub(super) struct Driver {
    config: Config,
    /// Boxed: the future that holds it is moved.
    core: Box<Core>,
    began: Instant,
    commands: mpsc::UnboundedReceiver<Order>,
    has_handles: bool,
    application: Application,
    answers: HashMap<CallId, oneshot::Sender<Result<Answer, ClientError>>>,
    accepted: HashMap<CallId, oneshot::Sender<String>>,
    settled: HashMap<CallId, Settled>,
    discarded: HashMap<CallId, oneshot::Sender<Discarded>>,
    closing: Vec<oneshot::Sender<()>>,
    /// Processed but not acknowledged: rooms and positions.
    unacknowledged: HashMap<String, u64>,
    /// The current request to the command store.
    storing: Option<BoxFuture<'static, Input>>,
    link: Link,
    /// Updates for which the application's queue has no room yet. Meanwhile nothing is read.
    undelivered: VecDeque<Item>,
    is_paused: bool,
}

impl Driver {
    pub(super) async fn start(
        mut config: Config,
        commands: mpsc::UnboundedReceiver<Order>,
        application: Application,
    ) {
        let mut cursors = std::mem::take(&mut config.cursors);
        if let Some(store) = &config.cursor_store {
            cursors.extend(timeout(STORE_TIMEOUT, store.load()).await.unwrap_or_default());
        }
        let options = Options {
            addresses: config.dialers.iter().map(crate::transport::Dialer::encoding).collect(),
            device_id: config.device_id.clone(),
            cursors,
            max_in_flight: config.max_in_flight,
            has_command_store: config.command_store.is_some(),
            seed: [random_number(), random_number()],
        };
        let driver = Self {
            core: Box::new(Core::new(options)),
            began: Instant::now(),
            config,
            commands,
            has_handles: true,
            application,
            answers: HashMap::new(),
            accepted: HashMap::new(),
            settled: HashMap::new(),
            discarded: HashMap::new(),
            closing: Vec::new(),
            unacknowledged: HashMap::new(),
            storing: None,
            link: Link::default(),
            undelivered: VecDeque::new(),
            is_paused: false,
        };
        driver.run().await;
    }

    async fn run(mut self) {
        let keeps_cursors = self.config.cursor_store.is_some() || self.config.acknowledge;
        let mut acknowledge_at = Instant::now() + ACKNOWLEDGE_INTERVAL;
        let mut save_at = None;
        let mut saving = None;
        let updates = self.application.updates.clone();
        self.input(Input::Start);
        while !self.core.is_ended() {
            if keeps_cursors && save_at.is_none() {
                save_at = Some(Instant::now() + SAVE_INTERVAL);
            }
            let due = self.core.timeout().map(|due| self.began + due);
            let Link { token, connecting, number, sender, receiver, unsent } = &mut self.link;
            let connection = *number;
            let can_send = !unsent.is_empty() && sender.is_some();
            let has_undelivered = !self.undelivered.is_empty();
            let input = tokio::select! {
                () = at(due) => Some(Input::Tick),
                () = at(save_at), if saving.is_none() => {
                    save_at = None;
                    saving = self.save();
                    if Instant::now() >= acknowledge_at {
                        acknowledge_at = Instant::now() + ACKNOWLEDGE_INTERVAL;
                        self.acknowledge();
                    }
                    None
                }
                () = ready(&mut saving) => None,
                stored = ready(&mut self.storing) => Some(stored),
                token = ready(token) => Some(Input::Token(token)),
                opened = ready(connecting) => Some(self.connected(opened)),
                is_open = send(sender, unsent), if can_send => {
                    if !is_open {
                        // The receiving half returns the error.
                        *sender = None;
                    }
                    None
                }
                permit = updates.reserve(), if has_undelivered => {
                    match (permit, self.undelivered.pop_front()) {
                        (Ok(permit), Some(item)) => permit.send(item),
                        // The application has dropped the updates.
                        _ => self.undelivered.clear(),
                    }
                    None
                }
                frame = receive(receiver), if !has_undelivered => Some(match frame {
                    Ok(Some(frame)) => Input::Received { connection, frame },
                    Ok(None) => Input::Lost { connection, error: None },
                    Err(error) => Input::Lost { connection, error: Some(error) },
                }),
                command = self.commands.recv(), if self.has_handles => Some(self.order(command)),
            };
            if let Some(input) = input {
                self.input(input);
            }
            let is_behind = !self.undelivered.is_empty();
            if is_behind != self.is_paused {
                self.is_paused = is_behind;
                self.input(if is_behind { Input::Pause } else { Input::Resume });
            }
        }
        self.end(saving).await;
    }

    /// Answers all pending calls, and delivers the last updates.
    async fn end(mut self, saving: Option<BoxFuture<'static, ()>>) {
        self.commands.close();
        while let Ok(command) = self.commands.try_recv() {
            let input = self.order(Some(command));
            self.input(input);
        }
        let saves = [saving, self.save()];
        let last = async move {
            for save in saves.into_iter().flatten() {
                save.await;
            }
        };
        let _ = timeout(STORE_TIMEOUT, last).await;
        // The last queued commands are stored, too.
        let give_up = Instant::now() + STORE_TIMEOUT;
        while let Some(storing) = self.storing.take() {
            let Ok(stored) = timeout_at(give_up, storing).await else { break };
            self.input(stored);
        }
        for closed in self.closing.drain(..) {
            let _ = closed.send(());
        }
        while let Some(item) = self.undelivered.pop_front() {
            if self.application.updates.send(item).await.is_err() {
                return;
            }
        }
        // Updates processed from now on are not stored, and will be delivered again.
    }

    fn input(&mut self, input: Input) {
        let now = self.began.elapsed();
        for output in self.core.handle(now, input) {
            match output {
                Output::RequestToken { refused } => {
                    let tokens = self.config.tokens.clone();
                    self.link.token = Some(Box::pin(async move { tokens.token(refused).await }));
                }
                Output::Connect { connection, address, token } => {
                    let dialer = self.config.dialers[address].clone();
                    self.link.number = connection;
                    self.link.connecting = Some(Box::pin(async move { dialer.connect(&token).await }));
                }
                Output::Disconnect => self.link = Link { number: self.link.number, ..Link::default() },
                Output::Send(frame) => self.link.unsent.push_back(frame),
                Output::Answer { id, result } => {
                    if let Some(answer) = self.answers.remove(&id) {
                        // A caller that no longer waits is not an error.
                        let _ = answer.send(result);
                    }
                }
                Output::Accepted { id, command } => {
                    if let Some(accepted) = self.accepted.remove(&id) {
                        let _ = accepted.send(command);
                    }
                }
                Output::Settled { id, result } => {
                    if let Some(settled) = self.settled.remove(&id) {
                        let _ = settled.send(result);
                    }
                }
                Output::Discarded { id, outcome } => {
                    if let Some(answer) = self.discarded.remove(&id) {
                        let _ = answer.send(outcome);
                    }
                }
                Output::Load => {
                    let store = self.config.command_store.clone();
                    self.storing = Some(Box::pin(async move {
                        Input::Loaded(match store {
                            Some(store) => store.load().await,
                            None => Ok(Vec::<StoredCommand>::new()),
                        })
                    }));
                }
                Output::Store { number, changes } => {
                    let store = self.config.command_store.clone();
                    self.storing = Some(Box::pin(async move {
                        let result = match store {
                            Some(store) => store.write(changes).await,
                            None => Ok(()),
                        };
                        Input::Stored { number, result }
                    }));
                }
                Output::Update { update, cursor } => {
                    let item = (update, cursor);
                    if !self.undelivered.is_empty() {
                        self.undelivered.push_back(item);
                    } else if let Err(mpsc::error::TrySendError::Full(item)) =
                        self.application.updates.try_send(item)
                    {
                        self.undelivered.push_back(item);
                    }
                }
            }
        }
        let commands = self.core.commands();
        self.application.queued.send_if_modified(|last| {
            let is_new = !last.ptr_eq(commands);
            if is_new {
                last.clone_from(commands);
            }
            is_new
        });
        let state = self.core.connection_state();
        self.application.state.send_if_modified(|last| std::mem::replace(last, state) != state);
    }

    fn connected(&mut self, opened: Result<Connection, ClientError>) -> Input {
        let connection = self.link.number;
        match opened {
            Ok(open) => {
                let (sender, receiver) = open.split();
                self.link.sender = Some(sender);
                self.link.receiver = Some(receiver);
                Input::Connected { connection }
            }
            Err(error) => Input::Lost { connection, error: Some(error) },
        }
    }

    fn order(&mut self, order: Option<Order>) -> Input {
        match order {
            Some(Order::Call { id, operation, as_user, answer }) => {
                self.answers.insert(id, answer);
                Input::Call { id, operation, as_user }
            }
            Some(Order::Cancel(id)) => {
                self.answers.remove(&id);
                self.settled.remove(&id);
                Input::Cancel(id)
            }
            Some(Order::Submit { id, command, accepted, settled }) => {
                self.accepted.insert(id, accepted);
                self.settled.insert(id, settled);
                Input::Submit { id, command }
            }
            Some(Order::Retry { id, command, settled }) => {
                self.settled.insert(id, settled);
                Input::Retry { id, command }
            }
            Some(Order::Discard { id, command, answer }) => {
                self.discarded.insert(id, answer);
                Input::Discard { id, command }
            }
            Some(Order::Wake) => Input::Wake,
            Some(Order::Close(closed)) => {
                self.closing.push(closed);
                Input::Close
            }
            None => {
                self.has_handles = false;
                Input::Finish
            }
        }
    }

    /// Stores what was processed since the last time, if there is anything.
    fn save(&mut self) -> Option<BoxFuture<'static, ()>> {
        let moved = self.application.processed.take();
        if self.config.acknowledge {
            let moved = moved.iter().map(|cursor| (cursor.room_id.clone(), cursor.seq));
            self.unacknowledged.extend(moved);
        }
        let store = self.config.cursor_store.clone()?;
        (!moved.is_empty())
            .then(|| -> BoxFuture<'static, ()> { Box::pin(async move { store.save(moved).await }) })
    }

    fn acknowledge(&mut self) {
        for (room_id, seq) in std::mem::take(&mut self.unacknowledged) {
            let request = AcknowledgeDeliveryRequest { room_id, seq, ..Default::default() };
            let id = self.application.calls.fetch_add(1, Ordering::Relaxed);
            // The answer is ignored.
            let operation = Operation::AcknowledgeDelivery(request);
            self.input(Input::Call { id, operation, as_user: String::new() });
        }
    }
}
