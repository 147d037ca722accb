//! A named consumer, which resumes at its stored position.

mod clock_jumps;
mod parts;
mod run;
mod walk;
mod work;

use std::sync::Arc;

use parlance_core::{RoomId, Timestamp};
use parlance_store::consumers::{ConsumerName, ConsumerState, ConsumerWrite, Walk};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) use self::parts::{Answer, Command, Shared};
pub use self::parts::{Error, OnRefused, Options, Parts, Start, Status};
use crate::limits::COMMANDS;
pub use crate::tracker::Limits;

/// A running consumer. Dropping it stops it immediately, like a crash: no events are lost, some may be repeated.
pub struct Consumer {
    name: ConsumerName,
    commands: mpsc::Sender<(Command, Answer)>,
    status: watch::Receiver<Status>,
    task: JoinHandle<()>,
}

impl Consumer {
    /// Starts the consumer at its stored position, or its configured start. It stops when `shutdown` is
    /// cancelled.
    ///
    /// # Errors
    /// If the name is in use, or the store does not answer.
    pub async fn start(parts: Parts, options: Options, shutdown: CancellationToken) -> Result<Self, Error> {
        let state = open(&parts, &options).await?;
        let (commands, inbox) = mpsc::channel(COMMANDS);
        let (status_sender, status) = watch::channel(Status::default());
        let name = options.name.clone();
        let shared = Arc::new(Shared { parts, options });
        let task = tokio::spawn(run::Runner::new(shared, state, status_sender).run(inbox, shutdown));
        Ok(Self { name, commands, status, task })
    }

    /// Its name.
    pub fn name(&self) -> &ConsumerName {
        &self.name
    }

    /// Its status, with notifications of changes.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Pauses or resumes delivery. Events are not lost meanwhile, however long it takes. Resuming enables a
    /// disabled consumer.
    ///
    /// # Errors
    /// If the consumer has stopped, or the store does not answer.
    pub async fn pause(&self, paused: bool) -> Result<(), Error> {
        self.command(Command::Pause(paused)).await
    }

    /// Resumes a parked room: retries the refused event, or with `skip` skips it.
    ///
    /// # Errors
    /// If the room is not parked, the consumer has stopped, or the store does not answer.
    pub async fn unpark(&self, room: RoomId, skip: bool) -> Result<(), Error> {
        self.command(Command::Unpark { room, skip }).await
    }

    /// Resumes all parked rooms: retries their refused events.
    ///
    /// # Errors
    /// If the consumer has stopped, or the store does not answer: then some are still parked.
    pub async fn unpark_all(&self) -> Result<(), Error> {
        self.command(Command::UnparkAll).await
    }

    /// Delivers everything again, from the first event of every room.
    ///
    /// # Errors
    /// If the consumer has stopped, or the store does not answer.
    pub async fn replay(&self) -> Result<(), Error> {
        self.command(Command::Replay).await
    }

    async fn command(&self, command: Command) -> Result<(), Error> {
        let (answer, answered) = oneshot::channel();
        self.commands.send((command, answer)).await.map_err(|_| Error::Ended)?;
        answered.await.map_err(|_| Error::Ended)?
    }

    /// Waits until it has stopped.
    pub async fn ended(&self) {
        let mut status = self.status.clone();
        while status.changed().await.is_ok() {}
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn open(parts: &Parts, options: &Options) -> Result<ConsumerState, Error> {
    let name = &options.name;
    if let Some(mut state) = parts.table.consumer(name).await? {
        if state.target != options.target {
            return Err(Error::NameInUse { name: name.clone(), there: state.target });
        }
        // Nobody knows for how much of the time since then a process has tried.
        if options.enable && (!state.disabled.is_empty() || state.failing_since.is_some()) {
            state.disabled.clear();
            state.failing_since = None;
            let write = ConsumerWrite { state: Some(state.clone()), ..ConsumerWrite::default() };
            parts.table.write_consumer(name, write).await?;
        }
        return Ok(state);
    }
    let from_beginning = options.start == Start::Beginning;
    let state = ConsumerState {
        position: parts.feed.tip().await?,
        target: options.target.clone(),
        paused: false,
        disabled: String::new(),
        walk: from_beginning.then(Walk::default),
        created_at: if from_beginning { Timestamp(0) } else { parts.clock.now() },
        failing_since: None,
        behind_since: None,
    };
    let write = ConsumerWrite { state: Some(state.clone()), ..ConsumerWrite::default() };
    parts.table.write_consumer(name, write).await?;
    if options.restored && !from_beginning {
        tracing::warn!(
            consumer = %name,
            "a new consumer begins with new events in a restored store; if it is not new, what it had not got, and all \
             that it has to read again, is missing: replay it"
        );
    }
    Ok(state)
}
