//! Outcomes of commands.

use std::sync::Arc;
use std::time::Duration;

use parlance_proto::v1::reply::Result as Answer;

use super::restored::{self, ROOM_RESTORED};
use super::state::{Queue, Stage};
use crate::Error;
use crate::command::record;
use crate::command::{Command, CommandError, CommandState, CommandUpdate};
use crate::outbox::Outbox;
use crate::request::event_of;
use crate::rooms::Rooms;

/// How long a carried out command is shown if its event does not arrive.
const EVENT_TIMEOUT: Duration = Duration::from_secs(10);

impl Queue {
    /// A command's call was answered.
    pub(crate) fn answered(
        &mut self,
        number: u64,
        result: Result<Answer, Error>,
        now: Duration,
        rooms: &Rooms,
    ) {
        let Some(id) = self.calls.remove(&number) else { return };
        match result {
            Ok(answer) => self.confirm(&id, answer, now, rooms),
            Err(error) => self.refuse(&id, error),
        }
    }

    /// Room events were delivered: the commands they confirm are finished.
    pub(crate) fn observed(&mut self, rooms: &Rooms) {
        let ids: Vec<String> = self.confirmed.keys().filter(|id| self.is_seen(id, rooms)).cloned().collect();
        for id in ids {
            self.remove(&id);
        }
    }

    /// Rooms may have been restored from a backup, or the user may have changed: earlier commands are
    /// reconsidered before anything is sent.
    pub(crate) fn examine(&mut self, rooms: &Rooms, outbox: &mut Outbox) {
        self.is_dirty = true;
        let all: Vec<Arc<Command>> = self.commands.values().cloned().collect();
        for command in all {
            let id = &command.id;
            let is_foreign = command.user_id.as_deref().is_some_and(|user| user != rooms.user());
            if is_foreign {
                self.cancel_call(id, outbox);
                let waiters = self.remove(id);
                self.settle(waiters, &Err(Error::Discarded));
                self.storage.put(id, None);
            } else if restored::is_outdated(&command, rooms) {
                self.cancel_call(id, outbox);
                match restored::fate_of(&command) {
                    restored::Fate::Send => {}
                    restored::Fate::Fail => self.refuse(id, restored::room_restored(&command)),
                    restored::Fate::Drop => {
                        let waiters = self.remove(id);
                        self.settle(waiters, &Ok(None));
                        self.storage.put(id, None);
                    }
                }
            }
        }
    }

    fn confirm(&mut self, id: &str, answer: Answer, now: Duration, rooms: &Rooms) {
        let Some(command) = self.get(id).cloned() else { return };
        self.storage.put(id, None);
        let event = event_of(&answer).and_then(|(room, seq)| {
            let room = room.or_else(|| command.room_id().map(str::to_owned))?;
            Some((room, seq))
        });
        let waiters = self.entries.get_mut(id).map(|entry| {
            entry.stage = Stage::Idle;
            std::mem::take(&mut entry.waiters)
        });
        self.settle(waiters.unwrap_or_default(), &Ok(Some(answer)));
        self.confirmed.insert(id.to_owned(), now + EVENT_TIMEOUT);
        self.set(Command { state: CommandState::Confirmed, event, error: None, ..Command::clone(&command) });
        if self.is_seen(id, rooms) {
            self.remove(id);
        }
    }

    /// Whether the application has the event of a confirmed command, or there is none.
    fn is_seen(&self, id: &str, rooms: &Rooms) -> bool {
        let event = self.get(id).and_then(|command| command.event.as_ref());
        event.is_none_or(|(room, seq)| rooms.cursor(room).is_some_and(|cursor| cursor.seq >= *seq))
    }

    fn refuse(&mut self, id: &str, error: Error) {
        let Some(command) = self.get(id) else { return };
        let reason = error.failure().map(|failure| failure.reason.clone()).unwrap_or_default();
        let failed = Command {
            state: CommandState::Failed,
            error: Some(CommandError { reason: reason.clone(), message: error.to_string() }),
            ..Command::clone(command)
        };
        let stays = failed.stays_when_failed() && reason != ROOM_RESTORED;
        self.storage.put(id, stays.then(|| record::encode(&failed)));
        let waiters = if stays {
            self.set(failed.clone());
            self.entries.get_mut(id).map(|entry| {
                entry.stage = Stage::Idle;
                std::mem::take(&mut entry.waiters)
            })
        } else {
            Some(self.remove(id))
        };
        self.update(CommandUpdate::Failed { command: Arc::new(failed), error: error.clone() });
        self.settle(waiters.unwrap_or_default(), &Err(error));
    }
}
