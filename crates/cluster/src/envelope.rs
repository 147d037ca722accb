//! Encoding of messages between nodes (`proto/cluster/cluster.proto`).
use bytes::Bytes;
use parlance_core::{Chunk, RoomId, UserId};
use parlance_delivery::SharedFrame;

pub use parlance_proto::cluster::v1::envelope::Content;
use parlance_proto::cluster::v1::{BlocksChanged, ChunkHint, Envelope, HeadHint, SignalHint};
use parlance_proto::{convert, stored};
use prost::Message;

use parlance_hub::{SignalTarget, Terms};

/// Encodes `content` in an envelope.
pub fn encode(content: Content) -> Bytes {
    Envelope { content: Some(content) }.encode_to_vec().into()
}

/// `None` for content of a later version.
pub(crate) fn decode(payload: Bytes) -> Option<Content> {
    Envelope::decode(payload).ok()?.content
}

/// A chunk of `room` was committed.
pub fn chunk(room: &RoomId, terms: Terms, chunk: &Chunk) -> Content {
    Content::Chunk(ChunkHint {
        room_id: room.as_str().to_owned(),
        history_visibility: convert::visibility(terms.visibility).into(),
        floor_seq: terms.floor,
        epoch: terms.epoch,
        chunk: Some(stored::chunk(chunk)),
    })
}

pub(crate) fn blocks_changed(user: &UserId) -> Content {
    Content::BlocksChanged(BlocksChanged { user_id: user.as_str().to_owned() })
}

pub(crate) fn head<'a>(room: &RoomId, head: u64, users: impl Iterator<Item = &'a UserId>) -> Content {
    Content::Head(head_hint(room.as_str().to_owned(), head, users))
}

pub(crate) fn head_hint<'a>(
    room_id: String,
    head_seq: u64,
    users: impl Iterator<Item = &'a UserId>,
) -> HeadHint {
    HeadHint { room_id, head_seq, user_ids: users.map(|user| user.as_str().to_owned()).collect() }
}

/// The head after a chunk that is not trusted or cannot be decoded; without a chunk, unknown.
pub(crate) fn head_after(room_id: String, chunk: Option<&Chunk>) -> HeadHint {
    let head = chunk.map_or(u64::MAX, |chunk| chunk.head().seq());
    head_hint(room_id, head, chunk.into_iter().flat_map(Chunk::concerned))
}

pub(crate) fn signal(to: &SignalTarget<'_>, frame: &SharedFrame) -> Content {
    Content::Signal(SignalHint {
        room_ids: to.rooms.iter().map(|room| room.as_str().to_owned()).collect(),
        except_user_id: to.except.first().map(|user| user.as_str().to_owned()).unwrap_or_default(),
        also_except_user_ids: to.except.iter().skip(1).map(|user| user.as_str().to_owned()).collect(),
        frame: frame.proto().clone(),
        user_ids: to.users.iter().map(|user| user.as_str().to_owned()).collect(),
        in_large_rooms: to.in_large_rooms,
    })
}
