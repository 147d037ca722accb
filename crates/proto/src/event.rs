//! `Event` of the contract. Written by hand because it keeps unknown fields of later versions,
//! which generated messages drop.

use prost::bytes::{Buf, BufMut};
use prost::encoding::{
    self, DecodeContext, WireType, decode_key, encode_key, encode_varint, key_len, skip_field,
};
use prost::{DecodeError, Message};

use crate::v1;

/// One entry of a room's log.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Event {
    /// The room.
    pub room_id: String,
    /// Position in the room's log.
    pub seq: u64,
    /// When it was decided.
    pub at: Option<prost_types::Timestamp>,
    /// The user who caused it.
    pub actor_id: String,
    /// The actor's own id for the request.
    pub request_id: String,
    /// Messages in the room up to and including this event.
    pub message_count: u64,
    /// Messages that were deleted up to and including this event.
    pub deleted_count: u64,
    /// The app's own backend, if it acted as `actor_id`.
    pub service_id: String,
    /// What happened; unset if this version does not know the kind of event.
    pub body: Option<Body>,
    /// The encoded body and all fields beyond those above, if this version does not know all of
    /// them; otherwise empty. Encoded in place of `body`.
    pub raw: Vec<u8>,
}

/// What happened.
#[allow(missing_docs, reason = "the contract describes them")]
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Body {
    #[prost(message, tag = "10")]
    RoomCreated(v1::RoomCreated),
    #[prost(message, tag = "11")]
    RoomChanged(v1::RoomChanged),
    #[prost(message, tag = "12")]
    MemberAdded(v1::MemberAdded),
    #[prost(message, tag = "13")]
    MemberRemoved(v1::MemberRemoved),
    #[prost(message, tag = "14")]
    RoleChanged(v1::RoleChanged),
    #[prost(message, tag = "15")]
    Message(v1::Message),
    #[prost(message, tag = "16")]
    MessageEdited(v1::MessageEdited),
    #[prost(message, tag = "17")]
    MessageDeleted(v1::MessageDeleted),
    #[prost(message, tag = "18")]
    ReactionAdded(v1::ReactionAdded),
    #[prost(message, tag = "19")]
    ReactionRemoved(v1::ReactionRemoved),
    #[prost(message, tag = "20")]
    MemberBanned(v1::MemberBanned),
    #[prost(message, tag = "21")]
    MemberUnbanned(v1::MemberUnbanned),
    #[prost(message, tag = "22")]
    RoomDeleted(v1::RoomDeleted),
    #[prost(message, tag = "23")]
    MemberMuted(v1::MemberMuted),
    #[prost(message, tag = "24")]
    MemberUnmuted(v1::MemberUnmuted),
    #[prost(message, tag = "25")]
    MemberInvited(v1::MemberInvited),
    #[prost(message, tag = "26")]
    InvitationEnded(v1::InvitationEnded),
    #[prost(message, tag = "60")]
    InvitationLinkCreated(v1::InvitationLinkCreated),
    #[prost(message, tag = "61")]
    InvitationLinkRevoked(v1::InvitationLinkRevoked),
    #[prost(message, tag = "62")]
    JoinRequested(v1::JoinRequested),
    #[prost(message, tag = "63")]
    JoinRequestEnded(v1::JoinRequestEnded),
    #[prost(message, tag = "64")]
    MemberUpdated(v1::MemberUpdated),
}

/// Whether `tag` is one of [`Body`].
fn is_body(tag: u32) -> bool {
    matches!(tag, 10..=26 | 60..=64)
}

impl Event {
    /// Freezes the body in its encoded form, so that its parts can be changed.
    fn keep_raw(&mut self) {
        if let Some(body) = &self.body
            && self.raw.is_empty()
        {
            body.encode(&mut self.raw);
        }
    }

    /// Writes the present `body` to `raw`, next to the unknown fields there.
    pub(crate) fn update_raw(&mut self) {
        let Some(body) = self.body.as_ref().filter(|_| !self.raw.is_empty()) else { return };
        let mut known = Vec::with_capacity(body.encoded_len());
        body.encode(&mut known);
        let Ok((tag, wire_type)) = decode_key(&mut known.as_slice()) else { return };
        let mut before = Self::default();
        let mut content = Vec::new();
        let mut beside = Vec::new();
        for (number, field) in fields(&self.raw) {
            if number == tag && before.merge(field).is_ok() {
                let mut read = Vec::new();
                before.body.iter().for_each(|body| body.encode(&mut read));
                content.extend(unknown_fields(payload(field), payload(&read)));
            } else {
                beside.extend_from_slice(field);
            }
        }
        // Known fields last: if a field occurs twice, the last occurrence wins.
        content.extend_from_slice(payload(&known));
        self.raw.clear();
        encode_key(tag, wire_type, &mut self.raw);
        encode_varint(content.len() as u64, &mut self.raw);
        self.raw.extend(content);
        self.raw.extend(beside);
    }

    /// Reads a field other than the first eight; `input` starts after its key.
    fn merge_rest(
        &mut self,
        tag: u32,
        wire_type: WireType,
        input: &mut &[u8],
        ctx: DecodeContext,
    ) -> Result<(), DecodeError> {
        let all = *input;
        let is_first = self.body.is_none() && self.raw.is_empty();
        self.keep_raw();
        if is_body(tag) {
            Body::merge(&mut self.body, tag, wire_type, input, ctx)?;
        } else {
            skip_field(wire_type, tag, input, ctx)?;
        }
        let value = &all[..all.len() - input.len()];
        let is_known = |body: &Body| body.encoded_len() == key_len(tag) + value.len();
        if !(is_first && self.body.as_ref().is_some_and(is_known)) {
            encode_key(tag, wire_type, &mut self.raw);
            self.raw.extend_from_slice(value);
        }
        Ok(())
    }
}

impl Message for Event {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        if !self.room_id.is_empty() {
            encoding::string::encode(1, &self.room_id, buf);
        }
        if self.seq != 0 {
            encoding::uint64::encode(2, &self.seq, buf);
        }
        if let Some(at) = &self.at {
            encoding::message::encode(3, at, buf);
        }
        if !self.actor_id.is_empty() {
            encoding::string::encode(4, &self.actor_id, buf);
        }
        if !self.request_id.is_empty() {
            encoding::string::encode(5, &self.request_id, buf);
        }
        if self.message_count != 0 {
            encoding::uint64::encode(6, &self.message_count, buf);
        }
        if self.deleted_count != 0 {
            encoding::uint64::encode(7, &self.deleted_count, buf);
        }
        if !self.service_id.is_empty() {
            encoding::string::encode(8, &self.service_id, buf);
        }
        if !self.raw.is_empty() {
            buf.put_slice(&self.raw);
        } else if let Some(body) = &self.body {
            body.encode(buf);
        }
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        ctx: DecodeContext,
    ) -> Result<(), DecodeError> {
        match tag {
            1 => encoding::string::merge(wire_type, &mut self.room_id, buf, ctx),
            2 => encoding::uint64::merge(wire_type, &mut self.seq, buf, ctx),
            3 => encoding::message::merge(wire_type, self.at.get_or_insert_default(), buf, ctx),
            4 => encoding::string::merge(wire_type, &mut self.actor_id, buf, ctx),
            5 => encoding::string::merge(wire_type, &mut self.request_id, buf, ctx),
            6 => encoding::uint64::merge(wire_type, &mut self.message_count, buf, ctx),
            7 => encoding::uint64::merge(wire_type, &mut self.deleted_count, buf, ctx),
            8 => encoding::string::merge(wire_type, &mut self.service_id, buf, ctx),
            _ if buf.chunk().len() == buf.remaining() => {
                let mut input = buf.chunk();
                let before = input.len();
                self.merge_rest(tag, wire_type, &mut input, ctx)?;
                let read = before - input.len();
                buf.advance(read);
                Ok(())
            }
            _ => {
                let value = gather(wire_type, buf, ctx.clone())?;
                self.merge_rest(tag, wire_type, &mut value.as_slice(), ctx)
            }
        }
    }

    fn encoded_len(&self) -> usize {
        let string = |tag, value: &String| {
            if value.is_empty() { 0 } else { encoding::string::encoded_len(tag, value) }
        };
        let number = |tag, value| if value == 0 { 0 } else { encoding::uint64::encoded_len(tag, &value) };
        let rest = match &self.body {
            _ if !self.raw.is_empty() => self.raw.len(),
            Some(body) => body.encoded_len(),
            None => 0,
        };
        string(1, &self.room_id)
            + number(2, self.seq)
            + self.at.as_ref().map_or(0, |at| encoding::message::encoded_len(3, at))
            + string(4, &self.actor_id)
            + string(5, &self.request_id)
            + number(6, self.message_count)
            + number(7, self.deleted_count)
            + string(8, &self.service_id)
            + rest
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

/// The encoded value of a field that may span several parts of a buffer. Groups are not
/// supported.
fn gather(wire_type: WireType, buf: &mut impl Buf, ctx: DecodeContext) -> Result<Vec<u8>, DecodeError> {
    let mut value = Vec::new();
    match wire_type {
        WireType::Varint => {
            let mut number = 0;
            encoding::uint64::merge(wire_type, &mut number, buf, ctx)?;
            encode_varint(number, &mut value);
        }
        WireType::SixtyFourBit => {
            let mut number = 0;
            encoding::fixed64::merge(wire_type, &mut number, buf, ctx)?;
            value.put_u64_le(number);
        }
        WireType::ThirtyTwoBit => {
            let mut number = 0;
            encoding::fixed32::merge(wire_type, &mut number, buf, ctx)?;
            value.put_u32_le(number);
        }
        WireType::LengthDelimited | WireType::StartGroup | WireType::EndGroup => {
            let mut bytes = Vec::new();
            encoding::bytes::merge(wire_type, &mut bytes, buf, ctx)?;
            encode_varint(bytes.len() as u64, &mut value);
            value.extend(bytes);
        }
    }
    Ok(value)
}

/// The fields of an encoded message: their numbers, and their encoding including the key. Ends
/// at malformed input.
fn fields(message: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    let mut rest = message;
    std::iter::from_fn(move || {
        let all = rest;
        let (tag, wire_type) = decode_key(&mut rest).ok()?;
        skip_field(wire_type, tag, &mut rest, DecodeContext::default()).ok()?;
        Some((tag, &all[..all.len() - rest.len()]))
    })
}

/// The encoded fields with numbers of `first` or above, unchanged.
pub(crate) fn fields_from(message: &[u8], first: u32) -> Vec<u8> {
    fields(message).filter(|(number, _)| *number >= first).flat_map(|(_, field)| field).copied().collect()
}

/// The content of a length-delimited field.
fn payload(mut field: &[u8]) -> &[u8] {
    let read = decode_key(&mut field).and_then(|_| encoding::decode_varint(&mut field));
    if read.is_ok() { field } else { &[] }
}

/// The fields of `encoded` that are missing in `known`, which is `encoded` decoded and encoded
/// again.
pub fn unknown_fields(encoded: &[u8], known: &[u8]) -> Vec<u8> {
    let is_unknown = |number| fields(known).all(|(known, _)| known != number);
    let unknown = fields(encoded).filter(|(number, _)| is_unknown(*number));
    unknown.flat_map(|(_, field)| field).copied().collect()
}

#[cfg(test)]
mod tests {
    use prost::bytes::Bytes;
    use prost_reflect::{DynamicMessage, Value};

    use super::*;

    fn field(number: u32, content: &[u8]) -> Vec<u8> {
        let mut field = Vec::new();
        encoding::bytes::encode(number, &content.to_vec(), &mut field);
        field
    }

    fn message(text: &str) -> v1::Message {
        v1::Message { text: text.to_owned(), ..Default::default() }
    }

    /// The encoding of an event whose body is `rest`.
    fn event(rest: &[Vec<u8>]) -> Vec<u8> {
        let start = Event { seq: 7, actor_id: "alice".to_owned(), message_count: 3, ..Event::default() };
        [start.encode_to_vec(), rest.concat()].concat()
    }

    #[track_caller]
    fn check(rest: &[Vec<u8>], body: Option<Body>, is_raw: bool) {
        let encoded = event(rest);
        let read = Event::decode(encoded.as_slice()).unwrap();
        assert_eq!((&read.body, read.seq, read.raw.is_empty()), (&body, 7, !is_raw));
        assert_eq!((read.encode_to_vec(), read.encoded_len()), (encoded.clone(), encoded.len()));
        // In parts, as received from a connection.
        for at in 0..encoded.len() {
            let (one, other) = encoded.split_at(at);
            let parts = Bytes::copy_from_slice(one).chain(Bytes::copy_from_slice(other));
            assert_eq!(Event::decode(parts), Ok(read.clone()), "in parts at {at}");
        }
        for end in 0..encoded.len() {
            // A truncated event decodes to another event or an error, but never panics.
            let _ = Event::decode(&encoded[..end]);
        }
    }

    #[test]
    fn unknown_content_is_encoded_as_it_came() {
        let hello = message("hello");
        let known = field(15, &hello.encode_to_vec());
        let extended = field(15, &[hello.encode_to_vec(), field(40, b"more")].concat());
        let number = [&[0xa0, 6][..], &[5]].concat();
        check(&[], None, false);
        check(std::slice::from_ref(&known), Some(Body::Message(hello.clone())), false);
        check(&[extended], Some(Body::Message(hello.clone())), true);
        check(&[field(99, b"later")], None, true);
        check(&[known.clone(), field(99, b"later")], Some(Body::Message(hello.clone())), true);
        check(&[field(99, b"later"), known.clone()], Some(Body::Message(hello.clone())), true);
        check(&[number, known], Some(Body::Message(hello)), true);
        let added = v1::MemberAdded { user_id: "bob".to_owned(), role: 99, link_seq: 0 };
        check(&[field(12, &added.encode_to_vec())], Some(Body::MemberAdded(added)), false);
    }

    #[test]
    fn an_updated_body_keeps_its_unknown_fields() {
        let content = [message("hello").encode_to_vec(), field(40, b"more")].concat();
        let encoded = event(&[field(15, &content), field(99, b"later")]);
        let mut edited = Event::decode(encoded.as_slice()).unwrap();
        edited.body = Some(Body::Message(message("hello again")));
        edited.update_raw();
        let content = [field(40, b"more"), message("hello again").encode_to_vec()].concat();
        assert_eq!(edited.encode_to_vec(), event(&[field(15, &content), field(99, b"later")]));
        let read = Event::decode(edited.encode_to_vec().as_slice()).unwrap();
        assert_eq!(read, edited);
    }

    #[test]
    fn every_field_of_the_contract_is_known() {
        let descriptor = crate::json::pool().get_message_by_name("parlance.v1.Event").unwrap();
        for known in descriptor.fields() {
            let mut dynamic = DynamicMessage::new(descriptor.clone());
            let value = match known.kind() {
                prost_reflect::Kind::String => Value::String("x".to_owned()),
                prost_reflect::Kind::Uint64 => Value::U64(1),
                prost_reflect::Kind::Message(message) => Value::Message(DynamicMessage::new(message)),
                kind => panic!("{kind:?} has no example here"),
            };
            dynamic.set_field(&known, value);
            let read: Event = dynamic.transcode_to().unwrap();
            assert!(read.raw.is_empty(), "{} has to be added to the type", known.name());
            assert_eq!(read.body.is_some(), known.containing_oneof().is_some(), "{}", known.name());
            let mut again = DynamicMessage::new(descriptor.clone());
            again.transcode_from(&read).unwrap();
            assert_eq!(again, dynamic);
        }
    }
}
