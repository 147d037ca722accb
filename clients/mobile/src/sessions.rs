//! The sessions of a client, one after the other: the app starts and stops them as it comes and goes.
#![forbid(unsafe_code)]

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use parlance_client::{Config, Session, StorageState, Update, Updates};
use tokio::runtime::Runtime;
use tokio::sync::watch;
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
    database: Option<Database>,
    running: Mutex<Running>,
    state: Mutex<ConnectionState>,
    /// Counts what the app wants: the latest wins over one that still waits.
    wanted: watch::Sender<u64>,
    /// One session has ended before the next begins.
    turn: tokio::sync::Mutex<()>,
}

enum Running {
    Session {
        session: Session,
        pump: JoinHandle<()>,
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
        let open = |path: &String| {
            Database::open(Path::new(path)).map_err(|details| ClientError::Storage { details })
        };
        let database = options.database.as_ref().map(open).transpose()?;
        Ok(Self {
            options,
            app: Arc::new(App::new(tokens, listener)),
            database,
            running: Mutex::new(Running::Stopped),
            state: Mutex::new(ConnectionState::Connecting),
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
        let wanted = self.want();
        if let Running::Session { session, .. } = &*lock(&self.running) {
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
        if *self.wanted.borrow() == wanted {
            self.stop(Running::Stopped).await;
        }
    }

    /// The app does not want the client any more.
    pub(crate) async fn close(&self) {
        self.want();
        let _turn = self.turn.lock().await;
        self.stop(Running::Closed).await;
        self.app.release();
        if let Some(database) = &self.database {
            // An error is of no use to an app that is done with it: what was stored is.
            let _ = database.close().await;
        }
    }

    /// Deletes what is stored, after [`Sessions::close`].
    pub(crate) async fn delete(&self) -> Result<(), ClientError> {
        let Some(database) = &self.database else { return Ok(()) };
        database.delete().await.map_err(|details| ClientError::Storage { details })
    }

    /// Starts a session. The caller has the turn, or is the only one.
    pub(crate) fn start(self: &Arc<Self>, runtime: &Runtime) {
        let mut config = Config::with_tokens(self.options.dialer(), Tokens(Arc::clone(&self.app)));
        config.device_id.clone_from(&self.options.device_id);
        config.acknowledge = true;
        if let Some(database) = &self.database {
            config.cursor_store = Some(Arc::new(database.clone()));
            config.command_store = Some(Arc::new(database.clone()));
        }
        let _context = runtime.enter();
        let mut running = lock(&self.running);
        let (session, updates) = Session::start(config);
        let shared = Arc::clone(self);
        let pump = runtime.spawn(async move { shared.pump(updates).await });
        *running = Running::Session { session, pump };
    }

    /// Ends the session and waits for its end. The caller has the turn.
    async fn stop(&self, next: Running) {
        let is_closed = matches!(next, Running::Closed);
        let last = match &mut *lock(&self.running) {
            Running::Closed => return,
            running => std::mem::replace(running, next),
        };
        if let Running::Session { session, pump } = last {
            session.close().await;
            // One that has panicked has ended, too.
            let _ = pump.await;
        }
        let closed = || ConnectionState::Ended { error: "closed by the app".to_owned() };
        self.change(if is_closed { closed() } else { ConnectionState::Background });
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
        let mut wants = self.wanted.subscribe();
        tokio::select! {
            _ = sent => {}
            _ = wants.wait_for(|now| *now != wanted) => {}
            () = tokio::time::sleep(grace) => {}
        }
    }

    /// Passes everything that a session reports to the listener.
    async fn pump(self: Arc<Self>, mut updates: Updates) {
        self.change(ConnectionState::Connecting);
        let mut error = None;
        while let Some(update) = updates.recv().await {
            if let Update::Stopped(cause) = update {
                error = Some(cause.to_string());
                break;
            }
            // The app may take its time: other tasks go on meanwhile.
            let passed = tokio::task::block_in_place(|| {
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.pass(update)))
            });
            let failed = match passed {
                Ok(Ok(())) => continue,
                Ok(Err(failed)) => failed.to_string(),
                Err(_) => "it has thrown where it must not".to_owned(),
            };
            error = Some(format!("the listener failed: {failed}"));
            break;
        }
        self.ended(error.unwrap_or_default()).await;
    }

    fn pass(&self, update: Update) -> Result<(), ListenerError> {
        let Some(listener) = self.app.listener() else { return Ok(()) };
        match update {
            Update::Event(event) => return listener.on_event(event.into()),
            Update::Gap(gap) => return listener.on_gap(gap.into()),
            Update::Signal(signal) => listener.on_signal(signal.into()),
            Update::Command(update) => listener.on_command(update.into()),
            Update::Storage(StorageState::Durable) => listener.on_storage(None),
            Update::Storage(StorageState::Memory { error }) => listener.on_storage(Some(error)),
            Update::Connected(welcome) => self.change(ConnectionState::Online { user_id: welcome.user_id }),
            Update::Disconnected { error, retry_in } => self.change(ConnectionState::Waiting {
                error: error.map(|error| error.to_string()),
                retry_in_millis: event::millis(retry_in),
            }),
            // The client carries on with what it can use, and so does the app.
            Update::Storage(StorageState::Opening) | Update::Violation(_) | Update::Stopped(_) => {}
        }
        Ok(())
    }

    /// A session has ended, unless it was stopped here.
    async fn ended(&self, error: String) {
        let last = match &mut *lock(&self.running) {
            running @ Running::Session { .. } => std::mem::replace(running, Running::Stopped),
            _ => return,
        };
        if let Running::Session { session, .. } = last {
            session.close().await;
        }
        self.change(ConnectionState::Ended { error });
    }

    fn change(&self, state: ConnectionState) {
        let last = std::mem::replace(&mut *lock(&self.state), state.clone());
        if (last != state || state == ConnectionState::Connecting)
            && let Some(listener) = self.app.listener()
        {
            listener.on_connection(state);
        }
    }

    /// The app wants something else from now on. Returns the number of that.
    fn want(&self) -> u64 {
        self.wanted.send_modify(|wanted| *wanted += 1);
        *self.wanted.borrow()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
