//! What becomes of commands whose room was restored from a backup since they were issued. The backup does not
//! hold them, and seqs may mean other events now.

use parlance_proto::v1::client_frame::Operation;
use parlance_proto::v1::send_message_request::Target;

use crate::command::{Command, CommandKind, CommandState};
use crate::request::{named_seq, repeatable, room_of};
use crate::rooms::Rooms;
use crate::{Code, Error, Failure};

/// The reason of a command that failed since it names an event of before its room was restored.
pub const ROOM_RESTORED: &str = "room_restored";

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It goes out as if for the first time.
    Send,
    /// It names an event, and might change another one.
    Fail,
    /// It names an event, and nobody misses it.
    Drop,
}

pub(super) fn fate_of(command: &Command) -> Fate {
    let is_mark = matches!(command.kind(), CommandKind::MarkRead | CommandKind::AcknowledgeDelivery);
    match command.state {
        CommandState::Confirmed => Fate::Drop,
        _ if named_seq(&command.operation).is_none() => Fate::Send,
        CommandState::Failed => Fate::Drop,
        _ if is_mark => Fate::Drop,
        _ => Fate::Fail,
    }
}

pub(super) fn room_restored(command: &Command) -> Error {
    let message = "the room was restored from a backup: what this would change may be something else now";
    let mut failure = Failure::new(Code::FailedPrecondition, ROOM_RESTORED, message);
    failure.metadata.insert("room_id".to_owned(), command.room_id().unwrap_or_default().to_owned());
    failure.into()
}

/// The room that a command goes to, as far as it is known.
fn place<'a>(command: &'a Command, rooms: &'a Rooms) -> Option<&'a str> {
    command.room_id().or_else(|| rooms.direct(command.to_user()?))
}

/// Whether the room of a command was restored since it was issued, or sent last.
pub(super) fn is_outdated(command: &Command, rooms: &Rooms) -> bool {
    let now = place(command, rooms).map_or(0, |room| rooms.server_epoch(room));
    command.epoch != 0 && now != 0 && now != command.epoch
}

/// The command as it goes out, with what is known of its room: whoever sends it again, now or after a restart, says
/// the same. `is_new`: it was never sent before, in no process, and what is made here is stored before it is sent. Only
/// then `after_seq` may be raised, or given at all: the room may hold the command up to the head of now otherwise.
pub(super) fn claimed(command: &Command, is_new: bool, rooms: &Rooms) -> Command {
    let is_outdated = is_outdated(command, rooms);
    let room = place(command, rooms);
    let head = room.and_then(|room| rooms.head(room));
    let epoch = room.map_or(0, |room| rooms.server_epoch(room));
    let mut claimed = command.clone();
    if let Some(after_seq) = repeatable(&mut claimed.operation).and_then(|named| named.after_seq) {
        *after_seq = match (*after_seq, head) {
            // In the epoch of now it was never sent before: whatever there is cannot be it.
            (Some(after), Some(head)) if is_outdated => Some(after.min(head)),
            (None, head) if is_outdated => head,
            (after, head) if is_new => after.max(head),
            (after, _) => after,
        };
    }
    if is_outdated && let Operation::SendMessage(message) = &mut claimed.operation {
        // That may be another message now.
        message.reply_to_seq = 0;
    }
    if epoch != 0 {
        claimed.epoch = epoch;
    }
    claimed.state = CommandState::Sending;
    claimed.is_claimed = true;
    claimed
}

/// What is known of the room of a command when it is issued: the `after_seq` that is stored with it, should the store
/// not answer when it goes out.
pub(super) fn stamp(operation: &mut Operation, rooms: &Rooms) {
    let head = match &*operation {
        Operation::SendMessage(request) => match &request.target {
            Some(Target::ToUser(user)) => rooms.direct(user).and_then(|room| rooms.head(room)),
            _ => room_of(operation).and_then(|room| rooms.head(room)),
        },
        _ => room_of(operation).and_then(|room| rooms.head(room)),
    };
    set_after_seq(operation, |after| after.or(head));
}

pub(super) fn after_seq(operation: &mut Operation) -> Option<u64> {
    repeatable(operation).and_then(|named| named.after_seq).and_then(|after| *after)
}

pub(super) fn set_after_seq(operation: &mut Operation, next: impl FnOnce(Option<u64>) -> Option<u64>) {
    if let Some(after) = repeatable(operation).and_then(|named| named.after_seq) {
        *after = next(*after);
    }
}
