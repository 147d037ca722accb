//! What an encoded message takes in memory once it is decoded, found out beforehand: an element of two bytes on the wire
//! becomes one of hundreds, and a frame of 128 KiB nine megabytes.

use std::collections::HashMap;
use std::sync::LazyLock;

use prost::Name;
use prost::bytes::Buf;
use prost::encoding::{WireType, decode_key, decode_varint};
use prost_reflect::{DescriptorPool, Kind, MessageDescriptor};

use crate::limits::{ALLOCATION_BYTES, MAX_DECODED_BYTES, MAX_NESTING};
use crate::{DESCRIPTOR, EVENTS_DESCRIPTOR};

/// A field whose values take memory of their own.
enum Field {
    Text { is_repeated: bool },
    Numbers,
    Message { is_repeated: bool, shape: usize },
}

/// A type of message.
#[derive(Default)]
struct Shape {
    fields: Vec<(u32, Field)>,
    /// Bytes of its struct, roughly.
    size: usize,
}

#[derive(Default)]
struct Shapes {
    all: Vec<Shape>,
    by_full_name: HashMap<String, usize>,
    /// Requests have different names in all packages.
    by_name: HashMap<String, usize>,
}

static SHAPES: LazyLock<Shapes> = LazyLock::new(|| {
    let mut shapes = Shapes::default();
    for encoded in [DESCRIPTOR, EVENTS_DESCRIPTOR] {
        let pool = DescriptorPool::decode(encoded);
        let pool = pool.unwrap_or_else(|error| unreachable!("the contract is compiled in: {error}"));
        for message in pool.all_messages().filter(|message| message.package_name().starts_with("parlance.")) {
            let shape = shapes.add(&message);
            shapes.by_name.insert(message.name().to_owned(), shape);
        }
    }
    shapes
});

impl Shapes {
    fn add(&mut self, message: &MessageDescriptor) -> usize {
        if let Some(known) = self.by_full_name.get(message.full_name()) {
            return *known;
        }
        let index = self.all.len();
        self.by_full_name.insert(message.full_name().to_owned(), index);
        // A type within itself is boxed: a pointer.
        self.all.push(Shape { fields: Vec::new(), size: size_of::<usize>() });
        let (mut fields, mut size) = (Vec::new(), 0);
        for field in message.fields() {
            let is_repeated = field.is_list() || field.is_map();
            let (known, bytes) = match field.kind() {
                Kind::Message(inner) => {
                    let shape = self.add(&inner);
                    (Some(Field::Message { is_repeated, shape }), size_of::<usize>() + self.all[shape].size)
                }
                Kind::String | Kind::Bytes => (Some(Field::Text { is_repeated }), size_of::<String>()),
                _ => (is_repeated.then_some(Field::Numbers), size_of::<u64>() * 2),
            };
            size += if is_repeated { size_of::<Vec<u8>>() } else { bytes };
            fields.extend(known.map(|known| (field.number(), known)));
        }
        self.all[index] = Shape { fields, size };
        index
    }

    /// The cost of a message of the `shape`, up to a bit more than `most`.
    fn cost(&self, shape: &Shape, mut bytes: &[u8], depth: usize, most: usize) -> usize {
        let mut cost = 0;
        // What cannot be read is refused by the decoder, at the latest where this ends.
        while cost <= most && bytes.has_remaining() {
            let Ok((number, wire)) = decode_key(&mut bytes) else { return cost };
            let field = || shape.fields.iter().find(|(known, _)| *known == number).map(|(_, field)| field);
            let skipped = match wire {
                WireType::Varint => {
                    if matches!(field(), Some(Field::Numbers)) {
                        cost += size_of::<u64>();
                    }
                    if decode_varint(&mut bytes).is_err() {
                        return cost;
                    }
                    continue;
                }
                WireType::SixtyFourBit => 8,
                WireType::ThirtyTwoBit => 4,
                // What is in unknown groups counts as if it were outside.
                WireType::StartGroup | WireType::EndGroup => 0,
                WireType::LengthDelimited => {
                    let length =
                        decode_varint(&mut bytes).ok().and_then(|length| usize::try_from(length).ok());
                    let Some((value, rest)) = length.and_then(|length| bytes.split_at_checked(length)) else {
                        return cost;
                    };
                    bytes = rest;
                    match field() {
                        Some(Field::Text { is_repeated }) => {
                            let own = if value.is_empty() { 0 } else { value.len() + ALLOCATION_BYTES };
                            cost += own + if *is_repeated { size_of::<String>() } else { 0 };
                        }
                        Some(Field::Numbers) => cost += value.len() * size_of::<u64>(),
                        Some(Field::Message { is_repeated, shape }) => {
                            let inner = &self.all[*shape];
                            cost += if *is_repeated { inner.size } else { 0 };
                            if depth < MAX_NESTING {
                                cost += self.cost(inner, value, depth + 1, most);
                            }
                        }
                        None => {}
                    }
                    continue;
                }
            };
            let Some(rest) = bytes.get(skipped..) else { return cost };
            bytes = rest;
        }
        cost
    }
}

/// About what `bytes` take once they are decoded as an `M`, besides its own struct. `None`: more than any request of
/// the contract needs.
pub fn decoded_bytes<M: Name>(bytes: &[u8]) -> Option<usize> {
    let shape = &SHAPES.all[*SHAPES.by_name.get(M::NAME)?];
    let cost = SHAPES.cost(shape, bytes, 0, MAX_DECODED_BYTES);
    (cost <= MAX_DECODED_BYTES).then_some(cost)
}

/// The message of an error.
pub(crate) const TOO_MANY_ELEMENTS: &str = "the message has more elements than any request needs";

#[cfg(test)]
mod tests {
    use prost::Message;
    use v1::client_frame::Operation;

    use super::*;
    use crate::v1;

    #[test]
    fn what_the_contract_allows_is_accepted() {
        let room_id = "r".repeat(56);
        let cursors = vec![v1::Cursor { room_id, seq: 1 << 40, epoch: 3 }; 2_000];
        let hello = Operation::Hello(v1::Hello { device_id: "d".into(), cursors });
        let text = "x".repeat(16 * 1024);
        let message = Operation::SendMessage(v1::SendMessageRequest { text, ..Default::default() });
        for (operation, least) in [(hello, 150_000), (message, 16 * 1024)] {
            let frame = v1::ClientFrame { operation: Some(operation), ..Default::default() };
            let cost = decoded_bytes::<v1::ClientFrame>(&frame.encode_to_vec());
            assert!(cost.is_some_and(|cost| cost >= least), "{cost:?}");
        }
    }

    /// Each repeated field of each request, as often as it fits into a frame.
    #[test]
    fn elements_without_content_are_refused_in_all_requests() {
        fn fill(shape: usize, path: &mut Vec<u32>, most: &mut usize) {
            for (number, field) in &SHAPES.all[shape].fields {
                let (is_repeated, inner) = match field {
                    Field::Text { is_repeated } => (*is_repeated, None),
                    Field::Numbers => (true, None),
                    Field::Message { is_repeated, shape } => (*is_repeated, Some(*shape)),
                };
                if is_repeated {
                    let key = |number: u32, wire: u32, bytes: &mut Vec<u8>| {
                        prost::encoding::encode_varint(u64::from(number << 3 | wire), bytes);
                    };
                    let mut element = Vec::new();
                    key(*number, 2, &mut element);
                    element.push(0);
                    let mut bytes = match field {
                        Field::Numbers => {
                            let mut packed = element[..element.len() - 1].to_vec();
                            prost::encoding::encode_varint(120_000, &mut packed);
                            packed.extend(vec![1; 120_000]);
                            packed
                        }
                        _ => element.repeat(120_000 / element.len()),
                    };
                    for number in path.iter().rev() {
                        let mut outer = Vec::new();
                        key(*number, 2, &mut outer);
                        prost::encoding::encode_varint(bytes.len() as u64, &mut outer);
                        outer.append(&mut bytes);
                        bytes = outer;
                    }
                    assert_eq!(decoded_bytes::<v1::ClientFrame>(&bytes), None, "{path:?} {number}");
                    *most += 1;
                }
                if let Some(inner) = inner
                    && path.len() < 4
                {
                    path.push(*number);
                    fill(inner, path, most);
                    path.pop();
                }
            }
        }
        let mut checked = 0;
        fill(SHAPES.by_name["ClientFrame"], &mut Vec::new(), &mut checked);
        assert!(checked > 10, "{checked}");
    }

    #[test]
    fn elements_behind_an_unknown_group_count() {
        let import = v1::ImportMessagesRequest {
            messages: vec![v1::ImportedMessage::default(); 10_000],
            ..Default::default()
        };
        // Groups of field 1,000 before them.
        let hidden = [&[0xc3, 0x3e, 0xc4, 0x3e][..], &import.encode_to_vec()].concat();
        assert!(v1::ImportMessagesRequest::decode(&hidden[..]).is_ok());
        assert_eq!(decoded_bytes::<v1::ImportMessagesRequest>(&hidden), None);
    }
}
