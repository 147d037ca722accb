use parlance_core::{Body, RoomId};
use parlance_proto::v1;
use v1::client_frame::Operation;
use v1::reply::Result as Reply;

use super::Truth;
use crate::history::{Asked, History};

/// Acknowledged changes exist, once, at the acknowledged position; changes rejected at the first attempt do not; and
/// pages contain what their readers may see.
pub(super) fn check(truth: &Truth, history: &History, violations: &mut Vec<String>) {
    for (index, asked) in history.asked.iter().enumerate() {
        let mut complain =
            |what: String| violations.push(format!("operation {index} of {}: {what}", asked.user));
        match asked.answer.as_ref().map(|answer| &answer.result) {
            Some(Reply::SendMessage(sent)) => {
                let id = match &asked.operation {
                    Operation::SendMessage(request) => &request.client_message_id,
                    _ => continue,
                };
                let event = event_at(truth, &sent.room_id, sent.seq);
                let fits = event.is_some_and(|event| {
                    let is_message = matches!(event.body, Body::Message(_));
                    is_message && event.actor == asked.user && event.request.as_str() == id
                });
                if !fits {
                    complain(format!("{id} was acknowledged at {} and is not there", sent.seq));
                }
            }
            Some(Reply::Error(error)) => check_refusal(truth, asked, error, &mut complain),
            Some(Reply::ListEvents(page)) => check_page(truth, asked, page, &mut complain),
            Some(reply) => check_outcome(truth, asked, reply, &mut complain),
            None => {}
        }
        if asked.retries && asked.error().is_some_and(|error| crate::history::is_passing(&error.reason)) {
            complain("was never answered for good".to_owned());
        }
        if asked.retries && asked.answer.is_none() {
            complain(format!("was never answered; asked {} times", asked.attempts));
        }
    }
}

fn event_at<'a>(truth: &'a Truth, room: &str, seq: u64) -> Option<&'a parlance_core::Event> {
    truth.rooms.get(&RoomId::parse(room).ok()?)?.events.get(&seq)
}

fn check_outcome(truth: &Truth, asked: &Asked, reply: &Reply, complain: &mut impl FnMut(String)) {
    let outcome = match reply {
        Reply::EditMessage(answer) => &answer.outcome,
        Reply::DeleteMessage(answer) => &answer.outcome,
        Reply::AddReaction(answer) => &answer.outcome,
        Reply::AddMembers(answer) => &answer.outcome,
        Reply::RemoveMember(answer) => &answer.outcome,
        Reply::MuteMember(answer) => &answer.outcome,
        Reply::UnmuteMember(answer) => &answer.outcome,
        Reply::UpdateRoom(answer) => &answer.outcome,
        Reply::JoinRoom(answer) => &answer.outcome,
        Reply::LeaveRoom(answer) => &answer.outcome,
        _ => return,
    };
    let (Some(outcome), Some((room, id))) = (outcome, request_of(&asked.operation)) else { return };
    // 0: there was nothing to change.
    if outcome.seq == 0 {
        return;
    }
    let event = event_at(truth, room, outcome.seq);
    if event.is_none_or(|event| event.request.as_str() != id || event.actor != asked.user) {
        complain(format!("{id} was acknowledged at {} and is not there", outcome.seq));
    }
}

/// The room and the id of a change.
fn request_of(operation: &Operation) -> Option<(&str, &str)> {
    Some(match operation {
        Operation::SendMessage(v1::SendMessageRequest {
            target: Some(v1::send_message_request::Target::RoomId(room)),
            client_message_id,
            ..
        }) => (room, client_message_id),
        Operation::EditMessage(request) => (&request.room_id, &request.request_id),
        Operation::DeleteMessage(request) => (&request.room_id, &request.request_id),
        Operation::AddReaction(request) => (&request.room_id, &request.request_id),
        Operation::AddMembers(request) => (&request.room_id, &request.request_id),
        Operation::RemoveMember(request) => (&request.room_id, &request.request_id),
        Operation::MuteMember(request) => (&request.room_id, &request.request_id),
        Operation::UnmuteMember(request) => (&request.room_id, &request.request_id),
        Operation::UpdateRoom(request) => (&request.room_id, &request.request_id),
        Operation::JoinRoom(request) => (&request.room_id, &request.request_id),
        Operation::LeaveRoom(request) => (&request.room_id, &request.request_id),
        _ => return None,
    })
}

fn check_refusal(truth: &Truth, asked: &Asked, error: &v1::Error, complain: &mut impl FnMut(String)) {
    let Some((room, id)) = request_of(&asked.operation) else { return };
    if ["cursor_ahead", "request_id_reused", "catch_up_first", "outcome_unknown"]
        .contains(&error.reason.as_str())
    {
        // Clients only send seqs they were given, and use no id twice.
        if !matches!(asked.operation, Operation::MarkRead(_) | Operation::AcknowledgeDelivery(_)) {
            complain(format!("{id} was refused: {}", error.reason));
        }
    }
    let room = RoomId::parse(room).ok().and_then(|room| truth.rooms.get(&room));
    let is_there = room.is_some_and(|room| {
        room.events.values().any(|event| event.actor == asked.user && event.request.as_str() == id)
    });
    if asked.attempts == 1 && is_there && !crate::history::is_passing(&error.reason) {
        complain(format!("{id} was refused and is there: {}", error.reason));
    }
}

fn check_page(
    truth: &Truth,
    asked: &Asked,
    page: &v1::ListEventsResponse,
    complain: &mut impl FnMut(String),
) {
    for event in &page.events {
        let Some(room) = RoomId::parse(&event.room_id).ok().and_then(|room| truth.rooms.get(&room)) else {
            complain(format!("a page of {}, which is not there", event.room_id));
            return;
        };
        if let Some(difference) = room.differs(&asked.user, event) {
            complain(format!("on a page: {difference}"));
        }
        if event.seq > page.head_seq || !room.may_see(&asked.user, event.seq) {
            complain(format!("{} of {} is on a page, and not theirs to see", event.seq, event.room_id));
        }
    }
    let seqs: Vec<u64> = page.events.iter().map(|event| event.seq).collect();
    if seqs.windows(2).any(|pair| pair[0] >= pair[1]) {
        complain(format!("a page in no order: {seqs:?}"));
    }
}
