use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::future::BoxFuture;
use parlance_cluster::{Cluster, Departure};
use parlance_core::{Chunk, Clock, Creation, DefaultPermissions, RoomId, UserId};
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

/// The dependencies of [`Rooms`](crate::Rooms).
pub struct Parts {
    /// Stores the rooms.
    pub store: Arc<dyn Store>,
    /// Delivers committed chunks to sessions.
    pub hub: Arc<Hub>,
    /// Publishes to other nodes.
    pub cluster: Arc<Cluster>,
    /// Knows the other nodes.
    pub registry: Arc<dyn Registry>,
    /// The time that events are stamped with.
    pub clock: Arc<dyn Clock>,
    /// Whether this node is sending its clients away.
    pub departure: Departure,
    /// Runs the actors.
    pub tasks: TaskTracker,
    /// What applies where a room has set no permissions of its own.
    pub permissions: DefaultPermissions,
    /// Sizes of pages and caches.
    pub sizes: &'static Sizes,
}

/// Starts the actor of a room, which serves its inbox.
pub(crate) type Start = fn(RoomId, Arc<Shared>, mpsc::Receiver<RoomMessage>) -> BoxFuture<'static, ()>;

/// State shared by all room actors.
pub(crate) struct Shared {
    parts: Parts,
    start: Start,
    pub(crate) actors: Map<RoomId, mpsc::Sender<RoomMessage>>,
    /// Set on shutdown: an actor that starts now ends after its first work.
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

    /// Resolves an append of unknown outcome in the background, and delivers what it finds.
    pub(crate) fn find_out(&self, room: &RoomId, chunk: &Chunk) {
        self.cluster.may_be_unannounced(room, chunk.concerned().cloned().collect());
        let shutdown = self.departure.shutdown().clone();
        self.tasks.spawn(self.cluster.clone().find_out(room.clone(), chunk.first_seq(), shutdown));
    }

    /// Stores a new room and announces it, or returns the existing one. Completes even if the caller is dropped:
    /// whatever is committed is also delivered and published.
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
        // The room may have been created without being announced.
        let created = created.inspect_err(|_| self.find_out(&room, &first))?;
        let (Created::New(stored) | Created::Existing(stored)) = &created;
        self.hub.deliver(&room, Terms::from(&stored.info), &stored.tail);
        match &created {
            Created::New(_) => self.cluster.publish(&stored.info, &stored.tail).await,
            // The node that created it may have died before announcing it.
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

    /// Lets the actors end once their queues are empty.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
        self.actors.clear();
    }

    /// Queues `message` behind earlier messages to the room.
    pub(crate) async fn post(self: &Arc<Self>, room: &RoomId, mut message: RoomMessage) {
        loop {
            let actor = self.actor(room);
            match actor.send(message).await {
                Ok(()) => return,
                // It has just ended because it was idle.
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
        // Forwarded commands that nobody has decided are returned during shutdown. Checked after inserting the entry:
        // either this or `close` removes it.
        if self.is_closed.load(Ordering::SeqCst) {
            self.actors.remove(room);
        }
        actor
    }
}
