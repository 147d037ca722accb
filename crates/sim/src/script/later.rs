//! A node of a later version, which writes events that the simulated nodes do not know.

use parlance_core as core;
use parlance_core::{Append, Body, Chunk, Event, Mark, Nonce, RequestId, RoomId, Text, Unknown};
use parlance_proto::cluster::v1::envelope::Content;
use parlance_proto::cluster::v1::{ChunkHint, Envelope};
use parlance_proto::{stored, v1};
use prost::Message;
use prost::encoding::bytes;

use super::Script;
use crate::check::LATER;

impl Script {
    /// A member acts there: an event of an unknown kind, or a message with an unknown field. It is committed and
    /// published like any other.
    pub(super) fn later_version(&self, room: &RoomId) {
        let dice = &self.world.dice;
        let Some(actor) = dice.pick(&self.world.members(room)).cloned() else { return };
        let number = self.number();
        let text = self.text(number);
        let (body, encoded) = if dice.chance(500) {
            (Body::Other, field(99, LATER))
        } else {
            let Ok(parsed) = Text::parse(&text) else { return };
            let message = v1::Message { text, ..Default::default() };
            let content = [message.encode_to_vec(), field(40, LATER)].concat();
            (Body::Message(core::Message::plain(parsed)), field(15, &content))
        };
        let Ok(request) = RequestId::parse(&format!("q{number}")) else { return };
        let nonce = u128::from(dice.bits()).to_be_bytes();
        let mut tables = self.world.memory.tables();
        let Some(tail) = tables.rooms.get(room).and_then(|row| row.tail()) else { return };
        let Some(last) = tail.events().last() else { return };
        let event = Event {
            seq: last.seq + 1,
            at: last.at,
            actor,
            request,
            message_count: last.message_count + u64::from(matches!(body, Body::Message(_))),
            deleted_count: last.deleted_count,
            body,
            unknown: Unknown::new(encoded),
            service: None,
        };
        let Some(append) = append(tail, nonce, event) else { return };
        let chunk = append.chunk.clone();
        if tables.append(room, append).is_err() {
            return;
        }
        drop(tables);
        self.world.trace.line(format_args!("a later version writes {} of {room}", chunk.first_seq()));
        let hint = ChunkHint {
            room_id: room.as_str().to_owned(),
            chunk: Some(stored::chunk(&chunk)),
            ..Default::default()
        };
        let payload = Envelope { content: Some(Content::Chunk(hint)) }.encode_to_vec();
        self.world.mesh.publish_to_all(&payload.into());
    }
}

fn field(number: u32, content: &[u8]) -> Vec<u8> {
    let mut field = Vec::new();
    bytes::encode(number, &content.to_vec(), &mut field);
    field
}

/// The chunk after `tail` with this event.
fn append(tail: &Chunk, nonce: Nonce, event: Event) -> Option<Append> {
    let expected = tail.head();
    let mark = Mark::at(&event);
    let is_message = matches!(event.body, Body::Message(_));
    let sent = is_message.then(|| (event.actor.clone(), mark)).into_iter().collect();
    let chunk = Chunk::new(nonce, vec![event], mark.message_count, expected.member_count())?;
    Some(Append {
        expected,
        chunk: chunk.with_previous(Some(*expected.nonce())),
        members: Vec::new(),
        overlays: Vec::new(),
        joins: Vec::new(),
        sent,
        info: None,
        invitations: None,
        listing: None,
    })
}
