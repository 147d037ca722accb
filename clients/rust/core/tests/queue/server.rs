//! The server's side of the world.

use parlance_client_core::Code;
use parlance_proto::v1;
use parlance_proto::v1::client_frame::Operation;
use parlance_proto::v1::reply::Result as Answer;
use parlance_proto::v1::send_message_request::Target;
use parlance_proto::v1::server_frame::Frame;

use crate::world::{PAGE, REACH, USER, World, number_of, refusal};

impl World {
    pub(super) fn append(&mut self, room: usize, actor: &str, id: &str) -> u64 {
        self.logs[room].push((actor.to_owned(), id.to_owned()));
        let seq = self.logs[room].len() as u64;
        let event = self.event(room, seq);
        if let Some(wire) = self.wire.as_mut().filter(|wire| wire.is_welcomed) {
            wire.push(Frame::Event(event));
        }
        seq
    }

    pub(super) fn event(&self, room: usize, seq: u64) -> v1::Event {
        let (actor_id, request_id) = self.logs[room][seq as usize - 1].clone();
        v1::Event { room_id: format!("r{room}"), seq, actor_id, request_id, ..Default::default() }
    }

    pub(super) fn serve(&mut self) {
        let Some(frame) = self.wire.as_mut().and_then(|wire| wire.to_server.pop_front()) else { return };
        let operation = frame.operation.unwrap();
        if let Operation::Hello(hello) = &operation {
            return self.welcome(hello);
        }
        let is_change = matches!(operation, Operation::SendMessage(_) | Operation::MarkRead(_));
        let refused = if is_change { self.refuse.take() } else { None };
        // Past its deadline it may have been carried out.
        let is_done = refused.is_none_or(|code| code == Code::DeadlineExceeded);
        let answer = if is_done { self.carry_out(operation) } else { Answer::Error(v1::Error::default()) };
        let result = Some(refused.map_or(answer, refusal));
        let reply = v1::Reply { request_id: frame.request_id, result };
        self.wire.as_mut().unwrap().push(Frame::Reply(reply));
    }

    pub(super) fn carry_out(&mut self, operation: Operation) -> Answer {
        match operation {
            Operation::GetUser(_) => Answer::GetUser(v1::GetUserResponse::default()),
            Operation::ListEvents(request) => self.page(&request),
            Operation::SendMessage(message) => self.send(&message),
            Operation::MarkRead(request) => {
                let mark = &mut self.marks[number_of(&request.room_id)];
                *mark = (*mark).max(request.seq);
                Answer::MarkRead(v1::MarkReadResponse::default())
            }
            other => panic!("{other:?}"),
        }
    }

    /// Like a server: a repeat is only found after `after_seq`.
    pub(super) fn send(&mut self, message: &v1::SendMessageRequest) -> Answer {
        let Some(Target::RoomId(room_id)) = &message.target else { panic!() };
        let (room, id) = (number_of(room_id), &message.client_message_id);
        let head = self.logs[room].len() as u64;
        let after = message.after_seq.unwrap_or_default();
        if message.after_seq.is_some() && head - after > REACH {
            let metadata =
                [("room_id".to_owned(), room_id.clone()), ("head_seq".to_owned(), head.to_string())].into();
            let reason = "catch_up_first".to_owned();
            let code = Code::FailedPrecondition.into();
            return Answer::Error(v1::Error { code, reason, metadata, ..Default::default() });
        }
        let own = (USER.to_owned(), id.clone());
        let known = self.logs[room].iter().skip(after as usize).position(|entry| *entry == own);
        let is_repeat = known.is_some();
        let seq = match known {
            Some(place) => after + place as u64 + 1,
            None => self.append(room, USER, id),
        };
        let room_id = room_id.clone();
        Answer::SendMessage(v1::SendMessageResponse { room_id, seq, is_repeat, ..Default::default() })
    }

    pub(super) fn page(&self, request: &v1::ListEventsRequest) -> Answer {
        let room = number_of(&request.room_id);
        let last = request.to_seq.min(request.from_seq + PAGE - 1);
        let events = (request.from_seq..=last).map(|seq| self.event(room, seq)).collect();
        let next_from_seq = if last < request.to_seq { last + 1 } else { 0 };
        let head_seq = self.logs[room].len() as u64;
        Answer::ListEvents(v1::ListEventsResponse { events, next_from_seq, head_seq, ..Default::default() })
    }

    pub(super) fn welcome(&mut self, hello: &v1::Hello) {
        let (mut heads, mut events) = (Vec::new(), Vec::new());
        for (room, log) in self.logs.iter().enumerate() {
            let (room_id, head) = (format!("r{room}"), log.len() as u64);
            let cursor = hello.cursors.iter().find(|cursor| cursor.room_id == room_id);
            // A new process has no cursors, and starts at the end.
            let from = cursor.map_or(head, |cursor| cursor.seq);
            events.extend((from + 1..=head).map(|seq| self.event(room, seq)));
            heads.push(v1::Cursor { room_id, seq: head, epoch: 1 });
        }
        let wire = self.wire.as_mut().unwrap();
        wire.is_welcomed = true;
        wire.push(Frame::Welcome(v1::Welcome { user_id: USER.to_owned(), heads, ..Default::default() }));
        for event in events {
            wire.push(Frame::Event(event));
        }
    }
}
