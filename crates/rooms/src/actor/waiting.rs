use parlance_core::{Outcome, Refusal, Room};

use crate::error::Error;
use crate::messages::PendingCommand;

/// A command that is decided and waits for the append: what it was decided on is only
/// true once that has happened.
pub(super) struct Waiting {
    pub(super) pending: PendingCommand,
    pub(super) result: Result<Outcome, Error>,
    /// The actor's row was read for it.
    pub(super) row_read: bool,
}

impl Waiting {
    /// Whether someone was refused who never was a member of `room`.
    pub(super) fn is_stranger(&self, room: &Room) -> bool {
        let refused = matches!(self.result, Err(Error::Refused { refusal: Refusal::NotMember, .. }));
        refused && room.member(&self.pending.command.actor) == Some(&None)
    }
}

pub(super) fn answer_all(waiting: Vec<Waiting>) {
    for Waiting { pending, result, .. } in waiting {
        pending.answer(result);
    }
}
