//! The sessions of a client: started and stopped with the app's lifecycle, one at a time.
#![forbid(unsafe_code)]

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use parlance_client::{CommandState, Config, Session, StorageState, Update, Updates};
use tokio::runtime::Runtime;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use crate::listener::{App, Tokens};
use crate::storage::Database;
use crate::{ClientError, ConnectionState, Listener, ListenerError, Options, TokenProvider, event};

/// The state of a client, shared with its tasks.
pub(crate) struct Sessions {
    options: Options,
    app: Arc<App>,
    database: Database,
    running: Mutex<Running>,
    state: Mutex<ConnectionState>,
    /// Whether the current session has loaded the stored commands.
    has_loaded: watch::Sender<bool>,
    /// Incremented by each lifecycle call: a call that still waits gives way to a later one.
    wanted: watch::Sender<u64>,
    /// Held while a session starts or ends, so that sessions do not overlap.
    turn: tokio::sync::Mutex<()>,
}

enum Running {
    Session {
        session: Session,
        number: u64,
        pump: JoinHandle<()>,
        /// Stops the pump, even if updates are waiting.
        stop: Arc<Notify>,
    },
    /// Until the app comes to the foreground.
    Stopped,
    /// For good.
    Closed,
}

impl Sessions {
    pub(crate) fn new(
        options: Options,
        tokens: Arc<dyn TokenProvider>,
        listener: Arc<dyn Listener>,
    ) -> Result<Self, ClientError> {
        let path = options.database.as_deref().map(Path::new);
        let database = Database::open(path).map_err(|details| ClientError::Storage { details })?;
        Ok(Self {
            options,
            app: Arc::new(App::new(tokens, listener)),
            database,
            running: Mutex::new(Running::Stopped),
            state: Mutex::new(ConnectionState::Connecting),
            has_loaded: watch::Sender::new(false),
            wanted: watch::Sender::new(0),
            turn: tokio::sync::Mutex::new(()),
        })
    }

    /// The running session.
    pub(crate) fn current(&self) -> Result<Session, ClientError> {
        match &*lock(&self.running) {
            Running::Session { session, .. } => Ok(session.clone()),
            Running::Stopped => {
                Err(ClientError::NotRunning { details: "the client is in the background".to_owned() })
            }
            Running::Closed => Err(ClientError::NotRunning { details: "the client is closed".to_owned() }),
        }
    }

    pub(crate) fn state(&self) -> ConnectionState {
        lock(&self.state).clone()
    }

    /// The app is visible.
    pub(crate) fn enter_foreground(self: &Arc<Self>, runtime: &'static Runtime) {
        let running = lock(&self.running);
        let wanted = self.want();
        if let Running::Session { session, .. } = &*running {
            return session.wake();
        }
        let sessions = Arc::clone(self);
        runtime.spawn(async move {
            let _turn = sessions.turn.lock().await;
            let is_stopped = matches!(*lock(&sessions.running), Running::Stopped);
            if is_stopped && *sessions.wanted.borrow() == wanted {
                sessions.start(runtime);
            }
        });
    }

    /// The app is about to be suspended.
    pub(crate) async fn enter_background(&self, grace: Duration) {
        let wanted = self.want();
        self.wait_until_sent(wanted, grace).await;
        let _turn = self.turn.lock().await;
        let last = {
            let mut running = lock(&self.running);
            // Under the lock that `enter_foreground` holds: the later of the two wins.
            if *self.wanted.borrow() != wanted || matches!(*running, Running::Closed) {
                return;
            }
            std::mem::replace(&mut *running, Running::Stopped)
        };
        end(last).await;
        self.change(ConnectionState::Background);
    }

    /// Ends the client for good.
    pub(crate) async fn close(&self) {
        self.want();
        let _turn = self.turn.lock().await;
        let last = std::mem::replace(&mut *lock(&self.running), Running::Closed);
        let was_closed = matches!(last, Running::Closed);
        end(last).await;
        if !was_closed {
            self.change(ConnectionState::Ended { error: "closed by the app".to_owned() });
        }
        self.app.release();
        // Everything acknowledged is already durable, so an error here has no consequence.
        let _ = self.database.close().await;
    }

    /// Deletes the database. Call [`Sessions::close`] first.
    pub(crate) async fn delete(&self) -> Result<(), ClientError> {
        self.database.delete().await.map_err(|details| ClientError::Storage { details })
    }

    /// Starts a session. The caller holds the turn, or is the constructor.
    pub(crate) fn start(self: &Arc<Self>, runtime: &Runtime) {
        let mut config = Config::with_tokens(self.options.dialer(), Tokens(Arc::clone(&self.app)));
        config.device_id.clone_from(&self.options.device_id);
        config.acknowledge = true;
        config.cursor_store = Some(Arc::new(self.database.clone()));
        config.command_store = Some(Arc::new(self.database.clone()));
        self.has_loaded.send_replace(false);
        let _context = runtime.enter();
        let mut running = lock(&self.running);
        let (session, updates) = Session::start(config);
        let (number, stop) = (*self.wanted.borrow(), Arc::new(Notify::new()));
        let (sessions, stopped) = (Arc::clone(self), Arc::clone(&stop));
        let pump = runtime.spawn(async move { sessions.pump(number, updates, &stopped).await });
        *running = Running::Session { session, number, pump, stop };
    }

    /// Waits until all queued commands are done, for at most `grace`, or until the next lifecycle call.
    async fn wait_until_sent(&self, wanted: u64, grace: Duration) {
        let session = match &*lock(&self.running) {
            Running::Session { session, .. } => session.clone(),
            _ => return,
        };
        let is_done = |state| matches!(state, CommandState::Confirmed | CommandState::Failed);
        let sent = session.commands_are(|commands| commands.values().all(|command| is_done(command.state)));
        let (mut wants, mut has_loaded) = (self.wanted.subscribe(), self.has_loaded.subscribe());
        let sent = async {
            // Until then the queue looks empty.
            let _ = has_loaded.wait_for(|has_loaded| *has_loaded).await;
            sent.await;
        };
        tokio::select! {
            () = sent => {}
            _ = wants.wait_for(|now| *now != wanted) => {}
            () = tokio::time::sleep(grace) => {}
        }
    }

    /// Passes the updates of a session to the listener.
    async fn pump(self: Arc<Self>, number: u64, mut updates: Updates, stop: &Notify) {
        let mut failed = self.call(|| self.report(ConnectionState::Connecting)).err();
        while failed.is_none() {
            let update = tokio::select! {
                biased;
                () = stop.notified() => {
                    // Marks the last update as processed. The next one, if any, is not, and is delivered again.
                    let _ = tokio::time::timeout(Duration::ZERO, updates.recv()).await;
                    return;
                }
                update = updates.recv() => update,
            };
            failed = match update {
                Some(Update::Stopped(cause)) => Some(cause.to_string()),
                Some(update) => self.call(|| self.pass(update)).err(),
                None => Some("the session has ended".to_owned()),
            };
        }
        // In its own task: `end` waits for the pump while holding the turn.
        tokio::spawn(self.ended(number, failed.unwrap_or_default()));
    }

    /// Calls the app, which may take its time and throw.
    fn call(&self, call: impl FnOnce() -> Result<(), ListenerError>) -> Result<(), String> {
        let called =
            tokio::task::block_in_place(|| std::panic::catch_unwind(std::panic::AssertUnwindSafe(call)));
        match called {
            Ok(Ok(())) => Ok(()),
            Ok(Err(failed)) => Err(format!("the listener failed: {failed}")),
            Err(_) => Err("the listener failed: it has thrown where it must not".to_owned()),
        }
    }

    fn pass(&self, update: Update) -> Result<(), ListenerError> {
        let Some(listener) = self.app.listener() else { return Ok(()) };
        match update {
            Update::Event(event) => return listener.on_event(event.into()),
            Update::Gap(gap) => return listener.on_gap(gap.into()),
            Update::Signal(signal) => listener.on_signal(signal.into()),
            Update::Command(update) => listener.on_command(update.into()),
            Update::Storage(StorageState::Durable) => {
                self.has_loaded.send_replace(true);
                listener.on_storage(None);
            }
            Update::Storage(StorageState::Memory { error }) => {
                self.has_loaded.send_replace(true);
                listener.on_storage(Some(error));
            }
            Update::Connected(welcome) => {
                // Before events are delivered to another user's database.
                self.database.claim(&welcome.user_id).map_err(|details| ListenerError::Failed { details })?;
                return self.report(ConnectionState::Online { user_id: welcome.user_id });
            }
            Update::Disconnected { error, retry_in } => {
                return self.report(ConnectionState::Waiting {
                    error: error.map(|error| error.to_string()),
                    retry_in_millis: event::millis(retry_in),
                });
            }
            // Nothing for the app to do.
            Update::Storage(StorageState::Opening) | Update::Violation(_) | Update::Stopped(_) => {}
        }
        Ok(())
    }

    /// Handles a session that ended by itself, unless it was stopped meanwhile.
    async fn ended(self: Arc<Self>, number: u64, error: String) {
        let _turn = self.turn.lock().await;
        let last = {
            let mut running = lock(&self.running);
            if !matches!(&*running, Running::Session { number: now, .. } if *now == number) {
                return;
            }
            std::mem::replace(&mut *running, Running::Stopped)
        };
        end(last).await;
        self.change(ConnectionState::Ended { error });
    }

    /// Reports a state outside of a session, ignoring failures of the listener.
    fn change(&self, state: ConnectionState) {
        let _ = self.call(|| self.report(state));
    }

    fn report(&self, state: ConnectionState) -> Result<(), ListenerError> {
        let last = std::mem::replace(&mut *lock(&self.state), state.clone());
        if (last != state || state == ConnectionState::Connecting)
            && let Some(listener) = self.app.listener()
        {
            listener.on_connection(state);
        }
        Ok(())
    }

    /// Registers a lifecycle call and returns its number.
    fn want(&self) -> u64 {
        self.wanted.send_modify(|wanted| *wanted += 1);
        *self.wanted.borrow()
    }
}

/// Ends a session: first its pump, then the session itself. The caller holds the turn.
async fn end(running: Running) {
    if let Running::Session { session, pump, stop, .. } = running {
        stop.notify_one();
        let _ = pump.await;
        session.close().await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
