use parlance_core::Outcome;

use crate::error::Error;
use crate::messages::PendingCommand;

/// A command that is decided and waits for the append: what it was decided on is only
/// true once that has happened.
pub(super) struct Waiting {
    pub(super) pending: PendingCommand,
    pub(super) result: Result<Outcome, Error>,
}

pub(super) fn answer_all(waiting: Vec<Waiting>) {
    for Waiting { pending, result } in waiting {
        pending.answer(result);
    }
}
