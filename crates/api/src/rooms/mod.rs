//! One task for each room that is in use: it alone decides and appends, so that what
//! arrives while an append is under way becomes the next chunk.

mod actor;

use std::sync::Arc;

use dashmap::DashMap;
use parlance_core::{Command, Creation, Outcome, RoomId, UserId};
use parlance_store::{Created, Store, StoreError, StoredRoom};
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;

use self::actor::Actor;
use crate::hub::Hub;
use crate::limits::ROOM_QUEUE;
use crate::{Clock, Error};

/// A command and who waits for its outcome.
pub(crate) struct Ask {
    command: Command,
    /// The room is the direct one of the actor and this person: created if it is not there.
    direct_with: Option<UserId>,
    reply: oneshot::Sender<Result<Outcome, Error>>,
}

pub(crate) struct Rooms {
    shared: Arc<Shared>,
}

struct Shared {
    store: Arc<dyn Store>,
    hub: Arc<Hub>,
    clock: Arc<dyn Clock>,
    actors: DashMap<RoomId, mpsc::Sender<Ask>>,
    tasks: TaskTracker,
}

impl Shared {
    async fn create(&self, creation: Creation) -> Result<Created<StoredRoom>, StoreError> {
        let created = self.store.create_room(creation).await?;
        if let Created::New(room) = &created {
            self.hub.deliver(&room.info, &room.tail);
        }
        Ok(created)
    }
}

impl Rooms {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        hub: Arc<Hub>,
        clock: Arc<dyn Clock>,
        tasks: TaskTracker,
    ) -> Self {
        Self { shared: Arc::new(Shared { store, hub, clock, actors: DashMap::new(), tasks }) }
    }

    /// Carries out a command. Commands of one caller are decided in the order of their
    /// calls.
    pub(crate) async fn submit(&self, room: &RoomId, command: Command) -> Result<Outcome, Error> {
        self.ask(room, command, None).await
    }

    /// Carries out a command in the direct room of its actor and `other`, which is
    /// created first if it is not there. In the same order: nothing is waited for here.
    pub(crate) async fn submit_to(&self, other: UserId, command: Command) -> Result<Outcome, Error> {
        let room = RoomId::direct(&command.actor, &other);
        self.ask(&room, command, Some(other)).await
    }

    async fn ask(
        &self,
        room: &RoomId,
        command: Command,
        direct_with: Option<UserId>,
    ) -> Result<Outcome, Error> {
        let (reply, answer) = oneshot::channel();
        let mut ask = Ask { command, direct_with, reply };
        loop {
            let actor = self.actor(room);
            match actor.send(ask).await {
                Ok(()) => break,
                // It has just ended for lack of work.
                Err(mpsc::error::SendError(back)) => {
                    self.shared.actors.remove_if(room, |_, other| other.same_channel(&actor));
                    ask = back;
                }
            }
        }
        match answer.await {
            Ok(result) => result,
            Err(_) => Err(Error::Draining),
        }
    }

    /// Stores a new room, or returns the one that is there.
    pub(crate) async fn create(&self, creation: Creation) -> Result<Created<StoredRoom>, Error> {
        Ok(self.shared.create(creation).await?)
    }

    /// Lets the actors end once what they were asked is done.
    pub(crate) fn close(&self) {
        self.shared.actors.clear();
    }

    fn actor(&self, room: &RoomId) -> mpsc::Sender<Ask> {
        let start = || {
            let (asks, inbox) = mpsc::channel(ROOM_QUEUE);
            let actor = Actor::new(room.clone(), self.shared.clone());
            self.shared.tasks.spawn(actor.run(inbox));
            asks
        };
        self.shared.actors.entry(room.clone()).or_insert_with(start).clone()
    }
}
