//! Operations that the script sends through clients.

use std::collections::BTreeMap;
use std::time::Duration;

use parlance_core::{RoomId, UserId};
use parlance_proto::v1;
use v1::client_frame::Operation;
use v1::send_message_request::Target;

fn id(number: u64) -> String {
    format!("q{number}")
}

pub(crate) fn send(room: &RoomId, number: u64, text: String) -> Operation {
    message(Target::RoomId(room.as_str().to_owned()), number, text)
}

pub(crate) fn send_to(user: &UserId, number: u64, text: String) -> Operation {
    message(Target::ToUser(user.as_str().to_owned()), number, text)
}

fn message(target: Target, number: u64, text: String) -> Operation {
    Operation::SendMessage(v1::SendMessageRequest {
        target: Some(target),
        client_message_id: id(number),
        text,
        ..Default::default()
    })
}

pub(crate) fn create(
    kind: v1::RoomKind,
    visibility: v1::HistoryVisibility,
    members: &[UserId],
    number: u64,
) -> Operation {
    let settings = v1::RoomSettings { history_visibility: visibility.into(), ..Default::default() };
    Operation::CreateRoom(v1::CreateRoomRequest {
        kind: kind.into(),
        settings: Some(settings),
        member_ids: members.iter().map(|user| user.as_str().to_owned()).collect(),
        request_id: id(number),
        ..Default::default()
    })
}

pub(crate) fn edit(room: &RoomId, seq: u64, number: u64) -> Operation {
    Operation::EditMessage(v1::EditMessageRequest {
        room_id: room.as_str().to_owned(),
        seq,
        text: format!("edited by q{number}"),
        request_id: id(number),
        ..Default::default()
    })
}

pub(crate) fn delete(room: &RoomId, seq: u64, number: u64) -> Operation {
    Operation::DeleteMessage(v1::DeleteMessageRequest {
        room_id: room.as_str().to_owned(),
        seq,
        request_id: id(number),
        ..Default::default()
    })
}

pub(crate) fn react(room: &RoomId, seq: u64, number: u64) -> Operation {
    Operation::AddReaction(v1::AddReactionRequest {
        room_id: room.as_str().to_owned(),
        seq,
        emoji: "👍".into(),
        request_id: id(number),
        ..Default::default()
    })
}

pub(crate) fn add(room: &RoomId, users: &[UserId], number: u64) -> Operation {
    Operation::AddMembers(v1::AddMembersRequest {
        room_id: room.as_str().to_owned(),
        user_ids: users.iter().map(|user| user.as_str().to_owned()).collect(),
        request_id: id(number),
        ..Default::default()
    })
}

pub(crate) fn remove(room: &RoomId, user: &UserId, number: u64) -> Operation {
    Operation::RemoveMember(v1::RemoveMemberRequest {
        room_id: room.as_str().to_owned(),
        user_id: user.as_str().to_owned(),
        request_id: id(number),
        ..Default::default()
    })
}

pub(crate) fn mute(room: &RoomId, user: &UserId, lasts: Option<Duration>, number: u64) -> Operation {
    Operation::MuteMember(v1::MuteMemberRequest {
        room_id: room.as_str().to_owned(),
        user_id: user.as_str().to_owned(),
        duration: lasts.and_then(|lasts| lasts.try_into().ok()),
        request_id: id(number),
        ..Default::default()
    })
}

pub(crate) fn unmute(room: &RoomId, user: &UserId, number: u64) -> Operation {
    Operation::UnmuteMember(v1::UnmuteMemberRequest {
        room_id: room.as_str().to_owned(),
        user_id: user.as_str().to_owned(),
        request_id: id(number),
        ..Default::default()
    })
}

pub(crate) fn slow_mode(room: &RoomId, seconds: u32, number: u64) -> Operation {
    Operation::UpdateRoom(v1::UpdateRoomRequest {
        room_id: room.as_str().to_owned(),
        slow_mode_seconds: Some(seconds),
        request_id: id(number),
        ..Default::default()
    })
}

pub(crate) fn join(room: &RoomId, number: u64) -> Operation {
    let room_id = room.as_str().to_owned();
    Operation::JoinRoom(v1::JoinRoomRequest { room_id, request_id: id(number), ..Default::default() })
}

pub(crate) fn leave(room: &RoomId, number: u64) -> Operation {
    let room_id = room.as_str().to_owned();
    Operation::LeaveRoom(v1::LeaveRoomRequest { room_id, request_id: id(number), ..Default::default() })
}

pub(crate) fn mark_read(room: &RoomId, seq: u64, number: u64) -> Operation {
    let room_id = room.as_str().to_owned();
    Operation::MarkRead(v1::MarkReadRequest { room_id, seq, request_id: id(number) })
}

pub(crate) fn acknowledge(room: &RoomId, seq: u64, number: u64) -> Operation {
    let room_id = room.as_str().to_owned();
    Operation::AcknowledgeDelivery(v1::AcknowledgeDeliveryRequest { room_id, seq, request_id: id(number) })
}

pub(crate) fn events(room: &RoomId, from: u64) -> Operation {
    let room_id = room.as_str().to_owned();
    Operation::ListEvents(v1::ListEventsRequest { room_id, from_seq: from, to_seq: 0, page_size: 200 })
}

pub(crate) fn messages(room: &RoomId, before: u64, after: u64, size: u32) -> Operation {
    let room_id = room.as_str().to_owned();
    Operation::ListMessages(v1::ListMessagesRequest {
        room_id,
        before_seq: before,
        after_seq: (after > 0).then_some(after),
        page_size: size,
    })
}

pub(crate) fn message_at(room: &RoomId, seq: u64) -> Operation {
    Operation::GetMessage(v1::GetMessageRequest { room_id: room.as_str().to_owned(), seq })
}

pub(crate) fn inbox() -> Operation {
    Operation::ListInbox(v1::ListInboxRequest { page_size: 200, ..Default::default() })
}

/// Sets `after_seq` from the cursors of the client.
pub(crate) fn set_after(operation: &mut Operation, cursors: &BTreeMap<RoomId, u64>) {
    let known = |room: &str| RoomId::parse(room).ok().and_then(|room| cursors.get(&room).copied());
    match operation {
        Operation::SendMessage(request) => {
            if let Some(v1::send_message_request::Target::RoomId(room)) = &request.target {
                request.after_seq = known(room);
            }
        }
        Operation::EditMessage(request) => request.after_seq = known(&request.room_id),
        Operation::DeleteMessage(request) => request.after_seq = known(&request.room_id),
        Operation::AddReaction(request) => request.after_seq = known(&request.room_id),
        Operation::AddMembers(request) => request.after_seq = known(&request.room_id),
        Operation::RemoveMember(request) => request.after_seq = known(&request.room_id),
        Operation::MuteMember(request) => request.after_seq = known(&request.room_id),
        Operation::UnmuteMember(request) => request.after_seq = known(&request.room_id),
        Operation::UpdateRoom(request) => request.after_seq = known(&request.room_id),
        Operation::JoinRoom(request) => request.after_seq = known(&request.room_id),
        Operation::LeaveRoom(request) => request.after_seq = known(&request.room_id),
        _ => {}
    }
}
