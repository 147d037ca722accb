use std::collections::VecDeque;
use std::sync::Arc;

use parlance_core::{Command, Creation, Outcome, RoomId, UserId};
use parlance_store::{Created, StoredRoom};
use tokio::sync::oneshot;

use crate::actor::Actor;
use crate::error::Error;
use crate::messages::{Decided, PendingCommand, RoomMessage};
use crate::shared::{Parts, Shared};

/// See the [crate] documentation. Clones refer to the same rooms.
#[derive(Clone)]
pub struct Rooms {
    pub(crate) shared: Arc<Shared>,
}

impl Rooms {
    /// Creates the set of rooms. A room's actor is started on first use.
    pub fn new(parts: Parts) -> Self {
        Self {
            shared: Shared::new(parts, |room, shared, inbox| Box::pin(Actor::new(room, shared).run(inbox))),
        }
    }

    /// The number of loaded rooms, and of sends waiting for another node.
    pub fn usage(&self) -> (usize, usize) {
        (self.shared.actors.len(), self.shared.forwards.waiting())
    }

    /// Carries out a command. Commands of one caller are decided in the order of their calls, on whichever node.
    ///
    /// # Errors
    /// Why it was not carried out.
    pub async fn submit(&self, room: &RoomId, command: Command) -> Result<Outcome, Error> {
        self.ask(room, command, None, RoomMessage::Command).await
    }

    /// Carries out a command in the direct room of its actor and `other`, creating the room if necessary. Keeps the
    /// caller's order too: nothing is awaited before queueing.
    ///
    /// # Errors
    /// Why it was not carried out.
    pub async fn submit_to(&self, other: UserId, command: Command) -> Result<Outcome, Error> {
        let room = RoomId::direct(&command.actor, &other);
        self.ask(&room, command, Some(other), RoomMessage::Command).await
    }

    /// Whether `command` is a repeat of one that is in the log. `direct_with` as in [`Rooms::submit_to`].
    ///
    /// # Errors
    /// Why it would not be carried out, as of the room's head in the store.
    pub async fn is_repeat(
        &self,
        room: &RoomId,
        command: Command,
        direct_with: Option<UserId>,
    ) -> Result<bool, Error> {
        Ok(self.ask(room, command, direct_with, RoomMessage::Preview).await?.is_repeat)
    }

    /// Carries out a command without a task for the room, for callers that live for one call, such as functions
    /// behind a gateway. The conditional append decides between concurrent writers, as it does between nodes.
    /// Commands of one caller are ordered only if the caller awaits each. The future must run to completion: what
    /// it has appended is published after that.
    ///
    /// # Errors
    /// Why it was not carried out.
    pub async fn submit_once(&self, room: &RoomId, command: Command) -> Result<Outcome, Error> {
        self.check_departure()?;
        let (reply, answer) = oneshot::channel();
        // Not forwarded: the home would answer to a mailbox, and there is none.
        let pending = PendingCommand { command, direct_with: None, decided: Decided::Here, reply };
        Actor::new(room.clone(), self.shared.clone()).serve(VecDeque::from([pending])).await;
        answer.await.unwrap_or(Err(Error::Draining))
    }

    async fn ask(
        &self,
        room: &RoomId,
        command: Command,
        direct_with: Option<UserId>,
        message: fn(PendingCommand) -> RoomMessage,
    ) -> Result<Outcome, Error> {
        self.check_departure()?;
        let (reply, answer) = oneshot::channel();
        let pending = PendingCommand { command, direct_with, decided: Decided::Anywhere, reply };
        self.shared.post(room, message(pending)).await;
        match answer.await {
            Ok(result) => result,
            Err(_) => Err(Error::Draining),
        }
    }

    /// Stores a new room, or returns the existing one.
    ///
    /// # Errors
    /// Why it was not carried out.
    pub async fn create(&self, creation: Creation) -> Result<Created<StoredRoom>, Error> {
        self.check_departure()?;
        self.shared.create(creation).await
    }

    /// Refuses writes that other nodes would miss: they look for the writes of an isolated node only until its
    /// clients should have left.
    fn check_departure(&self) -> Result<(), Error> {
        if self.shared.departure.is_complete() { Err(Error::Draining) } else { Ok(()) }
    }

    /// Lets the actors end once their queues are empty.
    pub fn close(&self) {
        self.shared.close();
    }
}
