//! The server's side of the world.

use parlance_client_core::Code;
use parlance_proto::v1;
use parlance_proto::v1::client_frame::Operation;
use parlance_proto::v1::reply::Result as Answer;
use parlance_proto::v1::send_message_request::Target;
use parlance_proto::v1::server_frame::Frame;

use crate::world::{PAGE, REACH, USER, World, failure, room};

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
        let Some(frame) =
            self.wire.as_mut().filter(|wire| !wire.is_over).and_then(|wire| wire.to_server.pop_front())
        else {
            return;
        };
        let request_id = frame.request_id;
        let result = match frame.operation.unwrap() {
            Operation::Hello(hello) => return self.welcome(&hello),
            Operation::GetUser(_) => Answer::GetUser(v1::GetUserResponse::default()),
            Operation::ListEvents(request) => self.page(&request),
            Operation::SendMessage(message) => match self.refuse.take() {
                Some(code) => {
                    self.has_refused = true;
                    // Past its deadline it may have been carried out.
                    if code == Code::DeadlineExceeded {
                        self.send(&message);
                    }
                    Answer::Error(failure(code))
                }
                None => self.send(&message),
            },
            other => panic!("{other:?}"),
        };
        let reply = v1::Reply { request_id, result: Some(result) };
        self.wire.as_mut().unwrap().push(Frame::Reply(reply));
    }

    pub(super) fn send(&mut self, message: &v1::SendMessageRequest) -> Answer {
        let Some(Target::RoomId(room_id)) = &message.target else { panic!() };
        let (room, id) = (room(room_id), &message.client_message_id);
        // Unchanged on every attempt; `after_seq` only moves after the room was paged.
        let first = self.ids.entry(message.text.parse().unwrap()).or_insert_with(|| message.clone());
        assert!(first.client_message_id == *id && first.after_seq <= message.after_seq);
        let head = self.logs[room].len();
        if message.after_seq.is_some_and(|after| head - after as usize > REACH) {
            self.has_refused = true;
            let metadata =
                [("room_id".to_owned(), room_id.clone()), ("head_seq".to_owned(), head.to_string())].into();
            let reason = "catch_up_first".to_owned();
            let code = Code::FailedPrecondition.into();
            return Answer::Error(v1::Error { code, reason, metadata, ..Default::default() });
        }
        let own = (USER.to_owned(), id.clone());
        let known = self.logs[room].iter().position(|entry| *entry == own);
        let seq = match known {
            Some(place) => place as u64 + 1,
            None => self.append(room, USER, id),
        };
        let is_repeat = known.is_some();
        Answer::SendMessage(v1::SendMessageResponse {
            room_id: room_id.clone(),
            seq,
            is_repeat,
            ..Default::default()
        })
    }

    pub(super) fn page(&self, request: &v1::ListEventsRequest) -> Answer {
        let room = room(&request.room_id);
        let last = request.to_seq.min(request.from_seq + PAGE as u64 - 1);
        let events = (request.from_seq..=last).map(|seq| self.event(room, seq)).collect();
        let next_from_seq = if last < request.to_seq { last + 1 } else { 0 };
        let head_seq = self.logs[room].len() as u64;
        Answer::ListEvents(v1::ListEventsResponse { events, next_from_seq, head_seq, ..Default::default() })
    }

    pub(super) fn welcome(&mut self, hello: &v1::Hello) {
        let mut frames = Vec::new();
        let mut heads = Vec::new();
        for (room, log) in self.logs.iter().enumerate() {
            let head = log.len() as u64;
            let room_id = format!("r{room}");
            heads.push(v1::Cursor { room_id: room_id.clone(), seq: head, epoch: 1 });
            let cursor = hello.cursors.iter().find(|cursor| cursor.room_id == room_id).map_or(0, |it| it.seq);
            // Delivered events are not requested again, unless a hello was refused because of its size.
            assert!(cursor == self.have[room] || cursor == 0 && self.is_hello_shortened);
            let mut from = cursor + 1;
            if head - cursor > REACH as u64 {
                from = head - 1;
                let reason = v1::GapReason::TooLong.into();
                frames.push(Frame::Gap(v1::Gap {
                    room_id,
                    from_seq: cursor + 1,
                    to_seq: from - 1,
                    reason,
                    epoch: 1,
                }));
            }
            frames.extend((from..=head).map(|seq| Frame::Event(self.event(room, seq))));
        }
        let wire = self.wire.as_mut().unwrap();
        if let Some(code) = self.refuse_hello.take() {
            self.is_hello_shortened |= code == Code::InvalidArgument;
            wire.push(Frame::Reply(v1::Reply {
                request_id: "hello".to_owned(),
                result: Some(Answer::Error(failure(code))),
            }));
            return wire.is_over = true;
        }
        wire.is_welcomed = true;
        wire.push(Frame::Welcome(v1::Welcome { user_id: USER.to_owned(), heads, ..Default::default() }));
        for frame in frames {
            wire.push(frame);
        }
    }
}
