//! A change that is being delivered to the server, and its stored form.

pub(crate) mod record;

use std::sync::Arc;

use parlance_proto::v1::client_frame::Operation;
use parlance_proto::v1::send_message_request::Target;

use crate::Error;
use crate::request::room_of;

pub use record::{StoreChange, StoredCommand};

/// The kind of a command, as far as it matters to the queue and to the optimistic view.
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
    /// Moves the user's read mark.
    MarkRead,
    /// Acknowledges delivery of a room.
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

/// The progress of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CommandState {
    /// Not sent yet: discarding it undoes it.
    Waiting,
    /// In flight, or was when the process ended: it may have been carried out.
    Sending,
    /// Carried out; kept until its event has arrived, so that the view does not flicker.
    Confirmed,
    /// Refused permanently, see [`Command::error`].
    Failed,
}

/// Why a command was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandError {
    /// The server's reason (`docs/errors.md`); empty if there is none.
    pub reason: String,
    /// For a developer.
    pub message: String,
}

/// A change that is being delivered to the server.
#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    /// Its `client_message_id` or `request_id`: the same on every attempt.
    pub id: String,
    /// The change itself, with its id and, once it was sent, its `after_seq`.
    pub operation: Operation,
    /// The user who issued it, if known: nobody else sends it.
    pub user_id: Option<String>,
    /// The epoch of its room that its seqs belong to; 0 while unknown.
    pub epoch: u64,
    /// When it was issued, milliseconds since 1970: unique within the queue, and its sort key.
    pub written_at_millis: u64,
    /// Its progress.
    pub state: CommandState,
    /// Why it failed.
    pub error: Option<CommandError>,
    /// Once confirmed: the room and seq of its last event, if there is one.
    pub event: Option<(String, u64)>,
    /// Whether it was about to be sent before, so that its operation is fixed.
    pub(crate) is_claimed: bool,
}

/// A change requested by an application.
#[derive(Debug, Clone, PartialEq)]
pub struct NewCommand {
    /// The change. Existing ids and `after_seq` are kept.
    pub operation: Operation,
    /// The id to use otherwise, unique among those of its user.
    pub id: String,
    /// The current time, milliseconds since 1970.
    pub written_at_millis: u64,
}

/// Whether what is queued outlives the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StorageState {
    /// Not known yet, or there is no store.
    Opening,
    /// It does.
    Durable,
    /// It does not: the store cannot be read or written, or does not answer. It is tried again, and commands are
    /// sent meanwhile.
    Memory {
        /// Why.
        error: String,
    },
}

/// An update about commands.
#[derive(Debug, Clone, PartialEq)]
pub enum CommandUpdate {
    /// A command was added, or has changed.
    Changed(Arc<Command>),
    /// It is finished: carried out and its event delivered, discarded, or obsolete.
    Removed {
        /// Its id.
        id: String,
    },
    /// It was refused permanently. Changes of messages are kept, to be retried or discarded; others are removed.
    Failed {
        /// The command.
        command: Arc<Command>,
        /// Why.
        error: Error,
    },
    /// A stored command was written by a later version, or is damaged. It stays in the store, and is not sent.
    Unreadable {
        /// Its key in the store.
        id: String,
    },
}

/// The result of discarding a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Discarded {
    /// It was never sent, and never will be.
    Undone,
    /// It was in flight, and may have been carried out; or the store cannot delete it for now, and it is sent if
    /// the process ends before.
    MaybeSent,
    /// There is no such command, or it was carried out.
    Unknown,
}

/// Commands of one lane are sent one after the other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Lane {
    /// Marks only move forward, and need not wait for a throttled message.
    Read(String),
    Delivery(String),
    Room(String),
    User(String),
    Elsewhere,
}

impl Command {
    /// The kind of the command.
    pub fn kind(&self) -> CommandKind {
        kind_of(&self.operation)
    }

    /// The room that it changes; `None` for direct messages and changes without a room.
    pub fn room_id(&self) -> Option<&str> {
        room_of(&self.operation)
    }

    /// The recipient of a direct message whose room may not exist yet.
    pub fn to_user(&self) -> Option<&str> {
        match &self.operation {
            Operation::SendMessage(request) => match &request.target {
                Some(Target::ToUser(user)) => Some(user),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether it still has to be carried out.
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

    /// Whether a refusal can be shown on its message. Others are reported and removed.
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
