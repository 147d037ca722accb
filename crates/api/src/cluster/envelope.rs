//! What nodes tell each other (`proto/cluster/cluster.proto`), as bytes.

use bytes::Bytes;
use parlance_core::{Chunk, RoomId, UserId};
pub(crate) use parlance_proto::cluster::v1::envelope::Content;
use parlance_proto::cluster::v1::{ChunkHint, Envelope, HeadHint, SignalHint};
use parlance_proto::{SharedFrame, convert};
use prost::Message;

use crate::hub::{SignalTarget, Terms};

pub(crate) fn encode(content: Content) -> Bytes {
    Envelope { content: Some(content) }.encode_to_vec().into()
}

/// `None` for what a later version says.
pub(super) fn decode(payload: Bytes) -> Option<Content> {
    Envelope::decode(payload).ok()?.content
}

pub(super) fn chunk(room: &RoomId, terms: Terms, chunk: &Chunk) -> Content {
    Content::Chunk(ChunkHint {
        room_id: room.as_str().to_owned(),
        history_visibility: convert::visibility(terms.visibility).into(),
        floor_seq: terms.floor,
        epoch: terms.epoch,
        chunk: Some(convert::chunk(chunk)),
    })
}

pub(super) fn head<'a>(room: &RoomId, head: u64, users: impl Iterator<Item = &'a UserId>) -> Content {
    Content::Head(HeadHint {
        room_id: room.as_str().to_owned(),
        head_seq: head,
        user_ids: users.map(|user| user.as_str().to_owned()).collect(),
    })
}

pub(super) fn signal(to: &SignalTarget<'_>, frame: &SharedFrame) -> Content {
    Content::Signal(SignalHint {
        room_ids: to.rooms.iter().map(|room| room.as_str().to_owned()).collect(),
        except_user_id: to.except.map(|user| user.as_str().to_owned()).unwrap_or_default(),
        frame: frame.proto().clone(),
        user_ids: to.users.iter().map(|user| user.as_str().to_owned()).collect(),
        in_large_rooms: to.in_large_rooms,
    })
}
