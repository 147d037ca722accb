use parlance_core::{Outcome, Refusal, Room};

use crate::error::Error;
use crate::messages::PendingCommand;

/// A decided command that waits for its append: the decision is only valid once that has succeeded.
pub(super) struct Waiting {
    pub(super) pending: PendingCommand,
    pub(super) result: Result<Outcome, Error>,
    /// Whether the actor's row was read for it.
    pub(super) row_read: bool,
}

impl Waiting {
    /// Whether this is a refusal of a user who never was a member of `room`.
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
