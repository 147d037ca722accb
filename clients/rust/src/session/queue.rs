//! Durable changes.

use std::marker::PhantomData;
use std::sync::atomic::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};

use parlance_client_core::{Change, Commands, Discarded, NewCommand};
use parlance_proto::v1::client_frame::Operation;
use parlance_proto::v1::reply::Result as Answer;
use tokio::sync::oneshot;

use super::Session;
use super::orders::Order;
use crate::ClientError;

/// A change accepted by the queue. Dropping this does not cancel it.
#[derive(Debug)]
pub struct Submitted<R> {
    /// Its id, for [`Session::retry`] and [`Session::discard`], also after a restart. That of another command if it has the
    /// same effect.
    pub id: String,
    settled: oneshot::Receiver<Result<Option<Answer>, ClientError>>,
    request: PhantomData<fn() -> R>,
}

impl<R: Change> Submitted<R> {
    /// Waits until it is carried out. `None` if another command has made it obsolete, such as a removed reaction.
    ///
    /// # Errors
    /// The server's permanent refusal; [`ClientError::Discarded`]; or the end of the session, after which it is still
    /// in the store, and carried out by the next session.
    pub async fn done(self) -> Result<Option<R::Response>, ClientError> {
        let Some(answer) = self.settled.await.map_err(|_| ClientError::SessionEnded)?? else {
            return Ok(None);
        };
        let unexpected = || ClientError::Protocol("the answer is to another operation".to_owned());
        R::response(answer).map(Some).ok_or_else(unexpected)
    }
}

impl Session {
    /// Queues a change. Returns once it is stored, if the store answers in time: from then on it is carried out exactly once,
    /// in the order of its room, over any number of connections and restarts.
    ///
    /// It replaces or cancels queued commands that have become obsolete: a lower read mark, an older edit of the same message,
    /// the opposite reaction. [`Session::commands`] returns pending commands, and [`Update::Command`](crate::Update::Command)
    /// reports their progress. A request with an explicit id that is already queued is not queued twice.
    ///
    /// # Errors
    /// The end of the session.
    pub async fn submit<R: Change>(&self, request: R) -> Result<Submitted<R>, ClientError> {
        let (id, settled) = self.submit_operation(request.into_operation()).await?;
        Ok(Submitted { id, settled, request: PhantomData })
    }

    async fn submit_operation(
        &self,
        operation: Operation,
    ) -> Result<(String, oneshot::Receiver<Result<Option<Answer>, ClientError>>), ClientError> {
        let id = self.calls.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{id}", self.prefix);
        let command = NewCommand { operation, id: name, written_at_millis: now_millis() };
        let (accepted, is_accepted) = oneshot::channel();
        let (settled, outcome) = oneshot::channel();
        let order = Order::Submit { id, command, accepted, settled };
        self.commands.send(order).map_err(|_| ClientError::SessionEnded)?;
        let id = is_accepted.await.map_err(|_| ClientError::SessionEnded)?;
        Ok((id, outcome))
    }

    /// Retries a refused command, and waits until it is carried out. `None` if there is nothing to retry.
    ///
    /// # Errors
    /// As for [`Submitted::done`].
    pub async fn retry(&self, command: impl Into<String>) -> Result<Option<Answer>, ClientError> {
        let id = self.calls.fetch_add(1, Ordering::Relaxed);
        let (settled, outcome) = oneshot::channel();
        let order = Order::Retry { id, command: command.into(), settled };
        self.commands.send(order).map_err(|_| ClientError::SessionEnded)?;
        outcome.await.map_err(|_| ClientError::SessionEnded)?
    }

    /// Discards a command. Returns the result once the store has deleted it: a command that was not in flight is undone.
    ///
    /// # Errors
    /// The end of the session.
    pub async fn discard(&self, command: impl Into<String>) -> Result<Discarded, ClientError> {
        let id = self.calls.fetch_add(1, Ordering::Relaxed);
        let (answer, outcome) = oneshot::channel();
        let order = Order::Discard { id, command: command.into(), answer };
        self.commands.send(order).map_err(|_| ClientError::SessionEnded)?;
        outcome.await.map_err(|_| ClientError::SessionEnded)
    }

    /// Pending commands in the order in which they were issued: a snapshot, for
    /// [`optimistic`](parlance_client_core::optimistic).
    pub fn commands(&self) -> Commands {
        self.queued.borrow().clone()
    }

    /// Waits until `is_awaited` accepts the pending commands, or the session has ended, and returns them.
    pub async fn commands_are(&self, mut is_awaited: impl FnMut(&Commands) -> bool) -> Commands {
        let mut queued = self.queued.clone();
        let awaited = queued.wait_for(|commands| is_awaited(commands)).await.map(|commands| commands.clone());
        awaited.unwrap_or_else(|_| self.commands())
    }
}

#[allow(clippy::disallowed_methods, reason = "the application's clock is the only one there is")]
fn now_millis() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}
