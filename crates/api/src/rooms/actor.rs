mod order;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use parlance_core::limits::{MAX_CHUNK_EVENTS, MAX_PAGE_SIZE, MAX_RECENT_REQUESTS};
use parlance_core::plant::{self, Plant};
use parlance_core::{
    Append, Creation, Decision, Draft, Member, Need, Outcome, Room, RoomId, Settings, Title, Topic, UserId,
    Visibility,
};
use parlance_registry::NodeId;
use parlance_store::{AppendError, StoreError};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::{Ask, Decided, Letter, Shared, forward};
use crate::hub::Terms;
use crate::limits::{FORWARD_FOR, HOME_RACES, MAX_RACES, ROOM_IDLE};
use crate::map::HashMap;
use crate::{Error, random};

/// The task of one room.
pub(super) struct Actor {
    id: RoomId,
    shared: Arc<Shared>,
    /// As far as known; `None` until loaded, and after an append that may or may not
    /// have happened.
    room: Option<Room>,
    /// Until then another node decides what is sent here: too many races were lost.
    forward_until: Option<Instant>,
    /// When this node, as the room's home, last had the others hand on to it.
    called_at: Option<Instant>,
    last_append: Option<Instant>,
    /// Users whose sends the home is deciding, and what they have asked since.
    held: HashMap<UserId, VecDeque<Ask>>,
    /// The send of each user of another node that was decided here last.
    decided_for: HashMap<(NodeId, UserId), u64>,
}

/// A command that is decided and waits for the append: what it was decided on is only
/// true once that has happened.
struct Waiting {
    ask: Ask,
    result: Result<Outcome, Error>,
}

/// What loading something for a draft came to.
enum Loaded {
    Into(()),
    /// The store knows of later changes than the room: catch up, and decide anew.
    Ahead,
}

impl Actor {
    pub(super) fn new(id: RoomId, shared: Arc<Shared>) -> Self {
        Self {
            id,
            shared,
            room: None,
            forward_until: None,
            called_at: None,
            last_append: None,
            held: HashMap::default(),
            decided_for: HashMap::default(),
        }
    }

    pub(super) async fn run(mut self, mut inbox: mpsc::Receiver<Letter>) {
        let mut letters = Vec::new();
        loop {
            match timeout(ROOM_IDLE, inbox.recv_many(&mut letters, MAX_CHUNK_EVENTS)).await {
                Ok(0) => return,
                Ok(_) => {
                    self.gather(&mut inbox, &mut letters).await;
                    self.open(&mut letters).await;
                }
                // The home's answers are to come.
                Err(_) if !self.held.is_empty() => {}
                Err(_) => {
                    // Senders see it closed and start another actor; what is in the
                    // queue is still served here.
                    inbox.close();
                    self.shared.actors.remove_if(&self.id, |_, other| other.is_closed());
                    while inbox.recv_many(&mut letters, MAX_CHUNK_EVENTS).await > 0 {
                        self.open(&mut letters).await;
                    }
                    return;
                }
            }
        }
    }

    /// In a room where much is written, lets what comes within a moment share an append.
    async fn gather(&mut self, inbox: &mut mpsc::Receiver<Letter>, letters: &mut Vec<Letter>) {
        let Some(until) = self.last_append.map(|at| at + self.shared.store.gather()) else { return };
        while letters.len() < MAX_CHUNK_EVENTS && Instant::now() < until {
            let room = MAX_CHUNK_EVENTS - letters.len();
            if timeout_at(until, inbox.recv_many(letters, room)).await.is_ok_and(|count| count == 0) {
                return;
            }
        }
    }

    async fn open(&mut self, letters: &mut Vec<Letter>) {
        let mut asks = VecDeque::new();
        for letter in letters.drain(..) {
            match letter {
                Letter::Ask(ask) => asks.extend(self.hold(ask)),
                Letter::Returned(user, returned) => {
                    asks.extend(returned);
                    asks.extend(self.held.remove(&user).unwrap_or_default());
                }
                Letter::Observed(chunk) => {
                    if let Some(room) = &mut self.room {
                        // What does not continue its log is found in the store, when it matters.
                        let _ = room.observe(&chunk);
                        room.settle();
                    }
                }
                Letter::Contended(home) => {
                    if self.other_home() == Some(home) {
                        self.forward_until = Some(Instant::now() + FORWARD_FOR);
                    }
                }
            }
        }
        self.serve(asks).await;
    }

    /// Serves what was waiting, in as few appends as it fits in.
    async fn serve(&mut self, mut asks: VecDeque<Ask>) {
        let mut races = 0;
        while !asks.is_empty() {
            self.hand_on(&mut asks);
            if asks.is_empty() {
                return;
            }
            match self.serve_some(&mut asks).await {
                Ok(()) => races = 0,
                Err(AppendError::HeadMoved) if races < MAX_RACES => {
                    metrics::counter!("parlance_races_lost_total").increment(1);
                    races += 1;
                    // The home tries again at once, for all.
                    if self.other_home().is_some() {
                        self.forward_until = Some(Instant::now() + FORWARD_FOR);
                        // What cannot be forwarded: not all at once again.
                        if !asks.iter().all(|ask| self.may_go(ask)) {
                            let spread = (1 << races.min(6)) * 2;
                            sleep(std::time::Duration::from_millis(random::bits() % spread)).await;
                        }
                    } else if races >= HOME_RACES {
                        self.call_for();
                    }
                }
                Err(AppendError::HeadMoved | AppendError::Unknown) => fail(&mut asks, &Error::Contention),
                Err(AppendError::Store(error)) => fail(&mut asks, &Error::Store(error)),
            }
        }
    }

    /// The node that decides for this room under contention, if that is another one.
    fn other_home(&self) -> Option<NodeId> {
        let registry = &self.shared.registry;
        let home = self.shared.forwards.home(&self.id, registry.nodes())?;
        (home != *registry.node()).then_some(home)
    }

    /// Has the nodes that win hand on to this one, the home, which they do for a while.
    fn call_for(&mut self) {
        if self.called_at.is_none_or(|at| at.elapsed() >= FORWARD_FOR / 2) {
            self.called_at = Some(Instant::now());
            self.shared.call_for(&self.id);
        }
    }

    /// Whether the home may decide `ask`. What is not known here could not be said of it.
    fn may_go(&self, ask: &Ask) -> bool {
        self.room.as_ref().is_some_and(|room| forward::may_go(ask, room.head().seq()))
    }

    /// Decides as many of `asks` as fit into one append, appends, delivers, answers.
    /// On an error those not answered are still in `asks`.
    async fn serve_some(&mut self, asks: &mut VecDeque<Ask>) -> Result<(), AppendError> {
        let Some(room) = self.load().await? else {
            self.serve_without_room(asks).await?;
            return Ok(());
        };
        let mut draft = room.draft();
        let mut waiting: Vec<Waiting> = Vec::new();
        while let Some(ask) = asks.pop_front() {
            match self.is_obsolete(&mut draft, &ask).await {
                Ok(false) => {}
                Ok(true) => {
                    answer(ask, Err(Error::Contention));
                    continue;
                }
                Err(error) => {
                    asks.push_front(ask);
                    self.give_back(asks, waiting);
                    return self.behind(error).await;
                }
            }
            match self.decide(&mut draft, &ask).await {
                Ok(result) => {
                    self.set_decided(&ask, result.is_ok());
                    waiting.push(Waiting { ask, result });
                }
                // It concerns nobody else: what it needed cannot be read.
                Err(AppendError::Store(error @ StoreError::Damaged(_))) => {
                    answer(ask, Err(Error::Store(error)));
                }
                Err(error) => {
                    asks.push_front(ask);
                    self.give_back(asks, waiting);
                    return self.behind(error).await;
                }
            }
            if !draft.has_room() {
                break;
            }
        }
        if plant::is(Plant::AckBeforeCommit) {
            answer_all(std::mem::take(&mut waiting));
        }
        let appended = match draft.finish(random::nonce()) {
            (Some(append), after) => self.append(append, after).await,
            (None, loaded) => {
                self.room = Some(loaded);
                self.confirm(&waiting).await
            }
        };
        match appended {
            Ok(()) => {
                self.publish_repeats(&waiting).await;
                answer_all(waiting);
                Ok(())
            }
            Err(error) => {
                self.give_back(asks, waiting);
                self.behind(error).await
            }
        }
    }

    /// Who repeats a request may do so because the node that carried it out died before
    /// it told others.
    async fn publish_repeats(&self, waiting: &[Waiting]) {
        let Some(room) = &self.room else { return };
        let repeats =
            waiting.iter().filter(|waiting| matches!(waiting.result, Ok(Outcome { is_repeat: true, .. })));
        let mut users = BTreeSet::new();
        let mut any = false;
        for repeat in repeats {
            any = true;
            users.extend(repeat.ask.command.concerned().cloned());
        }
        if any {
            self.shared.cluster.announce(&self.id, room.head(), users).await;
        }
    }

    /// A refusal, or finding nothing to change, may come of not knowing the latest: an
    /// append would have noticed, without one the head is looked up. A repeat is true
    /// in any case.
    async fn confirm(&self, waiting: &[Waiting]) -> Result<(), AppendError> {
        if waiting.iter().all(|waiting| matches!(waiting.result, Ok(Outcome { is_repeat: true, .. }))) {
            return Ok(());
        }
        let stored = self.shared.store.room(&self.id).await?;
        let head = self.room.as_ref().map(Room::head);
        if stored.map(|stored| stored.head()) == head { Ok(()) } else { Err(AppendError::HeadMoved) }
    }

    /// Catches up if `error` says that the room has gone on without us.
    async fn behind(&mut self, error: AppendError) -> Result<(), AppendError> {
        if error == AppendError::HeadMoved {
            self.catch_up().await?;
        }
        Err(error)
    }

    /// There is no room yet. The first message to a person creates it; what was asked
    /// before that, knowing its id, fails.
    async fn serve_without_room(&self, asks: &mut VecDeque<Ask>) -> Result<(), StoreError> {
        while let Some(ask) = asks.pop_front() {
            let Some(other) = &ask.direct_with else {
                answer(ask, Err(Error::RoomNotFound));
                continue;
            };
            match self.shared.store.user(other).await {
                Ok(Some(_)) => {
                    let (actor, now) = (&ask.command.actor, self.shared.clock.now());
                    let creation = Creation::direct(actor, other, direct_settings(), random::nonce(), now);
                    asks.push_front(ask);
                    // Within the actor's own task, which nobody cancels.
                    self.shared.clone().create_and_announce(creation).await?;
                    return Ok(());
                }
                Ok(None) => {
                    let nobody = Error::UserNotFound(other.to_string());
                    answer(ask, Err(nobody));
                }
                Err(error) => {
                    asks.push_front(ask);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Appends until it is known what became of it, and delivers.
    async fn append(&mut self, append: Append, after: Room) -> Result<(), AppendError> {
        let store = &self.shared.store;
        // Until the answer is there the room is not to be used.
        let before = self.room.take();
        self.last_append = Some(Instant::now());
        let mut result = store.append(&self.id, append.clone()).await;
        let mut unanswered = false;
        for _ in 0..MAX_RACES {
            if result != Err(AppendError::Unknown) {
                break;
            }
            unanswered = true;
            result = match store.chunk(&self.id, append.chunk.first_seq()).await {
                Ok(Some(chunk)) if chunk.nonce() == append.chunk.nonce() => Ok(()),
                Ok(Some(_)) => Err(AppendError::HeadMoved),
                Ok(None) => store.append(&self.id, append.clone()).await,
                Err(error) => Err(error.into()),
            };
        }
        match result {
            Ok(()) => {
                self.shared.hub.deliver(&self.id, Terms::from(after.info()), &append.chunk);
                self.shared.cluster.committed(&self.id, &append.chunk);
                // Before anyone is answered: a sender without an answer repeats.
                if plant::is(Plant::AckBeforePublish) {
                    self.publish_later(after.info().clone(), append.chunk);
                } else {
                    self.shared.cluster.publish(after.info(), &append.chunk).await;
                }
                self.room = Some(after);
                Ok(())
            }
            Err(AppendError::HeadMoved) => {
                self.room = before;
                Err(AppendError::HeadMoved)
            }
            Err(error) => {
                if unanswered {
                    // It may be there, and nobody was told.
                    self.shared.find_out(&self.id, &append.chunk);
                }
                Err(error)
            }
        }
    }

    /// For a planted bug: others are told when the sender has long been answered.
    fn publish_later(&self, info: parlance_core::RoomInfo, chunk: parlance_core::Chunk) {
        let cluster = self.shared.cluster.clone();
        self.shared.tasks.spawn(async move {
            sleep(std::time::Duration::from_millis(500)).await;
            cluster.publish(&info, &chunk).await;
        });
    }

    /// Whether a command was forwarded under another membership of its actor than the one
    /// now: whoever forwarded it may have refused it since. Or the one before it was not decided
    /// here.
    async fn is_obsolete(&self, draft: &mut Draft, ask: &Ask) -> Result<bool, AppendError> {
        let Decided::ForAnother(origin) = &ask.decided else { return Ok(false) };
        let actor = &ask.command.actor;
        let decided = || self.decided_for.get(&(origin.node.clone(), actor.clone()));
        if origin.previous != 0 && decided() != Some(&origin.previous) {
            return Ok(true);
        }
        if draft.room_mut().member(actor).is_none()
            && let Loaded::Ahead = self.satisfy(draft.room_mut(), Need::Member(actor.clone())).await?
        {
            return Err(AppendError::HeadMoved);
        }
        let row = draft.room_mut().member(actor).and_then(Option::as_ref);
        Ok(!row.is_some_and(|row| row.is_active() && row.changed_at() <= origin.head))
    }

    /// Decides one command, loading what it needs.
    async fn decide(&self, draft: &mut Draft, ask: &Ask) -> Result<Result<Outcome, Error>, AppendError> {
        loop {
            let need = match draft.decide(&ask.command, self.shared.clock.now()) {
                Ok(Decision::Done(outcome)) => return Ok(Ok(outcome)),
                Ok(Decision::Need(need)) => need,
                Err(refusal) => return Ok(Err(Error::Refused { room: self.id.clone(), refusal })),
            };
            match self.satisfy(draft.room_mut(), need).await? {
                Loaded::Into(()) => {}
                Loaded::Ahead => return Err(AppendError::HeadMoved),
            }
        }
    }

    async fn satisfy(&self, room: &mut Room, need: Need) -> Result<Loaded, StoreError> {
        let store = &self.shared.store;
        let usable = match need {
            Need::Member(user) => {
                let row = store.member(&self.id, &user).await?;
                room.load_member(user, row)
            }
            Need::Members => {
                let (mut rows, mut after) = (Vec::new(), None);
                loop {
                    let page = store.members(&self.id, after.as_ref(), MAX_PAGE_SIZE).await?;
                    let is_last = page.len() < MAX_PAGE_SIZE;
                    after = page.last().map(|last| last.user.clone());
                    // Nobody asks for those who left.
                    rows.extend(page.into_iter().filter(Member::is_active));
                    if is_last {
                        break;
                    }
                }
                room.load_all_members(rows)
            }
            Need::Message(seq) => {
                let message = self.message(seq).await?;
                room.load_message(seq, message)
            }
            Need::Older { before } => {
                let limit = self.shared.sizes.older_page.min(MAX_RECENT_REQUESTS);
                let older = store.events_before(&self.id, before, limit).await?;
                room.load_older(&older);
                // Nothing there although the floor is lower: the floor has moved.
                !older.is_empty()
            }
        };
        Ok(if usable { Loaded::Into(()) } else { Loaded::Ahead })
    }

    async fn message(
        &self,
        seq: u64,
    ) -> Result<Option<(parlance_core::UserId, parlance_core::Overlay)>, StoreError> {
        let store = &self.shared.store;
        let range = parlance_core::SeqRange { from: seq, to: seq };
        let entry = store.read(&self.id, range, 1, false).await?.pop();
        let message = entry.filter(|entry| matches!(entry.event.body, parlance_core::Body::Message(_)));
        Ok(message.map(|entry| (entry.event.actor, entry.overlay.unwrap_or_default())))
    }

    /// The room, from the store if it is not loaded. `None` where there is none.
    async fn load(&mut self) -> Result<Option<&mut Room>, StoreError> {
        if self.room.is_none() {
            let stored = self.shared.store.room(&self.id).await?;
            if let Some(stored) = &stored {
                // What nobody has told this node, if its writer died: a repeat of it is
                // answered without another append.
                self.shared.hub.deliver(&self.id, Terms::from(&stored.info), &stored.tail);
            }
            self.room =
                stored.map(|stored| Room::load(stored.info, &stored.tail).keeping(&self.shared.sizes.room));
        }
        Ok(self.room.as_mut())
    }

    /// Applies what others have appended. Not until there is nothing more: they may write
    /// faster than can be read here.
    async fn catch_up(&mut self) -> Result<(), StoreError> {
        let Some(room) = &mut self.room else { return Ok(()) };
        let before = room.head();
        let page = self.shared.sizes.log_page;
        loop {
            let head = room.head();
            let chunks = self.shared.store.chunks_after(&self.id, head.seq(), page).await?;
            if chunks.is_empty() {
                if head == before {
                    // Behind, but not by events: what stands beside the log has changed.
                    self.room = None;
                }
                return Ok(());
            }
            if plant::is(Plant::MiddleOfChunk)
                && let Some(half) = chunks.iter().find_map(half)
            {
                let _ = room.apply(&half);
                return Ok(());
            }
            for chunk in &chunks {
                if room.apply(chunk).is_err() {
                    // The log itself has no hole: this was not its continuation.
                    self.room = None;
                    return Ok(());
                }
                self.shared.hub.deliver(&self.id, Terms::from(room.info()), chunk);
                self.shared.cluster.committed(&self.id, chunk);
            }
            room.settle();
            let read: usize = chunks.iter().map(|chunk| chunk.events().len()).sum();
            if read < page / 2 {
                return Ok(());
            }
        }
    }
}

/// For a planted bug: the first half of a chunk, as if it were one.
fn half(chunk: &parlance_core::Chunk) -> Option<parlance_core::Chunk> {
    let events = chunk.events().get(..chunk.events().len() / 2)?.to_vec();
    let last = events.last()?.message_count;
    let half = parlance_core::Chunk::new(*chunk.nonce(), events, last, chunk.head().member_count())?;
    Some(half.with_previous(chunk.previous().copied()))
}

/// A direct room has none of its own.
fn direct_settings() -> Settings {
    Settings { title: Title::default(), topic: Topic::default(), visibility: Visibility::SinceJoined }
}

fn answer(ask: Ask, result: Result<Outcome, Error>) {
    // Whoever asked may have gone; what was decided stays decided.
    let _ = ask.reply.send(result);
}

fn answer_all(waiting: Vec<Waiting>) {
    for Waiting { ask, result } in waiting {
        answer(ask, result);
    }
}

fn fail(asks: &mut VecDeque<Ask>, error: &Error) {
    for ask in asks.drain(..) {
        answer(ask, Err(error.clone()));
    }
}
