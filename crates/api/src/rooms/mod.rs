//! One task for each room that is in use: it alone decides and appends, so that what
//! arrives while an append is under way becomes the next chunk.

mod actor;
mod forward;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parlance_core::plant::{self, Plant};
use parlance_core::{Chunk, Clock, Command, Creation, Outcome, RoomId, UserId};
use parlance_registry::{NodeId, Registry};
use parlance_store::{Created, Store, StoreError, StoredRoom};
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;

use self::actor::Actor;
use self::forward::Forwards;
use crate::Error;
use crate::cluster::Cluster;
use crate::departure::Departure;
use crate::hub::{Hub, Terms};
use crate::limits::{ROOM_QUEUE, Sizes};
use crate::map::Map;
use crate::own_task::run_to_end;

/// A command and who waits for its outcome.
pub(crate) struct Ask {
    command: Command,
    /// The room is the direct one of the actor and this person: created if it is not there.
    direct_with: Option<UserId>,
    decided: Decided,
    reply: oneshot::Sender<Result<Outcome, Error>>,
}

/// Where a command is decided.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Decided {
    /// Here, or by the room's home.
    Anywhere,
    /// Here: the home would not.
    Here,
    /// Here, for another node.
    ForAnother(Origin),
}

/// The node that has forwarded a send.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Origin {
    node: NodeId,
    /// Its number for the send.
    id: u64,
    /// The same for the send of this user before it, which must have been decided here; 0: none.
    previous: u64,
    /// The head up to which it knew the room.
    head: u64,
}

/// What reaches an actor.
enum Letter {
    Ask(Ask),
    /// The home has answered all that was forwarded of this user. What it did not decide is
    /// decided here, before what the user has asked since.
    Returned(UserId, Vec<Ask>),
    /// Another node has committed it.
    Observed(Chunk),
    /// This node, the room's home, cannot get through to decide.
    Contended(NodeId),
}

#[derive(Clone)]
pub(crate) struct Rooms {
    shared: Arc<Shared>,
}

/// What rooms are decided with.
pub(crate) struct Parts {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) registry: Arc<dyn Registry>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) departure: Departure,
    pub(crate) tasks: TaskTracker,
    pub(crate) sizes: &'static Sizes,
}

struct Shared {
    parts: Parts,
    actors: Map<RoomId, mpsc::Sender<Letter>>,
    /// The node ends: an actor that starts now ends with what it was started for.
    is_closed: AtomicBool,
    forwards: Forwards,
}

impl std::ops::Deref for Shared {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.parts
    }
}

impl Shared {
    /// Has someone look later whether `chunk` was written to `room`.
    fn find_out(&self, room: &RoomId, chunk: &Chunk) {
        self.cluster.may_have_committed(room, chunk);
        self.tasks.spawn(self.cluster.clone().find_out(room.clone()));
    }

    /// Stores a new room and announces it, or returns the one that is there. Runs to its end
    /// even if the caller is dropped: whatever is committed is also delivered and published.
    async fn create(self: &Arc<Self>, creation: Creation) -> Result<Created<StoredRoom>, Error> {
        let creating = self.clone().create_and_announce(creation);
        if plant::is(Plant::CreateInCaller) {
            return Ok(creating.await?);
        }
        Ok(run_to_end(&self.tasks, creating).await?)
    }

    async fn create_and_announce(
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
}

impl Rooms {
    pub(crate) fn new(parts: Parts) -> Self {
        let (actors, is_closed, forwards) = (Map::default(), AtomicBool::default(), Forwards::default());
        Self { shared: Arc::new(Shared { parts, actors, is_closed, forwards }) }
    }

    /// How many rooms are loaded, and how many sends wait for another node.
    pub(crate) fn usage(&self) -> (usize, usize) {
        (self.shared.actors.len(), self.shared.forwards.waiting())
    }

    /// Carries out a command. Commands of one caller are decided in the order of their
    /// calls, wherever they are decided.
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
        self.check_departure()?;
        let (reply, answer) = oneshot::channel();
        let ask = Ask { command, direct_with, decided: Decided::Anywhere, reply };
        self.shared.post(room, Letter::Ask(ask)).await;
        match answer.await {
            Ok(result) => result,
            Err(_) => Err(Error::Draining),
        }
    }

    /// Stores a new room, or returns the one that is there.
    pub(crate) async fn create(&self, creation: Creation) -> Result<Created<StoredRoom>, Error> {
        self.check_departure()?;
        self.shared.create(creation).await
    }

    /// Refuses what other nodes would not hear of: they look for what a node writes that is cut
    /// off only until its clients should have left.
    fn check_departure(&self) -> Result<(), Error> {
        if self.shared.departure.is_complete() { Err(Error::Draining) } else { Ok(()) }
    }

    /// Lets the actors end once what they were asked is done.
    pub(crate) fn close(&self) {
        self.shared.is_closed.store(true, Ordering::SeqCst);
        self.shared.actors.clear();
    }

    /// Another node has committed a chunk: an actor that knows it need not lose a race
    /// to learn of it.
    pub(crate) fn observe(&self, room: &RoomId, chunk: Chunk) {
        if let Some(actor) = self.shared.actors.get(room) {
            // With a full queue it has other work, and will find it in the log.
            let _ = actor.try_send(Letter::Observed(chunk));
        }
    }
}

impl Shared {
    /// Puts `letter` in line, behind what was sent to the room before.
    async fn post(self: &Arc<Self>, room: &RoomId, mut letter: Letter) {
        loop {
            let actor = self.actor(room);
            match actor.send(letter).await {
                Ok(()) => return,
                // It has just ended for lack of work.
                Err(mpsc::error::SendError(back)) => {
                    self.actors.remove_if(room, |_, other| other.same_channel(&actor));
                    letter = back;
                }
            }
        }
    }

    fn actor(self: &Arc<Self>, room: &RoomId) -> mpsc::Sender<Letter> {
        let start = || {
            let (letters, inbox) = mpsc::channel(ROOM_QUEUE);
            let actor = Actor::new(room.clone(), self.clone());
            self.tasks.spawn(actor.run(inbox));
            letters
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

#[cfg(test)]
mod tests {
    use parlance_core::{Action, Command, RequestId, Text};
    use parlance_store::StoreError;

    use crate::Error;
    use crate::hub::Waken;
    use crate::testing::{TestNode, group, say, soon, user};

    #[tokio::test]
    async fn members_learn_of_a_room_whose_creator_hangs_up() {
        let node = TestNode::start();
        let mailbox = node.api.hub().open(&user("bob"), None);
        let creation = group("first");
        let room = creation.info.id.clone();
        let api = node.api.clone();
        let creator = tokio::spawn(async move { api.rooms().create(creation).await.map(drop) });
        // Committed, and not answered yet.
        soon(node.store.committed.acquire()).await.unwrap().forget();
        creator.abort();
        assert!(creator.await.unwrap_err().is_cancelled());
        node.store.answer_all();
        let Waken::Attach(attach) = soon(mailbox.next()).await else { panic!("not an attach") };
        assert_eq!(attach.room, room);
    }

    #[tokio::test(start_paused = true)]
    async fn room_that_is_asked_while_the_node_ends_does_not_keep_it() {
        let node = TestNode::start();
        node.store.answer_all();
        let (room, _) = node.api.rooms().create(group("first")).await.unwrap().into_parts();
        node.api.rooms().close();
        let action = Action::Send { text: Text::parse("late").unwrap(), reply_to: None };
        let request = RequestId::parse("late").unwrap();
        let command = Command { actor: user("alice"), request, after: None, action };
        node.api.rooms().submit(&room.info.id, command).await.unwrap();
        assert_eq!(node.api.rooms().usage(), (0, 0));
        soon(node.api.stop()).await;
    }

    #[tokio::test]
    async fn creating_a_room_again_tells_members_who_were_not_told() {
        let node = TestNode::start();
        node.store.answer_all();
        node.api.rooms().create(group("first")).await.unwrap();
        // As if the first creator's node had died before it told anyone.
        let mailbox = node.api.hub().open(&user("bob"), None);
        let (room, is_repeat) = node.api.rooms().create(group("first")).await.unwrap().into_parts();
        assert!(is_repeat);
        let Waken::Attach(attach) = soon(mailbox.next()).await else { panic!("not an attach") };
        assert_eq!(attach.room, room.info.id);
    }

    /// What one command needs cannot be read: those that are decided beside it do not suffer.
    #[tokio::test]
    async fn a_damaged_message_fails_its_own_command_only() {
        let (node, room) = TestNode::with_group().await;
        // By another node: the room's actor here begins with the last one.
        let other = node.other();
        let damaged = say(&other, &room, "damaged").await;
        let whole = say(&other, &room, "whole").await;
        node.store.damaged_messages.lock().unwrap().insert((room.clone(), damaged));
        let command = |id: &str, action| Command {
            actor: user("alice"),
            request: RequestId::parse(id).unwrap(),
            after: None,
            action,
        };
        let text = |text| Text::parse(text).unwrap();
        let rooms = node.api.rooms();
        // All of them are waiting when the room's actor begins.
        let (before, bad, good, after) = tokio::join!(
            rooms.submit(&room, command("1", Action::Send { text: text("before"), reply_to: None })),
            rooms.submit(&room, command("2", Action::Edit { target: damaged, text: text("y") })),
            rooms.submit(&room, command("3", Action::Edit { target: whole, text: text("z") })),
            rooms.submit(&room, command("4", Action::Send { text: text("after"), reply_to: None })),
        );
        let bad = bad.unwrap_err();
        assert!(matches!(bad, Error::Store(StoreError::Damaged(_))), "{bad}");
        let seqs = [before, good, after].map(|outcome| outcome.unwrap().first);
        assert_eq!(seqs, [whole + 1, whole + 2, whole + 3]);
    }
}
