//! The sessions of a client, one after the other: the app starts and stops them as it comes and goes.
#![forbid(unsafe_code)]

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use parlance_client::{Config, Session, StorageState, Update, Updates};
use tokio::runtime::Runtime;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use crate::listener::{App, Tokens};
use crate::storage::Database;
use crate::{
    ClientError, CommandState, ConnectionState, Listener, ListenerError, Options, PendingCommand,
    TokenProvider, event,
};

/// What a client is to its tasks.
pub(crate) struct Sessions {
    options: Options,
    app: Arc<App>,
    database: Database,
    running: Mutex<Running>,
    state: Mutex<ConnectionState>,
    /// Whether the present session has read what was queued before.
    has_loaded: watch::Sender<bool>,
    /// Counts what the app wants: the latest wins over one that still waits.
    wanted: watch::Sender<u64>,
    /// One session has ended before the next begins.
    turn: tokio::sync::Mutex<()>,
}

enum Running {
    Session {
        session: Session,
        number: u64,
        pump: JoinHandle<()>,
        /// Ends the pump, whatever waits to be passed on.
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

    /// The session that runs.
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

    /// The app does not want the client any more.
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
        // An error is of no use to an app that is done with it: what was stored is.
        let _ = self.database.close().await;
    }

    /// Deletes what is stored, after [`Sessions::close`].
    pub(crate) async fn delete(&self) -> Result<(), ClientError> {
        self.database.delete().await.map_err(|details| ClientError::Storage { details })
    }

    /// Starts a session. The caller has the turn, or is the only one.
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

    /// Waits until everything that is queued was sent, for so long, or until the app wants something else.
    async fn wait_until_sent(&self, wanted: u64, grace: Duration) {
        let session = match &*lock(&self.running) {
            Running::Session { session, .. } => session.clone(),
            _ => return,
        };
        let is_done =
            |command: PendingCommand| matches!(command.state, CommandState::Confirmed | CommandState::Failed);
        let sent =
            session.commands_are(|commands| commands.values().all(|command| is_done((&**command).into())));
        let (mut wants, mut has_loaded) = (self.wanted.subscribe(), self.has_loaded.subscribe());
        let sent = async {
            // Before that nothing seems to be queued.
            let _ = has_loaded.wait_for(|has_loaded| *has_loaded).await;
            sent.await;
        };
        tokio::select! {
            () = sent => {}
            _ = wants.wait_for(|now| *now != wanted) => {}
            () = tokio::time::sleep(grace) => {}
        }
    }

    /// Passes everything that a session reports to the listener.
    async fn pump(self: Arc<Self>, number: u64, mut updates: Updates, stop: &Notify) {
        let mut failed = self.call(|| self.report(ConnectionState::Connecting)).err();
        while failed.is_none() {
            let update = tokio::select! {
                biased;
                () = stop.notified() => {
                    // Says that the last one is processed. The one after it, if any, is not, and comes again.
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
        // In a task of its own: who stops a session has the turn, and waits for the pump.
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
                // Before any event of another user is passed on.
                self.database.claim(&welcome.user_id).map_err(|details| ListenerError::Failed { details })?;
                return self.report(ConnectionState::Online { user_id: welcome.user_id });
            }
            Update::Disconnected { error, retry_in } => {
                return self.report(ConnectionState::Waiting {
                    error: error.map(|error| error.to_string()),
                    retry_in_millis: event::millis(retry_in),
                });
            }
            // The client carries on with what it can use, and so does the app.
            Update::Storage(StorageState::Opening) | Update::Violation(_) | Update::Stopped(_) => {}
        }
        Ok(())
    }

    /// A session has ended by itself, unless it was stopped meanwhile.
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

    /// Reports a state outside of a session: whether the app takes it changes nothing.
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

    /// The app wants something else from now on. Returns the number of that.
    fn want(&self) -> u64 {
        self.wanted.send_modify(|wanted| *wanted += 1);
        *self.wanted.borrow()
    }
}

/// Ends a session: first what passes its updates on, then itself. The caller has the turn.
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
