//! Queued changes, in the types of the bindings.
#![forbid(unsafe_code)]

use parlance_client as rust;
use parlance_client::v1::client_frame::Operation;

/// What a command does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum CommandKind {
    Send,
    Edit,
    Delete,
    React,
    Unreact,
    MarkRead,
    AcknowledgeDelivery,
    Hide,
    Join,
    Leave,
    Change,
}

/// How far a command has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "described in the interface")]
pub enum CommandState {
    Waiting,
    Sending,
    Confirmed,
    Failed,
}

/// A queued change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingCommand {
    /// Its id.
    pub id: String,
    /// What it does.
    pub kind: CommandKind,
    /// How far it has come.
    pub state: CommandState,
    /// Its room.
    pub room_id: Option<String>,
    /// The text of a message or an edit.
    pub text: Option<String>,
    /// Milliseconds since 1970.
    pub written_at_millis: u64,
    /// Once confirmed.
    pub seq: Option<u64>,
    /// The stable reason, if it failed.
    pub error_reason: Option<String>,
    /// For developers, if it failed.
    pub error_message: Option<String>,
}

/// What happened to a command.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "each is moved once")]
pub enum CommandUpdate {
    /// Added or changed.
    Changed {
        /// The command.
        command: PendingCommand,
    },
    /// Done, discarded, or superseded.
    Removed {
        /// Its id.
        id: String,
    },
    /// Rejected for good.
    Failed {
        /// The command.
        command: PendingCommand,
    },
    /// Kept, and not sent.
    Unreadable {
        /// Its id.
        id: String,
    },
}

/// What discarding has achieved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discarded {
    /// It was never sent.
    Undone,
    /// It may have been carried out.
    MaybeSent,
    /// There is no such command.
    Unknown,
}

impl From<&rust::Command> for PendingCommand {
    fn from(command: &rust::Command) -> Self {
        let text = match &command.operation {
            Operation::SendMessage(request) => Some(request.text.clone()),
            Operation::EditMessage(request) => Some(request.text.clone()),
            _ => None,
        };
        let event = command.event.as_ref();
        let room_id = command.room_id().map(str::to_owned);
        Self {
            id: command.id.clone(),
            kind: command.kind().into(),
            state: command.state.into(),
            room_id: room_id.or_else(|| event.map(|(room, _)| room.clone())),
            text,
            written_at_millis: command.written_at_millis,
            seq: event.map(|(_, seq)| *seq),
            error_reason: command.error.as_ref().map(|error| error.reason.clone()),
            error_message: command.error.as_ref().map(|error| error.message.clone()),
        }
    }
}

impl From<rust::CommandUpdate> for CommandUpdate {
    fn from(update: rust::CommandUpdate) -> Self {
        match update {
            rust::CommandUpdate::Changed(command) => Self::Changed { command: (&*command).into() },
            rust::CommandUpdate::Removed { id } => Self::Removed { id },
            rust::CommandUpdate::Failed { command, .. } => Self::Failed { command: (&*command).into() },
            rust::CommandUpdate::Unreadable { id } => Self::Unreadable { id },
        }
    }
}

impl From<rust::CommandKind> for CommandKind {
    fn from(kind: rust::CommandKind) -> Self {
        match kind {
            rust::CommandKind::Send => Self::Send,
            rust::CommandKind::Edit => Self::Edit,
            rust::CommandKind::Delete => Self::Delete,
            rust::CommandKind::React => Self::React,
            rust::CommandKind::Unreact => Self::Unreact,
            rust::CommandKind::MarkRead => Self::MarkRead,
            rust::CommandKind::AcknowledgeDelivery => Self::AcknowledgeDelivery,
            rust::CommandKind::Hide => Self::Hide,
            rust::CommandKind::Join => Self::Join,
            rust::CommandKind::Leave => Self::Leave,
            rust::CommandKind::Change => Self::Change,
        }
    }
}

impl From<rust::CommandState> for CommandState {
    fn from(state: rust::CommandState) -> Self {
        match state {
            rust::CommandState::Waiting => Self::Waiting,
            rust::CommandState::Sending => Self::Sending,
            rust::CommandState::Confirmed => Self::Confirmed,
            rust::CommandState::Failed => Self::Failed,
        }
    }
}

impl From<rust::Discarded> for Discarded {
    fn from(outcome: rust::Discarded) -> Self {
        match outcome {
            rust::Discarded::Undone => Self::Undone,
            rust::Discarded::MaybeSent => Self::MaybeSent,
            rust::Discarded::Unknown => Self::Unknown,
        }
    }
}
