//! Turns steps of the script into operations.

use parlance_proto::v1;
use parlance_proto::v1::client_frame::Operation;
use parlance_proto::v1::send_message_request::Target;

use super::super::history::{OpKind, OpRecord, Outcome, RoomIndex};
use super::super::script::{Action, Step};
use super::super::world::{self, Kind, OpId, User};
use super::{Client, Counts, Pending, What};

/// Pages start at most this far before the head.
const PAGE_BACK: u64 = 400;

impl Client {
    /// Executes the next step of the script, as far as possible now.
    pub(super) fn step(&mut self) {
        let Some(step) = self.script.next() else { return };
        let (at, room) = self.rooms.pick(step.room);
        let kind = self.stage.world.rooms[usize::from(room)].kind;
        let known = self.rooms.get(at);
        // A former member mostly sends nothing, and sometimes gets a refusal.
        let may_ask = known.member || step.pick.is_multiple_of(8);
        match step.action {
            Action::Churn => self.churn(at, room, kind, step.pick),
            Action::Page => self.page(at, room, step.pick),
            Action::Repeat => self.repeat(step.pick),
            _ if !may_ask => {}
            Action::Send { burst } => {
                for _ in 0..burst {
                    self.send(at, room, kind, step.pick);
                }
            }
            Action::Typing => {
                let room_id = self.rooms.id(at).to_owned();
                self.enqueue(Operation::SendTyping(v1::SendTypingRequest { room_id }), What::Typing);
            }
            Action::Edit | Action::Delete | Action::React | Action::Unreact => self.change(at, room, step),
            Action::MarkRead | Action::Delivered => self.mark(at, room, step),
        }
    }

    fn send(&mut self, at: usize, room: RoomIndex, kind: Kind, pick: u16) {
        let (id, text) = self.new_id();
        let target = if kind == Kind::Direct && pick.is_multiple_of(2) {
            let members = &self.stage.world.rooms[usize::from(room)].members;
            let peer = members.iter().find(|member| **member != self.user).copied().unwrap_or_default();
            Target::ToUser(world::name(peer))
        } else {
            Target::RoomId(self.rooms.id(at).to_owned())
        };
        let request = v1::SendMessageRequest {
            target: Some(target),
            client_message_id: id.to_string(),
            text,
            reply_to_seq: 0,
            after_seq: Some(self.rooms.get(at).head),
            ..Default::default()
        };
        Counts::add(&self.stage.counts.sent);
        self.ask(id, OpKind::Send, room, 0, Operation::SendMessage(request));
    }

    fn change(&mut self, at: usize, room: RoomIndex, step: Step) {
        let own = matches!(step.action, Action::Edit | Action::Delete);
        let known = self.rooms.get(at);
        let choice = if own { &known.own } else { &known.recent };
        let Some(&seq) = choice.get(usize::from(step.pick) % choice.len().max(1)) else { return };
        let after_seq = Some(known.head);
        let room_id = self.rooms.id(at).to_owned();
        let (id, text) = self.new_id();
        let request_id = id.to_string();
        let emoji = world::EMOJI[usize::from(step.pick) % world::EMOJI.len()].to_owned();
        let (kind, operation) = match step.action {
            Action::Edit => (
                OpKind::Edit,
                Operation::EditMessage(v1::EditMessageRequest {
                    room_id,
                    seq,
                    text,
                    request_id,
                    after_seq,
                    ..Default::default()
                }),
            ),
            Action::Delete => (
                OpKind::Delete,
                Operation::DeleteMessage(v1::DeleteMessageRequest { room_id, seq, request_id, after_seq }),
            ),
            Action::React => (
                OpKind::React,
                Operation::AddReaction(v1::AddReactionRequest { room_id, seq, emoji, request_id, after_seq }),
            ),
            _ => (
                OpKind::Unreact,
                Operation::RemoveReaction(v1::RemoveReactionRequest {
                    room_id,
                    seq,
                    emoji,
                    request_id,
                    after_seq,
                }),
            ),
        };
        self.ask(id, kind, room, seq, operation);
    }

    fn mark(&mut self, at: usize, room: RoomIndex, step: Step) {
        let cursor = self.rooms.get(at).cursor.unwrap_or(0);
        // Sometimes behind the received events, as with real users.
        let seq = cursor.saturating_sub(u64::from(step.pick % 20));
        if seq == 0 {
            return;
        }
        let room_id = self.rooms.id(at).to_owned();
        let (id, _) = self.new_id();
        let request_id = id.to_string();
        let (kind, operation) = if step.action == Action::MarkRead {
            (OpKind::MarkRead, Operation::MarkRead(v1::MarkReadRequest { room_id, seq, request_id }))
        } else {
            let request = v1::AcknowledgeDeliveryRequest { room_id, seq, request_id };
            (OpKind::Delivered, Operation::AcknowledgeDelivery(request))
        };
        self.ask(id, kind, room, seq, operation);
    }

    /// Members of channels join and leave; owners remove others and add them again.
    fn churn(&mut self, at: usize, room: RoomIndex, kind: Kind, pick: u16) {
        let planned = &self.stage.world.rooms[usize::from(room)];
        let (owner, others) = (planned.owner() == self.user, planned.members[1..].to_vec());
        let user = self.user;
        let known = self.rooms.get(at);
        let after_seq = Some(known.head);
        let (member, subject) = if owner {
            let Some(other) = others.get(usize::from(pick) % others.len().max(1)) else { return };
            (!known.out.contains(other), *other)
        } else {
            (known.member, user)
        };
        if kind == Kind::Direct || (kind == Kind::Group && !owner) || !known.may_churn(subject) {
            return;
        }
        let room_id = self.rooms.id(at).to_owned();
        let (id, _) = self.new_id();
        let request_id = id.to_string();
        let user_id = world::name(subject);
        let (kind, operation) = match (owner, member) {
            (true, true) => {
                let request = v1::RemoveMemberRequest { room_id, user_id, request_id, after_seq };
                (OpKind::Remove, Operation::RemoveMember(request))
            }
            (true, false) => {
                let user_ids = vec![user_id];
                let request = v1::AddMembersRequest { room_id, user_ids, request_id, after_seq };
                (OpKind::Add, Operation::AddMembers(request))
            }
            (false, true) => {
                (OpKind::Leave, Operation::LeaveRoom(v1::LeaveRoomRequest { room_id, request_id, after_seq }))
            }
            (false, false) => {
                (OpKind::Join, Operation::JoinRoom(v1::JoinRoomRequest { room_id, request_id, after_seq }))
            }
        };
        self.ask(id, kind, room, 0, operation);
    }

    fn page(&mut self, at: usize, room: RoomIndex, pick: u16) {
        let head = self.rooms.get(at).head;
        // Past the first event: a page without a lower bound returns the latest
        // messages.
        let from = head.saturating_sub(u64::from(pick) % PAGE_BACK).max(2);
        let room_id = self.rooms.id(at).to_owned();
        let operation = if pick.is_multiple_of(2) {
            Operation::ListEvents(v1::ListEventsRequest {
                room_id,
                from_seq: from,
                to_seq: 0,
                page_size: 200,
            })
        } else {
            let after_seq = Some(from - 1);
            let request = v1::ListMessagesRequest { room_id, before_seq: 0, after_seq, page_size: 200 };
            Operation::ListMessages(request)
        };
        self.enqueue(operation, What::Page { room, asked: self.stage.now(), from });
    }

    fn repeat(&mut self, pick: u16) {
        let Some((op, operation)) = self.answered.get(usize::from(pick) % self.answered.len().max(1)) else {
            return;
        };
        let (op, operation) = (*op, operation.clone());
        self.enqueue(operation, What::Repeat(op));
    }

    fn ask(&mut self, id: OpId, kind: OpKind, room: RoomIndex, target: u64, operation: Operation) {
        self.history.ops.push(OpRecord {
            id,
            kind,
            room,
            target: target as u32,
            first_sent: self.stage.now(),
            attempts: 0,
            outcome: Outcome::Open,
            repeats: Vec::new(),
        });
        self.enqueue(operation, What::Op(self.history.ops.len() - 1));
    }

    fn enqueue(&mut self, operation: Operation, what: What) {
        let frame = self.next_frame;
        self.next_frame += 1;
        self.pending.insert(frame, Pending { operation, what, blind: false, seen: false });
        self.ready.push_back(frame);
    }

    fn new_id(&mut self) -> (OpId, String) {
        let id = OpId { client: self.user as User, number: self.next_op };
        self.next_op += 1;
        (id, id.text())
    }
}
