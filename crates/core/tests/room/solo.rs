//! A single node with its store: enough to show one rule at a time.

use parlance_core::{
    Action, Append, Authority, Command, Creation, Decision, Need, NewRoom, Outcome, Refusal, Room, RoomId,
    RoomKind, Timestamp, Visibility,
};

use crate::model::{Store, serve};
use crate::values::{USERS, command, request, settings, user};

pub(crate) struct Solo {
    pub(crate) store: Store,
    pub(crate) room: Room,
    /// The node's clock.
    pub(crate) now: u64,
    /// What the last request needed to load.
    pub(crate) needs: Vec<Need>,
    asked: u64,
}

impl Solo {
    /// A group owned by ann, with bob and cat.
    pub(crate) fn group() -> Self {
        Self::shared(RoomKind::Group)
    }

    /// A channel owned by ann, with bob and cat.
    pub(crate) fn channel() -> Self {
        Self::shared(RoomKind::Channel)
    }

    /// The direct room of ann and bob.
    pub(crate) fn direct() -> Self {
        let settings = settings(Visibility::SinceJoined);
        Self::new(Creation::direct(&user("ann"), None, &user("bob"), settings, [0; 16], Timestamp(0)))
    }

    fn shared(kind: RoomKind) -> Self {
        let settings = settings(Visibility::SinceJoined);
        let [ann, bob, cat] = [0, 1, 2].map(|id| user(USERS[id]));
        let request = &request("create");
        let id = RoomId::created_unkeyed(&ann, request);
        let new = NewRoom { id, creator: &ann, service: None, owner: None, request, kind, settings };
        Self::new(Creation::shared(new, &[bob, cat], [0; 16], Timestamp(0)))
    }

    fn new(creation: Creation) -> Self {
        let room = creation.clone().into_room();
        Self { store: Store::create(creation), room, now: 0, needs: Vec::new(), asked: 0 }
    }

    pub(crate) fn head(&self) -> u64 {
        self.room.head().seq()
    }

    /// Makes a new request, as a client that knows the head.
    pub(crate) fn does(&mut self, actor: &str, action: Action) -> Result<Outcome, Refusal> {
        self.asked += 1;
        let command = command(actor, &format!("solo{}", self.asked), Some(self.head()), action);
        self.ask(&command)
    }

    /// Like [`Self::does`], with the authority of the app's own backend.
    pub(crate) fn app(&mut self, actor: &str, action: Action) -> Result<Outcome, Refusal> {
        self.asked += 1;
        let authority = Authority::App { moderates: false };
        let command = command(actor, &format!("solo{}", self.asked), Some(self.head()), action);
        self.ask(&Command { authority, ..command })
    }

    /// Decides one request and appends the result.
    pub(crate) fn ask(&mut self, command: &Command) -> Result<Outcome, Refusal> {
        Ok(self.append(std::slice::from_ref(command))?.0.remove(0))
    }

    /// Decides requests in one draft and appends it. Stops at the first
    /// refusal.
    pub(crate) fn append(&mut self, commands: &[Command]) -> Result<(Vec<Outcome>, Option<Append>), Refusal> {
        self.needs.clear();
        let mut draft = self.room.draft();
        let mut outcomes = Vec::with_capacity(commands.len());
        for command in commands {
            outcomes.push(loop {
                match draft.decide(command, Timestamp(self.now))? {
                    Decision::Done(outcome) => break outcome,
                    Decision::Need(need) => {
                        assert!(serve(&self.store, draft.room_mut(), &need), "{need:?} cannot be met");
                        assert!(!self.needs.contains(&need), "{need:?} was met");
                        // Kept for the next draft.
                        serve(&self.store, &mut self.room, &need);
                        self.needs.push(need);
                    }
                }
            });
        }
        let nonce = u128::from(self.head()).to_be_bytes();
        let (append, next) = draft.finish(nonce);
        if let Some(append) = &append {
            self.store.append(append).unwrap();
            self.room = next;
        }
        Ok((outcomes, append))
    }

    /// Sends this many messages as bob, in large chunks.
    pub(crate) fn fill(&mut self, messages: usize) {
        let ids: Vec<usize> = (0..messages).collect();
        for ids in ids.chunks(200) {
            let head = self.head();
            let commands: Vec<Command> = ids
                .iter()
                .map(|id| command("bob", &format!("fill{head}.{id}"), Some(head), crate::values::send("so")))
                .collect();
            self.append(&commands).unwrap();
        }
    }

    /// Another node takes over, which has only the tail of the log.
    pub(crate) fn reload(&mut self) {
        self.room = Room::load(self.store.info.clone(), self.store.tail());
    }
}
