//! A change on its way to the server.

use std::sync::Arc;

use parlance_proto::v1::client_frame::Operation;
use parlance_proto::v1::send_message_request::Target;

use crate::Error;
use crate::request::room_of;

/// What a command does, as far as it matters to the queue and to what is shown meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CommandKind {
    /// Sends a message.
    Send,
    /// Replaces the text of a message.
    Edit,
    /// Deletes a message.
    Delete,
    /// Adds a reaction.
    React,
    /// Removes a reaction.
    Unreact,
    /// Moves one's read mark.
    MarkRead,
    /// Says how far a room has arrived.
    AcknowledgeDelivery,
    /// Hides a room or shows it.
    Hide,
    /// Joins a room.
    Join,
    /// Leaves a room.
    Leave,
    /// Any other change: rooms, members, roles, profile.
    Change,
}

/// How far a command has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CommandState {
    /// Not on the wire yet: discarding it undoes it.
    Waiting,
    /// On the wire, or was when the process ended: it may have been carried out.
    Sending,
    /// Carried out; kept until its event has arrived, so that nothing flickers.
    Confirmed,
    /// Refused for good, see [`Command::error`].
    Failed,
}

/// Why a command was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandError {
    /// The server's reason (`docs/errors.md`); empty where it gave none.
    pub reason: String,
    /// For a developer.
    pub message: String,
}

/// A change on its way to the server.
#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    /// Its `client_message_id` or `request_id`: the same on every attempt.
    pub id: String,
    /// The change itself, with its id and, once it was sent, the `after_seq` that it goes out with.
    pub operation: Operation,
    /// Who issued it, where that was known: nobody else sends it.
    pub user_id: Option<String>,
    /// The epoch of its room that seqs in it belong to; 0 while unknown.
    pub epoch: u64,
    /// When it was issued, milliseconds since 1970: unique in its queue, and its order.
    pub written_at_millis: u64,
    /// How far it has come.
    pub state: CommandState,
    /// Why it failed.
    pub error: Option<CommandError>,
    /// Once confirmed: the room and seq of the last event that carries it, where there is one.
    pub event: Option<(String, u64)>,
    /// It was about to go out before, so that what it says of its room stays.
    pub(crate) is_claimed: bool,
}

/// A change that an application asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct NewCommand {
    /// What to do. Its id is kept if it has one, and so is its `after_seq`.
    pub operation: Operation,
    /// An id for it otherwise, unique among those of its user.
    pub id: String,
    /// The time now, milliseconds since 1970.
    pub written_at_millis: u64,
}

/// What happens to commands.
#[derive(Debug, Clone, PartialEq)]
pub enum CommandUpdate {
    /// A command was added, or has changed.
    Changed(Arc<Command>),
    /// It is done with: carried out with its event handed over, discarded, or needless.
    Removed {
        /// Its id.
        id: String,
    },
    /// It was refused for good. Changes of messages stay, for a retry or to be discarded; others are gone.
    Failed {
        /// The command.
        command: Arc<Command>,
        /// Why.
        error: Error,
    },
    /// A stored command was written by a later version, or is damaged. It is left in the store, and not sent.
    Unreadable {
        /// Its key in the store.
        id: String,
    },
}

/// What discarding a command has achieved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Discarded {
    /// It was never sent, and never will be.
    Undone,
    /// It was on the wire, and may have been carried out; or the store does not forget it for now, and it is sent
    /// should the process end before it does.
    MaybeSent,
    /// There is no such command, or it was carried out.
    Unknown,
}

/// Commands of one lane go out one after the other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Lane {
    /// Marks only move forward, and need not wait for a message that is throttled.
    Read(String),
    Delivery(String),
    Room(String),
    User(String),
    Elsewhere,
}

impl Command {
    /// What it does.
    pub fn kind(&self) -> CommandKind {
        kind_of(&self.operation)
    }

    /// The room that it changes; `None` for messages to a person and changes without a room.
    pub fn room_id(&self) -> Option<&str> {
        room_of(&self.operation)
    }

    /// Of a message to a person with whom there may be no room yet.
    pub fn to_user(&self) -> Option<&str> {
        match &self.operation {
            Operation::SendMessage(request) => match &request.target {
                Some(Target::ToUser(user)) => Some(user),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether it has still to be carried out.
    pub fn is_pending(&self) -> bool {
        matches!(self.state, CommandState::Waiting | CommandState::Sending)
    }

    pub(crate) fn lane(&self) -> Lane {
        match (self.kind(), self.room_id(), self.to_user()) {
            (CommandKind::MarkRead, Some(room), _) => Lane::Read(room.to_owned()),
            (CommandKind::AcknowledgeDelivery, Some(room), _) => Lane::Delivery(room.to_owned()),
            (_, Some(room), _) => Lane::Room(room.to_owned()),
            (_, None, Some(user)) => Lane::User(user.to_owned()),
            (_, None, None) => Lane::Elsewhere,
        }
    }

    /// Whether there is something to show a refusal on. Others are reported and forgotten.
    pub(crate) fn stays_when_failed(&self) -> bool {
        use CommandKind::{Delete, Edit, React, Send, Unreact};
        matches!(self.kind(), Send | Edit | Delete | React | Unreact)
    }
}

pub(crate) fn kind_of(operation: &Operation) -> CommandKind {
    match operation {
        Operation::SendMessage(_) => CommandKind::Send,
        Operation::EditMessage(_) => CommandKind::Edit,
        Operation::DeleteMessage(_) => CommandKind::Delete,
        Operation::AddReaction(_) => CommandKind::React,
        Operation::RemoveReaction(_) => CommandKind::Unreact,
        Operation::MarkRead(_) => CommandKind::MarkRead,
        Operation::AcknowledgeDelivery(_) => CommandKind::AcknowledgeDelivery,
        Operation::SetRoomHidden(_) => CommandKind::Hide,
        Operation::JoinRoom(_) => CommandKind::Join,
        Operation::LeaveRoom(_) => CommandKind::Leave,
        _ => CommandKind::Change,
    }
}
