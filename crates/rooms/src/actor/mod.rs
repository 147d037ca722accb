//! The task of one room.

mod append;
mod batch;
mod contention;
mod load;
mod order;
mod preview;
mod roster;
mod waiting;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parlance_core::limits::MAX_CHUNK_EVENTS;
use parlance_core::{Room, RoomId, UserId};
use parlance_registry::NodeId;
use parlance_runtime::map::HashMap;
use parlance_runtime::memory::Charge;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

use self::roster::Roster;
use crate::limits::{FORWARD_FOR, ROOM_IDLE, ROOM_IDLE_MIN};
use crate::messages::{PendingCommand, RoomMessage};
use crate::shared::Shared;

/// The task of one room.
pub(crate) struct Actor {
    id: RoomId,
    shared: Arc<Shared>,
    /// The room as far as known; `None` until loaded, and after an append of unknown outcome.
    room: Option<Room>,
    /// Charged for it.
    held_bytes: Charge,
    /// Until then sends are forwarded, because too many races were lost.
    forward_until: Option<Instant>,
    /// When this node, as the room's home, last asked the others to forward.
    requested_at: Option<Instant>,
    last_append: Option<Instant>,
    /// Users whose membership changed in what was read from the store: the node that wrote it may have died before
    /// publishing. They are included in the next publish.
    perhaps_unannounced: BTreeSet<UserId>,
    /// All members, while a command being served needs them.
    roster: Option<Roster>,
    /// Commands in this round that failed because the store could not read what they needed.
    failed_alone: usize,
    /// Users whose sends the home is deciding, with their later commands.
    held: HashMap<UserId, VecDeque<PendingCommand>>,
    /// For each user of another node, the last forwarded send that was decided here.
    decided_for: HashMap<(NodeId, UserId), u64>,
}

impl Actor {
    pub(crate) fn new(id: RoomId, shared: Arc<Shared>) -> Self {
        let held_bytes = shared.hub.memory().charge();
        Self {
            id,
            shared,
            room: None,
            held_bytes,
            forward_until: None,
            requested_at: None,
            last_append: None,
            perhaps_unannounced: BTreeSet::new(),
            roster: None,
            failed_alone: 0,
            held: HashMap::default(),
            decided_for: HashMap::default(),
        }
    }

    pub(crate) async fn run(mut self, mut inbox: mpsc::Receiver<RoomMessage>) {
        let mut messages = Vec::new();
        loop {
            let idle = self.idle_share().max(ROOM_IDLE_MIN);
            match timeout(idle, inbox.recv_many(&mut messages, MAX_CHUNK_EVENTS)).await {
                Ok(0) => return,
                Ok(_) => {
                    self.gather(&mut inbox, &mut messages).await;
                    self.open(&mut messages).await;
                }
                // Answers from the home are still outstanding.
                Err(_) if !self.held.is_empty() => {}
                Err(_) => {
                    // Senders see the closed channel and start another actor; queued messages are still served here.
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

    /// How long the room may stay loaded while idle: the fuller the memory for rooms, the shorter.
    fn idle_share(&self) -> Duration {
        self.held_bytes.budget().share_of_time(ROOM_IDLE)
    }

    /// Charges for what is loaded, and drops it if nothing more may be kept: the next command reads the log.
    fn charge(&mut self) {
        self.held_bytes.set(self.room.as_ref().map_or(0, Room::held_bytes));
        if self.idle_share() < ROOM_IDLE_MIN {
            self.room = None;
            self.held_bytes.set(0);
        }
    }

    /// In a busy room, waits a moment so that commands share an append.
    async fn gather(&mut self, inbox: &mut mpsc::Receiver<RoomMessage>, messages: &mut Vec<RoomMessage>) {
        let Some(until) = self.last_append.map(|at| at + self.shared.store.append_interval()) else { return };
        while messages.len() < MAX_CHUNK_EVENTS && Instant::now() < until {
            let capacity = MAX_CHUNK_EVENTS - messages.len();
            if timeout_at(until, inbox.recv_many(messages, capacity)).await.is_ok_and(|count| count == 0) {
                return;
            }
        }
    }

    async fn open(&mut self, messages: &mut Vec<RoomMessage>) {
        let (mut commands, mut previews) = (VecDeque::new(), Vec::new());
        for message in messages.drain(..) {
            match message {
                RoomMessage::Command(pending) => commands.extend(self.hold(pending)),
                RoomMessage::Preview(pending) => previews.push(pending),
                RoomMessage::Returned(user, returned) => {
                    commands.extend(returned);
                    commands.extend(self.held.remove(&user).unwrap_or_default());
                }
                RoomMessage::Observed(chunk) => {
                    if let Some(room) = &mut self.room {
                        // A chunk that does not continue the log is found in the store when it matters.
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
        for pending in previews {
            self.preview(pending).await;
        }
        self.roster = None;
        self.charge();
    }
}
