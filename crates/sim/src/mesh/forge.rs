//! Messages of a fleet on another store: chunks of the same room that nobody here has written.

use bytes::Bytes;
use parlance_core::{Body, Chunk, Event, Message, Nonce, Text, Unknown};
use parlance_planted::Plant;
use parlance_proto::cluster::v1::envelope::Content;
use parlance_proto::cluster::v1::{ChunkHint, Envelope};
use parlance_proto::stored;
use prost::Message as _;

use crate::dice::Dice;

/// A chunk that begins where the published one ends, with one message of its last actor. It names no predecessor of
/// this log, or none at all. `None` if no chunk is published.
pub(super) fn successor(payload: &Bytes, dice: &Dice) -> Option<Bytes> {
    let Envelope { content: Some(Content::Chunk(hint)) } = Envelope::decode(payload.clone()).ok()? else {
        return None;
    };
    let chunk = stored::chunk_from(hint.chunk.as_ref()?)?;
    let last = chunk.events().last()?;
    let message_count = chunk.head().message_count() + 1;
    let text = Text::parse("of another store").ok()?;
    let event = Event {
        seq: last.seq + 1,
        message_count,
        body: Body::Message(Message::plain(text)),
        unknown: Unknown::default(),
        ..last.clone()
    };
    let forged = Chunk::new(nonce(dice), vec![event], message_count, chunk.head().member_count())?;
    let mut previous = dice.chance(700).then(|| nonce(dice));
    if parlance_planted::is(Plant::TrustHints) {
        previous = Some(*chunk.nonce());
    }
    let forged = forged.with_previous(previous);
    let hint = ChunkHint { chunk: Some(stored::chunk(&forged)), ..hint };
    Some(Envelope { content: Some(Content::Chunk(hint)) }.encode_to_vec().into())
}

fn nonce(dice: &Dice) -> Nonce {
    let mut nonce = [0; 16];
    nonce[..8].copy_from_slice(&dice.bits().to_be_bytes());
    nonce
}
