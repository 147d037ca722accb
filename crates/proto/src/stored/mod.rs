//! Converts between the stored form (`proto/storage/storage.proto`) and the core types.
//!
//! Data of later versions is interpreted as far as possible, and otherwise kept unchanged.

mod event;
mod values;

use parlance_core as core;

pub use self::event::{decode_event, encode_event};
pub use self::values::*;
use crate::storage::v1::ChunkRecord;

/// Converts a chunk to its stored and published form.
pub fn chunk(chunk: &core::Chunk) -> ChunkRecord {
    ChunkRecord {
        nonce: chunk.nonce().to_vec().into(),
        previous: chunk.previous().map(|previous| previous.to_vec().into()).unwrap_or_default(),
        events: chunk.events().iter().map(encode_event).collect(),
        message_count: chunk.head().message_count(),
        member_count: chunk.head().member_count(),
    }
}

/// Parses a chunk; `None` if it is invalid.
pub fn chunk_from(record: &ChunkRecord) -> Option<core::Chunk> {
    let nonce = record.nonce.as_ref().try_into().ok()?;
    let previous = match record.previous.as_ref() {
        [] => None,
        previous => Some(previous.try_into().ok()?),
    };
    let events: Option<Vec<_>> = record.events.iter().map(|event| decode_event(event)).collect();
    let chunk = core::Chunk::new(nonce, events?, record.message_count, record.member_count)?;
    Some(chunk.with_previous(previous))
}
