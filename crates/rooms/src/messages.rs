use parlance_core::{Chunk, Command, Outcome, UserId};
use parlance_registry::NodeId;
use tokio::sync::oneshot;

use crate::error::Error;

/// A command and the channel for its outcome.
pub(crate) struct PendingCommand {
    pub(crate) command: Command,
    /// Set if the room is the direct room of the actor and this user; it is created if it does not exist.
    pub(crate) direct_with: Option<UserId>,
    pub(crate) decided: Decided,
    pub(crate) reply: oneshot::Sender<Result<Outcome, Error>>,
}

/// Where a command is decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decided {
    /// Here, or by the room's home.
    Anywhere,
    /// Here only: the home has declined.
    Here,
    /// Here, for another node.
    ForAnother(Origin),
}

/// The node that forwarded a send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) node: NodeId,
    /// The node's id for the send.
    pub(crate) id: u64,
    /// The id of the previous send of this user, which must have been decided here; 0 for none.
    pub(crate) previous: u64,
    /// The head up to which the node knew the room.
    pub(crate) head: u64,
}

/// A message to a room's actor.
pub(crate) enum RoomMessage {
    Command(PendingCommand),
    /// Decide this, and answer without appending.
    Preview(PendingCommand),
    /// The home has answered everything forwarded for this user. Undecided commands are decided here, before later
    /// commands of the user.
    Returned(UserId, Vec<PendingCommand>),
    /// Another node has committed this chunk.
    Observed(Chunk),
    /// The given node, the room's home, keeps losing races: forward to it for a while.
    Contended(NodeId),
}

impl PendingCommand {
    /// Sends the result to the caller.
    pub(crate) fn answer(self, result: Result<Outcome, Error>) {
        // The caller may be gone; what was decided stays decided.
        let _ = self.reply.send(result);
    }
}
