//! The room as its user sees it: what is confirmed, with the commands that are on their way laid over it.

use std::collections::HashSet;
use std::sync::Arc;

use parlance_proto::v1::client_frame::Operation;

use super::state::Commands;
use crate::command::{Command, CommandError, CommandKind, CommandState};
use crate::request::named_seq;
use crate::state::{Message, Room};

/// Messages at the end of a room among which those on their way are looked for.
const RECENT: usize = 200;

/// A room with the commands that are on their way laid over it, see [`optimistic`].
#[derive(Debug, Clone, PartialEq)]
pub struct Optimistic {
    /// Its messages, those on their way last.
    pub messages: Vec<OptimisticMessage>,
    /// How far one has read.
    pub read_seq: u64,
    /// Unread messages.
    pub unread_count: u64,
    /// Whether it is hidden.
    pub is_hidden: bool,
    /// Whether one is a member.
    pub is_member: bool,
}

/// A message, as far as it has come.
#[derive(Debug, Clone, PartialEq)]
pub struct OptimisticMessage {
    /// The message. One on its way has the seq 0.
    pub message: Message,
    /// Whether it is there.
    pub progress: Progress,
    /// Changes of it that the server has not confirmed, in their order.
    pub pending: Vec<PendingChange>,
}

/// How far a message has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// The server has it.
    Sent,
    /// It is on its way.
    Sending,
    /// It was refused.
    Failed(CommandError),
}

/// A change of a message that the server has not confirmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingChange {
    /// The command's id, to retry or to discard it.
    pub id: String,
    /// What it does.
    pub kind: CommandKind,
    /// Why it was refused, if it was.
    pub error: Option<CommandError>,
    /// Of an edit: the new text, which is shown unless it was refused.
    pub text: Option<String>,
}

/// A room as its user sees it: the confirmed state with the commands that are on their way laid over it, in their
/// order. A refused change leaves the confirmed state, and is marked on its message.
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
                    // One's own message shows the room again, and reads what is before it.
                    (view.is_hidden, view.unread_count) = (false, 0);
                    view.read_seq = view.read_seq.max(room.head_seq());
                }
                // A message's event may arrive before the answer to it.
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

/// A message on its way.
fn echo(command: &Command, user_id: &str) -> Option<OptimisticMessage> {
    let Operation::SendMessage(request) = &command.operation else { return None };
    let message = Message {
        seq: 0,
        sender_id: user_id.to_owned(),
        client_message_id: command.id.clone(),
        text: request.text.clone(),
        at_millis: i64::try_from(command.written_at_millis).unwrap_or(i64::MAX),
        edited_at_millis: None,
        is_deleted: false,
        reply_to_seq: Some(request.reply_to_seq).filter(|seq| *seq != 0),
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
    // Its event is in the message already.
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
                message.edited_at_millis = i64::try_from(command.written_at_millis).ok();
            }
            Operation::DeleteMessage(_) => {
                message.text.clear();
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
