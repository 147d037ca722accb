//! The table `messages`: the logs of the rooms.
//!
//! | attribute | | |
//! |---|---|---|
//! | `r` | S, partition key | the room |
//! | `q` | N, sort key | of a chunk its first seq; of an overlay the negative seq of its message |
//! | `n` | B | of a chunk: the nonce of its writer |
//! | `p` | B | the nonce of the chunk before it, where that is known |
//! | `e` | B | its events, as a `ChunkRecord` without what the other attributes hold |
//! | `h` | N | seq of its last event |
//! | `c` | N | messages in the room after it |
//! | `m` | N | members of the room after it |
//! | `g` | N | of an overlay: the event that last changed it |
//! | `o` | B | an `OverlayRecord` |
//!
//! Thus a run of chunks is one range, and the overlays of a run of messages another. Attribute
//! names have one letter, because they are charged with every item.

use aws_sdk_dynamodb::types::AttributeValue;
use parlance_core::{Chunk, Overlay, RoomId};
use parlance_proto::storage::v1::ChunkRecord;
use parlance_proto::stored;
use prost::Message;

use super::item::{self, Item, bytes, get_bytes, get_number, number, text};
use crate::StoreError;
use crate::record::{chunk_from, damaged_chunk, decode_overlay, encode_overlay};

pub(super) const ROOM: &str = "r";
pub(super) const SEQ: &str = "q";
/// The event that last changed an overlay.
pub(super) const CHANGED: &str = "g";

pub(super) fn chunk_key(room: &RoomId, first_seq: u64) -> Item {
    item::item([(ROOM, text(room.as_str())), (SEQ, number(first_seq))])
}

pub(super) fn overlay_key(room: &RoomId, seq: u64) -> Item {
    item::item([(ROOM, text(room.as_str())), (SEQ, overlay_seq(seq))])
}

/// The sort key of the overlay of the message at `seq`.
pub(super) fn overlay_seq(seq: u64) -> AttributeValue {
    AttributeValue::N(format!("-{seq}"))
}

pub(super) fn chunk_item(room: &RoomId, chunk: &Chunk) -> Item {
    let ChunkRecord { nonce, previous, events, message_count, member_count } = stored::chunk(chunk);
    let mut item = chunk_key(room, chunk.first_seq());
    item.extend(item::item([
        ("n", bytes(nonce.to_vec())),
        ("e", bytes(ChunkRecord { events, ..Default::default() }.encode_to_vec())),
        ("h", number(chunk.head().seq())),
        ("c", number(message_count)),
        ("m", number(member_count)),
    ]));
    if !previous.is_empty() {
        item.insert("p".to_owned(), bytes(previous.to_vec()));
    }
    item
}

/// Parses a chunk from an item of this table.
pub(super) fn chunk(room: &RoomId, item: &Item) -> Result<Chunk, StoreError> {
    let first_seq = get_number(item, SEQ).unwrap_or_default();
    let read = || {
        let events = ChunkRecord::decode(get_bytes(item, "e")?).ok()?.events;
        let record = ChunkRecord {
            nonce: get_bytes(item, "n")?.to_vec().into(),
            previous: get_bytes(item, "p").unwrap_or_default().to_vec().into(),
            events,
            message_count: get_number(item, "c")?,
            member_count: get_number(item, "m")?,
        };
        let chunk = chunk_from(first_seq, &record)?;
        (get_number(item, "h")? == chunk.head().seq()).then_some(chunk)
    };
    read().ok_or_else(|| damaged_chunk(room, first_seq))
}

/// Whether the item at the key is the chunk that was to be written.
pub(super) fn is_ours(item: Option<&Item>, chunk: &Chunk) -> bool {
    item.and_then(|item| get_bytes(item, "n")).is_some_and(|nonce| nonce == chunk.nonce())
}

pub(super) fn overlay_item(room: &RoomId, seq: u64, overlay: &Overlay) -> Item {
    let mut item = overlay_key(room, seq);
    item.extend(item::item([(CHANGED, number(overlay.changed)), ("o", bytes(encode_overlay(overlay)))]));
    item
}

/// Parses an overlay from an item of this table, with the seq of its message.
pub(super) fn overlay(room: &RoomId, item: &Item) -> Result<(u64, Overlay), StoreError> {
    let seq = item.get(SEQ).and_then(|seq| seq.as_n().ok()?.strip_prefix('-')?.parse().ok());
    let seq = seq.ok_or_else(|| StoreError::Damaged(format!("the key of an overlay of room {room}")))?;
    let overlay = decode_overlay(room, seq, get_bytes(item, "o").unwrap_or_default())?;
    Ok((seq, overlay))
}

#[cfg(test)]
mod tests {
    use parlance_core::limits::{MAX_CHUNK_BYTES, MAX_CHUNK_EVENTS, MAX_ID_BYTES, MAX_TEXT_BYTES};
    use parlance_core::{Body, Event, Message, RequestId, Text, Timestamp, Unknown, UserId};

    use super::*;

    fn room() -> RoomId {
        RoomId::parse(&"r".repeat(MAX_ID_BYTES)).unwrap()
    }

    /// A chunk of messages with `text_bytes` of text each, and ids and numbers of `id_bytes`.
    fn chunk_of(count: usize, text_bytes: usize, id_bytes: usize) -> Chunk {
        let first = 1_000_000_000_000_u64;
        let event = |at: usize| Event {
            seq: first + at as u64,
            at: Timestamp(1_700_000_000_000),
            actor: UserId::parse(&"u".repeat(id_bytes)).unwrap(),
            request: RequestId::parse(&"q".repeat(id_bytes)).unwrap(),
            message_count: first + at as u64,
            deleted_count: 0,
            body: Body::Message(Message {
                reply_to: Some(first),
                ..Message::plain(Text::parse(&"x".repeat(text_bytes)).unwrap())
            }),
            unknown: Unknown::default(),
            service: None,
        };
        Chunk::new([7; 16], (0..count).map(event).collect(), first, 100_000)
            .unwrap()
            .with_previous(Some([8; 16]))
    }

    #[test]
    fn a_short_message_is_one_write_unit() {
        assert!(item::size(&chunk_item(&room(), &chunk_of(1, 200, 36))) <= 1024);
    }

    #[test]
    fn the_largest_chunk_is_one_item() {
        // The maximum number of events, the maximum amount of text, the longest ids.
        let text = (MAX_CHUNK_BYTES / MAX_CHUNK_EVENTS).min(MAX_TEXT_BYTES);
        let largest = chunk_of(MAX_CHUNK_EVENTS, text, MAX_ID_BYTES);
        let size = item::size(&chunk_item(&room(), &largest));
        assert!((300_000..400_000).contains(&size), "{size} bytes");
    }

    #[test]
    fn items_read_back() {
        let (room, chunk_in) = (room(), chunk_of(3, 10, 5));
        assert_eq!(chunk(&room, &chunk_item(&room, &chunk_in)), Ok(chunk_in.clone()));
        let mut torn = chunk_item(&room, &chunk_in);
        torn.insert("h".into(), number(7));
        assert!(matches!(chunk(&room, &torn), Err(StoreError::Damaged(_))));

        let changed = Overlay { changed: 9, deleted: true, ..Default::default() };
        assert_eq!(overlay(&room, &overlay_item(&room, 8, &changed)), Ok((8, changed)));
    }
}
