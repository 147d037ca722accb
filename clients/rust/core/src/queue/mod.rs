//! The command queue: changes are stored before they are sent, delivered in order for each room, over any
//! number of connections and restarts, each exactly once.

mod coalesce;
mod intake;
mod outcome;
mod project;
mod restored;
mod state;
mod storage;

use std::time::Duration;

use crate::Error;
use crate::command::{Command, Discarded, StorageState, record};
use crate::outbox::{Origin, Outbox};
use crate::session::{Output, Update};

use state::{Fresh, Stage};
use storage::{Task, Ticket};

pub use project::{Optimistic, OptimisticMessage, PendingChange, Progress, optimistic};
pub use restored::ROOM_RESTORED;
pub use state::Commands;
pub(crate) use state::{Queue, Surroundings};

impl Queue {
    pub(crate) fn stored(&mut self, number: u64, result: Result<(), String>, around: &mut Surroundings<'_>) {
        self.is_dirty = true;
        self.storage.stored(around.now, number, result, around.random);
    }

    /// The connection was lost: commands about to be sent are reconsidered on the next one.
    pub(crate) fn disconnected(&mut self) {
        self.is_dirty = true;
        for entry in self.entries.values_mut() {
            if matches!(entry.stage, Stage::Claiming(_)) {
                entry.stage = Stage::Idle;
            }
        }
    }

    /// The session has ended. Commands stay in the store.
    pub(crate) fn end(&mut self, error: &Error, outbox: &mut Outbox) {
        let mut waiters = Vec::new();
        for entry in self.entries.values_mut() {
            waiters.append(&mut entry.waiters);
            if let Stage::Calling(number) = entry.stage {
                outbox.cancel(Origin::Command(number));
            }
            entry.stage = Stage::Idle;
        }
        self.calls.clear();
        self.settle(waiters, &Err(error.clone()));
    }

    /// Does everything that is possible now.
    pub(crate) fn advance(&mut self, around: &mut Surroundings<'_>) -> Vec<Output> {
        let now = around.now;
        let overdue = self.confirmed.iter().filter(|(_, until)| **until <= now);
        for id in overdue.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
            self.remove(&id);
        }
        // Simultaneous claims share a write.
        self.send(around);
        let was_settled = self.storage.state().clone();
        while let Some(task) = self.storage.next_task(now) {
            self.outputs.push(match task {
                Task::Load => Output::Load,
                Task::Write { number, changes } => Output::Store { number, changes },
            });
        }
        self.is_dirty |= *self.storage.state() != was_settled;
        self.send(around);
        let (storage, outputs) = (&self.storage, &mut self.outputs);
        self.accepting.retain(|(caller, id, ticket)| {
            let is_settled = storage.is_settled(*ticket);
            if is_settled {
                outputs.push(Output::Accepted { id: *caller, command: id.clone() });
            }
            !is_settled
        });
        self.discarding.retain(|(caller, outcome, ticket)| {
            let is_settled = storage.is_settled(*ticket);
            if is_settled {
                // Otherwise a restart may find it there.
                let is_forgotten = *outcome != Discarded::Undone || storage.is_durable(*ticket);
                let outcome = if is_forgotten { *outcome } else { Discarded::MaybeSent };
                outputs.push(Output::Discarded { id: *caller, outcome });
            }
            !is_settled
        });
        if *self.storage.state() != self.reported {
            self.reported = self.storage.state().clone();
            let update = Update::Storage(self.reported.clone());
            self.outputs.push(Output::Update { update, cursor: None });
        }
        std::mem::take(&mut self.outputs)
    }

    /// When [`Queue::advance`] has to be called again at the latest.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        [self.storage.timeout(), self.confirmed.values().min().copied()].into_iter().flatten().min()
    }

    /// Advances the first command of each lane.
    fn send(&mut self, around: &mut Surroundings<'_>) {
        if !self.is_dirty || !around.is_online || !self.storage.is_open() {
            return;
        }
        self.is_dirty = false;
        let first: Vec<u64> = self.lanes.values().filter_map(|orders| orders.first().copied()).collect();
        for order in first {
            let Some(command) = self.commands.get(&order).cloned() else { continue };
            let mut stage = self.entries.get(&command.id).map_or(Stage::Idle, |entry| entry.stage);
            if stage == Stage::Idle {
                // A failing store would not contain what is derived from a new command here.
                let is_durable = !matches!(self.storage.state(), StorageState::Memory { .. });
                let is_fresh = self.entries.get(&command.id).is_some_and(|entry| entry.fresh.is_some());
                let is_outdated = restored::is_outdated(&command, around.rooms);
                if let Some(entry) = self.entries.get_mut(&command.id) {
                    entry.is_stale_in_store |= is_outdated;
                }
                let claimed = restored::claimed(&command, is_fresh && is_durable, around.rooms);
                let ticket = self.storage.put(&command.id, Some(record::encode(&claimed)));
                self.set(claimed);
                stage = Stage::Claiming(ticket);
            }
            let must_be_durable = self.entries.get(&command.id).is_some_and(|entry| entry.is_stale_in_store);
            if let Stage::Claiming(ticket) = stage
                && self.storage.is_settled(ticket)
                && (!must_be_durable || self.storage.is_replaced(ticket))
            {
                stage = Stage::Calling(self.call(&command.id, ticket, around.outbox));
            }
            if let Some(entry) = self.entries.get_mut(&command.id) {
                entry.is_stale_in_store &= !matches!(stage, Stage::Calling(_));
                entry.stage = stage;
            }
        }
    }

    /// Creates the call of a claimed command.
    fn call(&mut self, id: &str, ticket: Ticket, outbox: &mut Outbox) -> u64 {
        let number = self.next_call;
        self.next_call += 1;
        let fresh = self.entries.get_mut(id).and_then(|entry| entry.fresh.take());
        let Some(command) = self.get(id).cloned() else { return number };
        let mut command = Command::clone(&command);
        if let Some(Fresh { after_seq }) = fresh
            && !self.storage.is_durable(ticket)
        {
            // The stored value, if there is a store.
            restored::set_after_seq(&mut command.operation, |_| after_seq);
            self.storage.put(id, Some(record::encode(&command)));
            self.set(command.clone());
        }
        self.calls.insert(number, id.to_owned());
        outbox.push_stamped(Origin::Command(number), command.operation);
        number
    }
}
