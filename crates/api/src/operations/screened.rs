use parlance_core::{Action, Command, RoomId, UserId};

use super::rooms::hidden;
use crate::screen::{Proposal, decide};
use crate::turns::Turn;
use crate::{Api, Error};

impl Api {
    /// A turn for the message that `command` sends, once the screen has accepted it; without a screen, `turn` as it
    /// is. `direct_with` is the other user of a direct room that the command may create.
    pub(super) async fn screened_turn(
        &self,
        turn: Option<Turn>,
        room: &RoomId,
        direct_with: Option<&UserId>,
        command: &Command,
    ) -> Result<Option<Turn>, Error> {
        let (Some(screen), Action::Send(message)) = (&self.parts.screen, &command.action) else {
            return Ok(turn);
        };
        // Boxed, since most servers have none (docs/memory.md).
        let taken = Box::pin(async {
            let turn = match turn {
                Some(turn) => turn,
                None => self.turns.take(&command.actor, room).await,
            };
            let is_repeat = || self.rooms().is_repeat(room, command.clone(), direct_with.cloned());
            if is_repeat().await.map_err(|error| hidden(room, error))? {
                return Ok(turn);
            }
            let proposal = Proposal { room, sender: &command.actor, message };
            match decide(screen.as_ref(), proposal).await {
                Ok(()) => Ok(turn),
                // Another attempt may have been stored meanwhile.
                Err(_) if is_repeat().await? => Ok(turn),
                Err(error) => Err(error),
            }
        });
        taken.await.map(Some)
    }
}
