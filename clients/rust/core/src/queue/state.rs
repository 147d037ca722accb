//! The state of the queue.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use imbl::OrdMap;
use parlance_proto::v1::reply::Result as Answer;

use super::storage::{Storage, Ticket};
use crate::Error;
use crate::command::{Command, CommandUpdate, Discarded, Lane, StorageState};
use crate::outbox::{Origin, Outbox};
use crate::random::Random;
use crate::rooms::Rooms;
use crate::session::{CallId, Output, Update};

/// Commands in the order in which they were issued. A clone shares everything with the original.
pub type Commands = OrdMap<u64, Arc<Command>>;

#[derive(Debug)]
pub(crate) struct Queue {
    pub(super) commands: Commands,
    /// The sort key of each command: when it was written.
    pub(super) orders: HashMap<String, u64>,
    pub(super) entries: HashMap<String, Entry>,
    pub(super) storage: Storage,
    pub(super) reported: StorageState,
    /// Sort keys of pending commands.
    pub(super) lanes: BTreeMap<Lane, BTreeSet<u64>>,
    /// Whether something has changed since commands were last advanced.
    pub(super) is_dirty: bool,
    /// Calls of commands, by number.
    pub(super) calls: BTreeMap<u64, String>,
    pub(super) next_call: u64,
    /// Confirmed commands, and when they are removed at the latest.
    pub(super) confirmed: BTreeMap<String, Duration>,
    /// Callers waiting for the store.
    pub(super) accepting: Vec<(CallId, String, Ticket)>,
    pub(super) discarding: Vec<(CallId, Discarded, Ticket)>,
    pub(super) outputs: Vec<Output>,
}

/// The processing state of a command.
#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) stage: Stage,
    /// It was in flight before its current call, possibly in an earlier process.
    pub(super) maybe_sent: bool,
    /// It was never in flight. Its `after_seq` is the one from when it was issued, or the one in here.
    pub(super) fresh: Option<Fresh>,
    /// Its room was restored, and the store may still have the earlier version: it is not sent until that is replaced.
    /// Otherwise, after a restart, it would be searched for after a seq of the former log, and not be found.
    pub(super) is_stale_in_store: bool,
    /// Callers waiting for it.
    pub(super) waiters: Vec<CallId>,
}

/// For a command that was never sent: the `after_seq` stored with it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fresh {
    pub(super) after_seq: Option<u64>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    #[default]
    Idle,
    /// The store is recording that it is sent.
    Claiming(Ticket),
    /// Its call was made.
    Calling(u64),
}

/// The parts of the session that the queue needs.
pub(crate) struct Surroundings<'a> {
    pub(crate) now: Duration,
    pub(crate) is_online: bool,
    pub(crate) rooms: &'a Rooms,
    pub(crate) outbox: &'a mut Outbox,
    pub(crate) random: &'a mut Random,
}

impl Queue {
    pub(crate) fn new(has_store: bool) -> Self {
        Self {
            commands: Commands::new(),
            orders: HashMap::new(),
            entries: HashMap::new(),
            storage: Storage::new(has_store),
            reported: StorageState::Opening,
            lanes: BTreeMap::new(),
            is_dirty: false,
            calls: BTreeMap::new(),
            next_call: 0,
            confirmed: BTreeMap::new(),
            accepting: Vec::new(),
            discarding: Vec::new(),
            outputs: Vec::new(),
        }
    }

    pub(crate) fn commands(&self) -> &Commands {
        &self.commands
    }

    pub(crate) fn storage(&self) -> &StorageState {
        self.storage.state()
    }

    /// Whether no command is pending.
    pub(crate) fn is_idle(&self) -> bool {
        self.storage.is_open() && self.lanes.is_empty()
    }

    pub(super) fn cancel_call(&mut self, id: &str, outbox: &mut Outbox) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        if let Stage::Calling(number) = entry.stage {
            entry.maybe_sent |= outbox.cancel(Origin::Command(number));
            self.calls.remove(&number);
        }
        entry.stage = Stage::Idle;
    }

    pub(super) fn get(&self, id: &str) -> Option<&Arc<Command>> {
        self.commands.get(self.orders.get(id)?)
    }

    pub(super) fn set(&mut self, command: Command) {
        self.is_dirty = true;
        let command = Arc::new(command);
        self.leave_lane(&command);
        if command.is_pending() {
            self.lanes.entry(command.lane()).or_default().insert(command.written_at_millis);
        }
        self.orders.insert(command.id.clone(), command.written_at_millis);
        self.commands.insert(command.written_at_millis, Arc::clone(&command));
        self.update(CommandUpdate::Changed(command));
    }

    /// Removes a command and returns the callers waiting for it.
    pub(super) fn remove(&mut self, id: &str) -> Vec<CallId> {
        let Some(order) = self.orders.remove(id) else { return Vec::new() };
        self.is_dirty = true;
        if let Some(command) = self.commands.remove(&order) {
            self.leave_lane(&command);
        }
        self.confirmed.remove(id);
        let entry = self.entries.remove(id).unwrap_or_default();
        if let Stage::Calling(number) = entry.stage {
            self.calls.remove(&number);
        }
        self.update(CommandUpdate::Removed { id: id.to_owned() });
        entry.waiters
    }

    pub(super) fn leave_lane(&mut self, command: &Command) {
        let lane = command.lane();
        if let Some(orders) = self.lanes.get_mut(&lane) {
            orders.remove(&command.written_at_millis);
            if orders.is_empty() {
                self.lanes.remove(&lane);
            }
        }
    }

    pub(super) fn settle(&mut self, waiters: Vec<CallId>, result: &Result<Option<Answer>, Error>) {
        let settled = waiters.into_iter().map(|id| Output::Settled { id, result: result.clone() });
        self.outputs.extend(settled);
    }

    pub(super) fn update(&mut self, update: CommandUpdate) {
        self.outputs.push(Output::Update { update: Update::Command(update), cursor: None });
    }
}
