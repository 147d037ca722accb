//! The server's answers, and their consequences.

use std::time::Duration;

use parlance_proto::v1;
use parlance_proto::v1::client_frame::Operation;
use parlance_proto::v1::reply::Result as Reply;
use tokio::time::Instant;
use tonic::Code;

use super::super::history::{Answer, OpKind, Outcome, PageRecord, print};
use super::{Client, Counts, Pending, What};

/// Acknowledged operations remembered for repeating them.
const REMEMBERED: usize = 64;

/// Whether a retry may succeed.
pub(super) fn is_passing(error: &v1::Error) -> bool {
    match Code::from_i32(error.code) {
        Code::Unavailable | Code::DeadlineExceeded | Code::Aborted => true,
        Code::ResourceExhausted => error.retry_delay.is_some(),
        _ => false,
    }
}

impl Client {
    pub(super) fn replied(&mut self, reply: v1::Reply) {
        let Ok(frame) = reply.request_id.parse::<u64>() else { return };
        let Some(result) = reply.result else { return };
        let Some(pending) = self.pending.remove(&frame) else { return };
        if let Reply::Error(error) = &result {
            return self.refused(frame, pending, error);
        }
        match pending.what {
            What::Op(op) => self.acknowledged(op, pending.operation, &result),
            What::Repeat(op) => {
                let room = self.history.ops[op].room;
                let answer = self.read(room, &result);
                self.history.ops[op].repeats.extend(answer);
            }
            What::Page { room, asked, from } => {
                let (head, messages, events) = match &result {
                    Reply::ListEvents(page) => (page.head_seq, false, &page.events),
                    Reply::ListMessages(page) => (page.head_seq, true, &page.messages),
                    _ => return,
                };
                let events = events.iter().map(|event| (event.seq as u32, print(event))).collect();
                let answered = self.stage.now();
                self.history.pages.push(PageRecord { room, asked, answered, head, from, messages, events });
            }
            What::Typing => {}
        }
    }

    fn acknowledged(&mut self, op: usize, operation: Operation, result: &Reply) {
        let (room, kind) = (self.history.ops[op].room, self.history.ops[op].kind);
        let Some(answer) = self.read(room, result) else { return };
        self.history.ops[op].outcome = Outcome::Done(answer);
        if kind == OpKind::Send {
            Counts::add(&self.stage.counts.acknowledged);
            if let Some(known) = self.rooms.of_index(room) {
                known.acknowledged(answer.seq.into());
            }
        }
        if kind.is_logged() {
            if self.answered.len() == REMEMBERED {
                self.answered.pop_front();
            }
            self.answered.push_back((op, operation));
        }
    }

    fn read(&self, room: u16, result: &Reply) -> Option<Answer> {
        let at = self.stage.now();
        let meant = &self.stage.world.rooms[usize::from(room)].id;
        let outcome = |outcome: &Option<v1::Outcome>| {
            let outcome = outcome.as_ref()?;
            Some(Answer {
                at,
                seq: outcome.seq as u32,
                message_count: 0,
                is_repeat: outcome.is_repeat,
                right_room: true,
            })
        };
        let mark = |seq: u64| {
            Some(Answer { at, seq: seq as u32, message_count: 0, is_repeat: false, right_room: true })
        };
        match result {
            Reply::SendMessage(sent) => Some(Answer {
                at,
                seq: sent.seq as u32,
                message_count: sent.message_count as u32,
                is_repeat: sent.is_repeat,
                right_room: sent.room_id == *meant,
            }),
            Reply::EditMessage(response) => outcome(&response.outcome),
            Reply::DeleteMessage(response) => outcome(&response.outcome),
            Reply::AddReaction(response) => outcome(&response.outcome),
            Reply::RemoveReaction(response) => outcome(&response.outcome),
            Reply::JoinRoom(response) => outcome(&response.outcome),
            Reply::LeaveRoom(response) => outcome(&response.outcome),
            Reply::AddMembers(response) => outcome(&response.outcome),
            Reply::RemoveMember(response) => outcome(&response.outcome),
            Reply::MarkRead(response) => mark(response.read.as_ref()?.seq),
            Reply::AcknowledgeDelivery(response) => mark(response.delivered_seq),
            _ => None,
        }
    }

    fn refused(&mut self, frame: u64, pending: Pending, error: &v1::Error) {
        if error.reason == "catch_up_first" {
            return self.catch_up_first(frame, pending);
        }
        if is_passing(error) {
            let asked = error.retry_delay.and_then(|delay| Duration::try_from(delay).ok());
            let delay = asked.unwrap_or(Duration::from_millis(100));
            let due = Instant::now() + delay + Duration::from_millis(self.chance.below(100));
            self.pending.insert(frame, pending);
            self.delayed.insert((due, frame));
            return;
        }
        let at = self.stage.now();
        match pending.what {
            What::Op(op) => {
                self.history.ops[op].outcome = Outcome::Refused { reason: error.reason.clone(), at };
            }
            // An acknowledgement is final.
            What::Repeat(op) => self.history.ops[op].repeats.push(Answer {
                at,
                seq: 0,
                message_count: 0,
                is_repeat: false,
                right_room: false,
            }),
            What::Page { .. } | What::Typing => {}
        }
    }

    /// Too many events since the operation was first sent for the server to search. The
    /// client has seen them: if it has seen all of them, and its own was not among them,
    /// it retries from there; otherwise the outcome stays unknown.
    fn catch_up_first(&mut self, frame: u64, mut pending: Pending) {
        let What::Op(op) = pending.what else { return };
        let record = &mut self.history.ops[op];
        let cursor = self.rooms.of_index(record.room).and_then(|known| known.cursor);
        match (cursor, after_seq(&mut pending.operation)) {
            (Some(cursor), Some(after)) if !pending.blind && !pending.seen && cursor > *after => {
                *after = cursor;
                self.pending.insert(frame, pending);
                self.delayed.insert((Instant::now() + Duration::from_millis(100), frame));
            }
            (Some(cursor), Some(after)) if !pending.blind && !pending.seen && cursor == *after => {
                // The events to examine have not arrived yet.
                self.pending.insert(frame, pending);
                self.delayed.insert((Instant::now() + Duration::from_millis(300), frame));
            }
            _ => record.outcome = Outcome::Unknown,
        }
    }
}

/// The field in which an operation names the head known to the client.
fn after_seq(operation: &mut Operation) -> Option<&mut u64> {
    match operation {
        Operation::SendMessage(request) => request.after_seq.as_mut(),
        Operation::EditMessage(request) => request.after_seq.as_mut(),
        Operation::DeleteMessage(request) => request.after_seq.as_mut(),
        Operation::AddReaction(request) => request.after_seq.as_mut(),
        Operation::RemoveReaction(request) => request.after_seq.as_mut(),
        Operation::AddMembers(request) => request.after_seq.as_mut(),
        Operation::RemoveMember(request) => request.after_seq.as_mut(),
        Operation::JoinRoom(request) => request.after_seq.as_mut(),
        Operation::LeaveRoom(request) => request.after_seq.as_mut(),
        _ => None,
    }
}
