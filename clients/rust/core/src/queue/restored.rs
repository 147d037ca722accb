//! Handles commands whose room was restored from a backup after they were issued. The backup does not contain them, and
//! seqs may refer to other events now.

use parlance_proto::v1::client_frame::Operation;
use parlance_proto::v1::send_message_request::Target;

use crate::command::{Command, CommandKind, CommandState};
use crate::request::{named_seq, repeatable, room_of};
use crate::rooms::Rooms;
use crate::{Code, Error, Failure};

/// The reason of a command that failed because it refers to an event from before its room was restored.
pub const ROOM_RESTORED: &str = "room_restored";

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Sent as if for the first time.
    Send,
    /// It refers to an event, and might change another one.
    Fail,
    /// It refers to an event, and can be dropped silently.
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

/// The target room of a command, if known.
fn place<'a>(command: &'a Command, rooms: &'a Rooms) -> Option<&'a str> {
    command.room_id().or_else(|| rooms.direct(command.to_user()?))
}

/// Whether a command's room was restored since the command was issued or last sent.
pub(super) fn is_outdated(command: &Command, rooms: &Rooms) -> bool {
    let now = place(command, rooms).map_or(0, |room| rooms.server_epoch(room));
    command.epoch != 0 && now != 0 && now != command.epoch
}

/// The command as it is sent, with the known state of its room: fixed for all later attempts, including after a
/// restart. `is_new`: it was never sent before by any process, and the result is stored before it is sent. Only then
/// may `after_seq` be raised or set, since otherwise the room may contain the command up to the current head.
pub(super) fn claimed(command: &Command, is_new: bool, rooms: &Rooms) -> Command {
    let is_outdated = is_outdated(command, rooms);
    let room = place(command, rooms);
    let head = room.and_then(|room| rooms.head(room));
    let epoch = room.map_or(0, |room| rooms.server_epoch(room));
    let mut claimed = command.clone();
    if let Some(after_seq) = repeatable(&mut claimed.operation).and_then(|named| named.after_seq) {
        *after_seq = match (*after_seq, head) {
            // It was never sent in the current epoch: no existing event can be it.
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

/// Sets the `after_seq` known when a command is issued, which is stored with it in case the store does not answer when
/// it is sent.
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
