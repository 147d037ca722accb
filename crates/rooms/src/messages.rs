use parlance_core::{Chunk, Command, Outcome, UserId};
use parlance_registry::NodeId;
use tokio::sync::oneshot;

use crate::error::Error;

/// A command and who waits for its outcome.
pub(crate) struct PendingCommand {
    pub(crate) command: Command,
    /// The room is the direct one of the actor and this person: created if it is not there.
    pub(crate) direct_with: Option<UserId>,
    pub(crate) decided: Decided,
    pub(crate) reply: oneshot::Sender<Result<Outcome, Error>>,
}

/// Where a command is decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decided {
    /// Here, or by the room's home.
    Anywhere,
    /// Here: the home would not.
    Here,
    /// Here, for another node.
    ForAnother(Origin),
}

/// The node that has forwarded a send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) node: NodeId,
    /// Its number for the send.
    pub(crate) id: u64,
    /// The same for the send of this user before it, which must have been decided here; 0: none.
    pub(crate) previous: u64,
    /// The head up to which it knew the room.
    pub(crate) head: u64,
}

/// What reaches an actor.
pub(crate) enum RoomMessage {
    Command(PendingCommand),
    /// The home has answered all that was forwarded of this user. What it did not decide is
    /// decided here, before what the user has asked since.
    Returned(UserId, Vec<PendingCommand>),
    /// Another node has committed it.
    Observed(Chunk),
    /// This node, the room's home, cannot get through to decide.
    Contended(NodeId),
}

impl PendingCommand {
    /// Answers whoever waits.
    pub(crate) fn answer(self, result: Result<Outcome, Error>) {
        // Whoever asked may have gone; what was decided stays decided.
        let _ = self.reply.send(result);
    }
}
