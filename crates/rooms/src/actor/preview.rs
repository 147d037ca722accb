//! What a command would come to, without appending it.
use parlance_core::Outcome;
use parlance_store::AppendError;

use super::Actor;
use super::batch::Undecided;
use super::waiting::Waiting;
use crate::error::Error;
use crate::limits::MAX_RACES;
use crate::messages::PendingCommand;

impl Actor {
    /// Answers what would become of `pending` at the room's head in the store.
    pub(super) async fn preview(&mut self, pending: PendingCommand) {
        let mut waiting = [Waiting { pending, result: Err(Error::Contention), row_read: false }];
        for _ in 0..MAX_RACES {
            let ended = match self.preview_once(&mut waiting).await {
                Ok(()) => break,
                Err(AppendError::HeadMoved) => self.catch_up().await,
                Err(AppendError::Unknown) => break,
                Err(AppendError::Store(error)) => Err(error),
            };
            if let Err(error) = ended {
                waiting[0].result = Err(Error::Store(error));
                break;
            }
            waiting[0].result = Err(Error::Contention);
        }
        waiting.into_iter().for_each(|Waiting { pending, result, .. }| pending.answer(result));
    }

    async fn preview_once(&mut self, waiting: &mut [Waiting; 1]) -> Result<(), AppendError> {
        let [Waiting { pending, result, row_read }] = waiting;
        let is_fresh = self.room.is_none();
        let Some(room) = self.load().await? else {
            // The same reads as in a room that exists: see `confirm`.
            self.shared.store.member(&self.id, &pending.command.actor).await?;
            *result = match &pending.direct_with {
                Some(other) => self.may_create_with(pending, other).await?.map(|()| self.unchanged()),
                None => Err(Error::RoomNotFound),
            };
            return Ok(());
        };
        let mut draft = room.draft();
        (*result, *row_read) = match self.decide(&mut draft, pending).await {
            Ok(decided) => decided,
            // Once all members are read, it is decided again.
            Err(Undecided::NeedsRoster) => {
                self.read_roster().await?;
                return Err(AppendError::HeadMoved);
            }
            Err(Undecided::Alone(error)) => (Err(error), false),
            Err(Undecided::All(error)) => return Err(error),
        };
        self.confirm(waiting, is_fresh).await
    }

    /// The outcome of a command that is not in the log yet.
    fn unchanged(&self) -> Outcome {
        let at = self.shared.clock.now();
        Outcome { first: 0, last: 0, at, message_count: 0, is_repeat: false }
    }
}
