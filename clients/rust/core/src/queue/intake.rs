//! The application's requests to the queue, and the contents of the store.

use std::sync::Arc;

use super::coalesce::{Coalesced, Fate, coalesce};
use super::restored;
use super::state::{Entry, Fresh, Queue, Surroundings};
use crate::command::{Command, CommandState, CommandUpdate, Discarded, NewCommand};
use crate::command::{StoredCommand, record};
use crate::outbox::Outbox;
use crate::request::{repeatable, room_of};
use crate::rooms::Rooms;
use crate::session::{CallId, Output};
use crate::{Code, Error, Failure};

impl Queue {
    /// Queues a command. One that is already queued under the same id is not queued twice.
    pub(crate) fn submit(&mut self, caller: CallId, new: NewCommand, rooms: &Rooms) {
        let NewCommand { mut operation, id, written_at_millis } = new;
        let Some(named) = repeatable(&mut operation) else {
            let error = Error::Protocol("only what changes something is queued".to_owned());
            return self.outputs.push(Output::Settled { id: caller, result: Err(error) });
        };
        if named.id.is_empty() {
            *named.id = id;
        }
        let id = named.id.clone();
        if self.entries.contains_key(&id) {
            return self.join(caller, id);
        }
        let Coalesced { drop, fate } = coalesce(self.commands.values().map(Arc::as_ref), &operation);
        if let Fate::Same(same) = fate {
            return self.join(caller, same);
        }
        let mut waiters = vec![caller];
        let mut ticket = None;
        for dropped in drop {
            let followers = self.remove(&dropped);
            ticket = Some(self.storage.put(&dropped, None));
            if fate == Fate::Keep {
                waiters.extend(followers);
            } else {
                self.settle(followers, &Ok(None));
            }
        }
        if fate == Fate::Cancelled {
            let ticket = ticket.unwrap_or_else(|| self.storage.put(&id, None));
            self.accepting.push((caller, id, ticket));
            return self.settle(vec![caller], &Ok(None));
        }
        // An `after_seq` given by the application may be from an earlier process.
        let is_new = restored::after_seq(&mut operation).is_none();
        restored::stamp(&mut operation, rooms);
        let fresh = is_new.then(|| Fresh { after_seq: restored::after_seq(&mut operation) });
        let epoch = room_of(&operation).map_or(0, |room| rooms.epoch(room));
        let user_id = Some(rooms.user().to_owned()).filter(|user| !user.is_empty());
        let last = self.commands.get_max().map_or(0, |(order, _)| *order);
        let command = Command {
            id: id.clone(),
            operation,
            user_id,
            epoch,
            written_at_millis: written_at_millis.max(last + 1),
            state: CommandState::Waiting,
            error: None,
            event: None,
            is_claimed: false,
        };
        self.entries.insert(id.clone(), Entry { waiters, fresh, ..Entry::default() });
        let ticket = self.storage.put(&id, Some(record::encode(&command)));
        self.set(command);
        self.accepting.push((caller, id, ticket));
    }

    /// Retries a refused command.
    pub(crate) fn retry(&mut self, caller: CallId, id: &str) {
        let Some(command) = self.get(id).filter(|command| command.state == CommandState::Failed) else {
            return self.settle(vec![caller], &Ok(None));
        };
        // It may have been carried out before it was refused: it is sent unchanged.
        let command = Command { state: CommandState::Waiting, error: None, ..Command::clone(command) };
        let ticket = self.storage.put(id, Some(record::encode(&command)));
        self.set(command);
        let entry = self.entries.entry(id.to_owned()).or_default();
        entry.maybe_sent = true;
        entry.waiters.push(caller);
        self.accepting.push((caller, id.to_owned(), ticket));
    }

    /// Removes a command; the answer follows once the store has deleted it, too.
    pub(crate) fn discard(&mut self, caller: CallId, id: &str, outbox: &mut Outbox) {
        if self.get(id).is_none_or(|command| command.state == CommandState::Confirmed) {
            return self.outputs.push(Output::Discarded { id: caller, outcome: Discarded::Unknown });
        }
        self.cancel_call(id, outbox);
        let maybe_sent = self.entries.get(id).is_some_and(|entry| entry.maybe_sent);
        let outcome = if maybe_sent { Discarded::MaybeSent } else { Discarded::Undone };
        let waiters = self.remove(id);
        self.settle(waiters, &Err(Error::Discarded));
        let ticket = self.storage.put(id, None);
        self.discarding.push((caller, outcome, ticket));
    }

    /// The caller no longer waits for the outcome.
    pub(crate) fn abandon(&mut self, caller: CallId) {
        for entry in self.entries.values_mut() {
            entry.waiters.retain(|waiter| *waiter != caller);
        }
        self.accepting.retain(|(waiter, ..)| *waiter != caller);
    }

    /// Adds the contents of the store.
    pub(crate) fn loaded(
        &mut self,
        result: Result<Vec<StoredCommand>, String>,
        around: &mut Surroundings<'_>,
    ) {
        self.is_dirty = true;
        let stored = self.storage.loaded(around.now, result, around.random);
        if stored.is_empty() {
            return;
        }
        // Stored commands go first, in their order, regardless of the clock.
        let mut newer: Vec<Command> = self.commands.values().map(|command| Command::clone(command)).collect();
        self.commands.clear();
        self.lanes.clear();
        for stored in stored {
            let Some(mut command) = record::decode(&stored) else {
                self.update(CommandUpdate::Unreadable { id: stored.id });
                continue;
            };
            if let Some(known) = newer.iter_mut().find(|known| known.id == command.id) {
                // It was issued again before the store had answered, and was sent in an earlier
                // process.
                if command.is_claimed
                    && !known.is_claimed
                    && let Some(entry) = self.entries.get_mut(&command.id)
                {
                    (entry.maybe_sent, entry.fresh) = (true, None);
                    *known = Command { written_at_millis: known.written_at_millis, ..command };
                }
                continue;
            }
            while self.commands.contains_key(&command.written_at_millis) {
                command.written_at_millis += 1;
            }
            // Even if it was only waiting: its process may have sent it while the store failed.
            command.is_claimed = true;
            let entry = Entry { maybe_sent: true, ..Entry::default() };
            self.entries.insert(command.id.clone(), entry);
            self.set(command);
        }
        for mut command in newer {
            let last = self.commands.get_max().map_or(0, |(order, _)| *order);
            if command.written_at_millis <= last {
                command.written_at_millis = last + 1;
                if command.state != CommandState::Confirmed {
                    self.storage.put(&command.id, Some(record::encode(&command)));
                }
            }
            self.set(command);
        }
    }

    /// Adds a caller to a queued command.
    fn join(&mut self, caller: CallId, id: String) {
        match self.get(&id).map(|command| (command.state, command.error.clone())) {
            // It was carried out: only its event is outstanding.
            Some((CommandState::Confirmed, _)) => self.settle(vec![caller], &Ok(None)),
            Some((CommandState::Failed, error)) => {
                let (reason, message) = error.map(|error| (error.reason, error.message)).unwrap_or_default();
                let failure = Failure::new(Code::FailedPrecondition, reason, message);
                self.settle(vec![caller], &Err(failure.into()));
            }
            _ => self.entries.entry(id.clone()).or_default().waiters.push(caller),
        }
        self.outputs.push(Output::Accepted { id: caller, command: id });
    }
}
