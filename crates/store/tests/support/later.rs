//! Events of a later version, with kinds, fields and values that are unknown to this one.

use parlance_core::{Append, Chunk, Event, Member, Overlay, Room, UserId};
use parlance_proto::storage::v1;
use parlance_proto::{convert, stored};
use prost::Message;
use prost::encoding::{bytes, int32};

use crate::contract::fixture::{NOW, nonce, unique};

/// The content of all unknown data.
pub(crate) const LATER: &[u8] = b"of a later version";

/// A field whose number is not in the contract.
fn field(number: u32) -> Vec<u8> {
    let mut field = Vec::new();
    bytes::encode(number, &LATER.to_vec(), &mut field);
    field
}

/// The field of the body at `number`.
fn body(number: u32, content: &[Vec<u8>]) -> Vec<u8> {
    let mut field = Vec::new();
    bytes::encode(number, &content.concat(), &mut field);
    field
}

/// An event of an unknown kind.
pub(crate) fn kind() -> Vec<u8> {
    field(99)
}

/// A message with an unknown field.
pub(crate) fn message(text: &str) -> Vec<u8> {
    let message = v1::Message { text: text.to_owned(), ..Default::default() };
    body(15, &[message.encode_to_vec(), field(40)])
}

/// An added member with an unknown role.
pub(crate) fn added(user: &UserId) -> Vec<u8> {
    let user = v1::MemberAdded { user_id: user.as_str().to_owned(), role: 0, link_seq: 0 };
    let mut role = Vec::new();
    int32::encode(2, &99, &mut role);
    body(12, &[user.encode_to_vec(), role])
}

/// The event of `actor` at `seq` whose body is encoded as `body`.
pub(crate) fn event(actor: &UserId, seq: u64, message_count: u64, body: &[u8]) -> Event {
    let known = v1::Event {
        seq,
        at: Some(convert::timestamp(NOW)),
        actor_id: actor.as_str().to_owned(),
        request_id: format!("{:x}", unique()),
        message_count,
        ..Default::default()
    };
    let encoded = [&known.encode_to_vec(), body].concat();
    stored::decode_event(&encoded).unwrap()
}

/// A chunk of `bodies` that continues `room`, as a node of a later version appends it. The
/// messages among them are counted.
pub(crate) fn append(room: &Room, actor: &UserId, bodies: &[Vec<u8>], members: &[Member]) -> Append {
    let expected = room.head();
    let mut message_count = expected.message_count();
    let mut events = Vec::new();
    for (seq, body) in (expected.seq() + 1..).zip(bodies) {
        let event = event(actor, seq, message_count, body);
        message_count += u64::from(matches!(event.body, parlance_core::Body::Message(_)));
        events.push(Event { message_count, ..event });
    }
    let member_count = expected.member_count() + members.len() as u64;
    let chunk = Chunk::new(nonce(), events, message_count, member_count).unwrap();
    Append {
        expected,
        chunk: chunk.with_previous(Some(*expected.nonce())),
        members: members.to_vec(),
        overlays: Vec::<(u64, Overlay)>::new(),
        joins: Vec::new(),
        sent: Vec::new(),
        info: None,
        invitations: None,
        listing: None,
    }
}
