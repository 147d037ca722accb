//! The room as seen by its user: the confirmed state plus pending commands.

use std::collections::HashSet;
use std::sync::Arc;

use parlance_proto::v1;
use parlance_proto::v1::client_frame::Operation;
use prost_types::Struct;

use super::state::Commands;
use crate::command::{Command, CommandError, CommandKind, CommandState};
use crate::request::named_seq;
use crate::state::{Message, Room};

/// Number of messages at the end of a room among which pending ones are searched for.
const RECENT: usize = 200;

/// A room plus pending commands, see [`optimistic`].
#[derive(Debug, Clone, PartialEq)]
pub struct Optimistic {
    /// Its messages, pending ones last.
    pub messages: Vec<OptimisticMessage>,
    /// The user's read position.
    pub read_seq: u64,
    /// Unread messages.
    pub unread_count: u64,
    /// Whether it is hidden.
    pub is_hidden: bool,
    /// Whether the user is a member.
    pub is_member: bool,
}

/// A message with its progress.
#[derive(Debug, Clone, PartialEq)]
pub struct OptimisticMessage {
    /// The message. A pending one has the seq 0.
    pub message: Message,
    /// Whether it was stored.
    pub progress: Progress,
    /// Changes that are not confirmed yet, in order.
    pub pending: Vec<PendingChange>,
}

/// The progress of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Stored by the server.
    Sent,
    /// In flight.
    Sending,
    /// Refused.
    Failed(CommandError),
}

/// A change of a message that is not confirmed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingChange {
    /// The command's id, for retrying or discarding it.
    pub id: String,
    /// The kind of the command.
    pub kind: CommandKind,
    /// Why it was refused, if it was.
    pub error: Option<CommandError>,
    /// The new text of an edit, which is shown unless it was refused.
    pub text: Option<String>,
}

/// Returns a room as seen by its user: the confirmed state with pending commands applied in order. A refused
/// change leaves the confirmed state, and is marked on its message.
pub fn optimistic(room: &Room, user_id: &str, commands: &Commands) -> Optimistic {
    let is_here = |command: &&Arc<Command>| match command.room_id() {
        Some(room_id) => room_id == room.room_id(),
        None => command.to_user().is_some_and(|user| room.peer_id() == Some(user)),
    };
    let own: Vec<&Arc<Command>> = commands.values().filter(is_here).collect();
    let plain = |message: &Message| OptimisticMessage {
        message: message.clone(),
        progress: Progress::Sent,
        pending: Vec::new(),
    };
    let mut view = Optimistic {
        messages: room.messages().map(plain).collect(),
        read_seq: room.read_seq(),
        unread_count: room.unread_count(),
        is_hidden: room.is_hidden(),
        is_member: room.is_member(),
    };
    let recent = view.messages.iter().rev().take(RECENT);
    let own_recent = recent.filter(|it| it.message.sender_id == user_id);
    let arrived: HashSet<String> = own_recent.map(|it| it.message.client_message_id.clone()).collect();
    for command in own {
        match command.kind() {
            CommandKind::Send => {
                if command.is_pending() {
                    // The user's own message unhides the room, and marks everything before it as read.
                    (view.is_hidden, view.unread_count) = (false, 0);
                    view.read_seq = view.read_seq.max(room.head_seq());
                }
                // A message's event may arrive before its answer.
                if room.is_open() && !arrived.contains(&command.id) {
                    view.messages.extend(echo(command, user_id));
                }
            }
            CommandKind::Edit | CommandKind::Delete | CommandKind::React | CommandKind::Unreact => {
                change(&mut view.messages, command, user_id);
            }
            _ if command.state == CommandState::Failed => {}
            _ => change_room(&mut view, room, command, user_id),
        }
    }
    view
}

/// A pending message.
fn echo(command: &Command, user_id: &str) -> Option<OptimisticMessage> {
    let Operation::SendMessage(request) = &command.operation else { return None };
    let message = Message {
        seq: 0,
        sender_id: user_id.to_owned(),
        client_message_id: command.id.clone(),
        kind: request.kind.clone(),
        text: request.text.clone(),
        data: request.data.clone(),
        at_millis: i64::try_from(command.written_at_millis).unwrap_or(i64::MAX),
        edited_at_millis: None,
        is_deleted: false,
        reply_to_seq: Some(request.reply_to_seq).filter(|seq| *seq != 0),
        mentions_all: request.mention_all,
        reactions: Vec::new(),
        changed_seq: 0,
    };
    let progress = match &command.error {
        Some(error) if command.state == CommandState::Failed => Progress::Failed(error.clone()),
        _ => Progress::Sending,
    };
    Some(OptimisticMessage { message, progress, pending: Vec::new() })
}

fn change(messages: &mut [OptimisticMessage], command: &Command, user_id: &str) {
    let Some(seq) = named_seq(&command.operation) else { return };
    let Some(shown) = messages.iter_mut().find(|shown| shown.message.seq == seq) else { return };
    let message = &mut shown.message;
    let is_confirmed = command.state == CommandState::Confirmed;
    // Whether its event is already part of the message.
    let is_in = command.event.as_ref().is_some_and(|(_, seq)| message.changed_seq >= *seq);
    if message.is_deleted || (is_confirmed && is_in) {
        return;
    }
    let text = match &command.operation {
        Operation::EditMessage(request) => Some(request.text.clone()),
        _ => None,
    };
    if command.state != CommandState::Failed {
        match &command.operation {
            Operation::EditMessage(request) => {
                message.text.clone_from(&request.text);
                change_data(&mut message.data, request);
                message.edited_at_millis = i64::try_from(command.written_at_millis).ok();
            }
            Operation::DeleteMessage(_) => {
                message.text.clear();
                message.data = None;
                message.reactions.clear();
                message.is_deleted = true;
            }
            Operation::AddReaction(request) => message.react(&request.emoji, user_id),
            Operation::RemoveReaction(request) => message.unreact(&request.emoji, user_id),
            _ => {}
        }
    }
    if !is_confirmed {
        let (id, kind, error) = (command.id.clone(), command.kind(), command.error.clone());
        shown.pending.push(PendingChange { id, kind, error, text });
    }
}

/// Sets and removes the keys of an edit.
fn change_data(data: &mut Option<Struct>, edit: &v1::EditMessageRequest) {
    if let Some(set) = &edit.data {
        data.get_or_insert_default().fields.extend(set.fields.clone());
    }
    if let Some(data) = data {
        data.fields.retain(|key, _| !edit.unset_data.contains(key));
    }
}

fn change_room(view: &mut Optimistic, room: &Room, command: &Command, user_id: &str) {
    match &command.operation {
        Operation::MarkRead(request) if request.seq > view.read_seq => {
            let newly_read = room
                .messages()
                .filter(|it| it.seq > view.read_seq && it.seq <= request.seq)
                .filter(|it| !it.is_deleted)
                .count() as u64;
            let is_all = request.seq >= room.head_seq();
            view.unread_count = if is_all { 0 } else { view.unread_count.saturating_sub(newly_read) };
            view.read_seq = request.seq;
        }
        Operation::SetRoomHidden(request) => view.is_hidden = request.hidden,
        Operation::JoinRoom(_) => view.is_member = true,
        Operation::LeaveRoom(_) => view.is_member = false,
        Operation::RemoveMember(request) if request.user_id == user_id => view.is_member = false,
        _ => {}
    }
}
