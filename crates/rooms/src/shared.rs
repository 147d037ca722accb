use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::future::BoxFuture;
use parlance_cluster::{Cluster, Departure};
use parlance_core::{Chunk, Clock, Creation, RoomId, UserId};
use parlance_hub::{Hub, Terms};
use parlance_registry::Registry;
use parlance_runtime::map::Map;
use parlance_runtime::own_task::run_to_end;
use parlance_store::{Created, Store, StoreError, StoredRoom};
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use crate::error::Error;
use crate::forwards::Forwards;
use crate::limits::{ROOM_QUEUE, Sizes};
use crate::messages::RoomMessage;

/// What rooms are decided with.
pub struct Parts {
    /// Where rooms are kept.
    pub store: Arc<dyn Store>,
    /// Where what is committed is delivered.
    pub hub: Arc<Hub>,
    /// What other nodes are told with.
    pub cluster: Arc<Cluster>,
    /// Which nodes there are.
    pub registry: Arc<dyn Registry>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Whether clients are to leave this node.
    pub departure: Departure,
    /// Where the actors run.
    pub tasks: TaskTracker,
    /// Sizes of pages.
    pub sizes: &'static Sizes,
}

/// Starts the actor of a room, which serves what is in its inbox.
pub(crate) type Start = fn(RoomId, Arc<Shared>, mpsc::Receiver<RoomMessage>) -> BoxFuture<'static, ()>;

/// What a room's actor shares with the others.
pub(crate) struct Shared {
    parts: Parts,
    start: Start,
    pub(crate) actors: Map<RoomId, mpsc::Sender<RoomMessage>>,
    /// The node ends: an actor that starts now ends with what it was started for.
    is_closed: AtomicBool,
    pub(crate) forwards: Forwards,
}

impl std::ops::Deref for Shared {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.parts
    }
}

impl Shared {
    pub(crate) fn new(parts: Parts, start: Start) -> Arc<Self> {
        let (actors, is_closed, forwards) = (Map::default(), AtomicBool::default(), Forwards::default());
        Arc::new(Self { parts, start, actors, is_closed, forwards })
    }

    /// Has someone look later whether `chunk` was written to `room`, and deliver it.
    pub(crate) fn find_out(&self, room: &RoomId, chunk: &Chunk) {
        self.cluster.may_be_untold(room, chunk.concerned().cloned().collect());
        let shutdown = self.departure.shutdown().clone();
        self.tasks.spawn(self.cluster.clone().find_out(room.clone(), chunk.first_seq(), shutdown));
    }

    /// Stores a new room and announces it, or returns the one that is there. Runs to its end
    /// even if the caller is dropped: whatever is committed is also delivered and published.
    pub(crate) async fn create(self: &Arc<Self>, creation: Creation) -> Result<Created<StoredRoom>, Error> {
        let creating = self.clone().create_and_announce(creation);
        Ok(run_to_end(&self.tasks, creating).await?)
    }

    pub(crate) async fn create_and_announce(
        self: Arc<Self>,
        creation: Creation,
    ) -> Result<Created<StoredRoom>, StoreError> {
        let members: Vec<UserId> = creation.append.members.iter().map(|row| row.user.clone()).collect();
        let (room, first) = (creation.info.id.clone(), creation.append.chunk.clone());
        let created = self.store.create_room(creation).await;
        // The room may have been created all the same, and nobody was told.
        let created = created.inspect_err(|_| self.find_out(&room, &first))?;
        let (Created::New(stored) | Created::Existing(stored)) = &created;
        self.hub.deliver(&room, Terms::from(&stored.info), &stored.tail);
        match &created {
            Created::New(_) => self.cluster.publish(&stored.info, &stored.tail).await,
            // The node that created it may have died before it announced the room.
            Created::Existing(_) => {
                for member in &members {
                    self.hub.joined(member, &room, 1);
                }
                let members = members.into_iter().collect();
                self.cluster.announce(&room, stored.head(), members).await;
            }
        }
        Ok(created)
    }

    /// Lets the actors end once what they were asked is done.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
        self.actors.clear();
    }

    /// Puts `message` in line, behind what was sent to the room before.
    pub(crate) async fn post(self: &Arc<Self>, room: &RoomId, mut message: RoomMessage) {
        loop {
            let actor = self.actor(room);
            match actor.send(message).await {
                Ok(()) => return,
                // It has just ended for lack of work.
                Err(mpsc::error::SendError(back)) => {
                    self.actors.remove_if(room, |_, other| other.same_channel(&actor));
                    message = back;
                }
            }
        }
    }

    pub(crate) fn actor(self: &Arc<Self>, room: &RoomId) -> mpsc::Sender<RoomMessage> {
        let start = || {
            let (messages, inbox) = mpsc::channel(ROOM_QUEUE);
            self.tasks.spawn((self.start)(room.clone(), self.clone(), inbox));
            messages
        };
        let actor = self.actors.entry(room.clone()).or_insert_with(start).clone();
        // What was forwarded, and nobody has decided, comes back while the node ends. Looked at
        // after the entry is there: either this or `close` takes it out.
        if self.is_closed.load(Ordering::SeqCst) {
            self.actors.remove(room);
        }
        actor
    }
}
