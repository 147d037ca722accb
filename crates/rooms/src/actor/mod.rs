//! The task of one room.

mod append;
mod batch;
mod contention;
mod load;
mod order;
mod roster;
mod waiting;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use parlance_core::limits::MAX_CHUNK_EVENTS;
use parlance_core::{Room, RoomId, UserId};
use parlance_registry::NodeId;
use parlance_runtime::map::HashMap;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

use self::roster::Roster;
use crate::limits::{FORWARD_FOR, ROOM_IDLE};
use crate::messages::{PendingCommand, RoomMessage};
use crate::shared::Shared;

/// The task of one room.
pub(crate) struct Actor {
    id: RoomId,
    shared: Arc<Shared>,
    /// As far as known; `None` until loaded, and after an append that may or may not
    /// have happened.
    room: Option<Room>,
    /// Until then another node decides what is sent here: too many races were lost.
    forward_until: Option<Instant>,
    /// When this node, as the room's home, last had the others hand on to it.
    requested_at: Option<Instant>,
    last_append: Option<Instant>,
    /// Users whose membership was changed by what was read from the store: the node that wrote it may
    /// have died before it told others. They hear of the room with what is appended next.
    perhaps_untold: BTreeSet<UserId>,
    /// All members, while commands are served of which one needs them.
    roster: Option<Roster>,
    /// Commands of those being served that failed because the store did not read what they needed.
    failed_alone: usize,
    /// Users whose sends the home is deciding, and what they have asked since.
    held: HashMap<UserId, VecDeque<PendingCommand>>,
    /// The send of each user of another node that was decided here last.
    decided_for: HashMap<(NodeId, UserId), u64>,
}

impl Actor {
    pub(crate) fn new(id: RoomId, shared: Arc<Shared>) -> Self {
        Self {
            id,
            shared,
            room: None,
            forward_until: None,
            requested_at: None,
            last_append: None,
            perhaps_untold: BTreeSet::new(),
            roster: None,
            failed_alone: 0,
            held: HashMap::default(),
            decided_for: HashMap::default(),
        }
    }

    pub(crate) async fn run(mut self, mut inbox: mpsc::Receiver<RoomMessage>) {
        let mut messages = Vec::new();
        loop {
            match timeout(ROOM_IDLE, inbox.recv_many(&mut messages, MAX_CHUNK_EVENTS)).await {
                Ok(0) => return,
                Ok(_) => {
                    self.gather(&mut inbox, &mut messages).await;
                    self.open(&mut messages).await;
                }
                // The home's answers are to come.
                Err(_) if !self.held.is_empty() => {}
                Err(_) => {
                    // Senders see it closed and start another actor; what is in the
                    // queue is still served here.
                    inbox.close();
                    self.shared.actors.remove_if(&self.id, |_, other| other.is_closed());
                    while inbox.recv_many(&mut messages, MAX_CHUNK_EVENTS).await > 0 {
                        self.open(&mut messages).await;
                    }
                    return;
                }
            }
        }
    }

    /// In a room where much is written, lets what comes within a moment share an append.
    async fn gather(&mut self, inbox: &mut mpsc::Receiver<RoomMessage>, messages: &mut Vec<RoomMessage>) {
        let Some(until) = self.last_append.map(|at| at + self.shared.store.gather()) else { return };
        while messages.len() < MAX_CHUNK_EVENTS && Instant::now() < until {
            let room = MAX_CHUNK_EVENTS - messages.len();
            if timeout_at(until, inbox.recv_many(messages, room)).await.is_ok_and(|count| count == 0) {
                return;
            }
        }
    }

    async fn open(&mut self, messages: &mut Vec<RoomMessage>) {
        let mut commands = VecDeque::new();
        for message in messages.drain(..) {
            match message {
                RoomMessage::Command(pending) => commands.extend(self.hold(pending)),
                RoomMessage::Returned(user, returned) => {
                    commands.extend(returned);
                    commands.extend(self.held.remove(&user).unwrap_or_default());
                }
                RoomMessage::Observed(chunk) => {
                    if let Some(room) = &mut self.room {
                        // What does not continue its log is found in the store, when it matters.
                        let _ = room.observe(&chunk);
                        room.settle();
                    }
                }
                RoomMessage::Contended(home) => {
                    if self.other_home() == Some(home) {
                        self.forward_until = Some(Instant::now() + FORWARD_FOR);
                    }
                }
            }
        }
        self.serve(commands).await;
        self.roster = None;
    }
}
