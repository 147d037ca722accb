//! Chunks published by other nodes advance a room only along the log that it was folded from.

use parlance_core::{Body, Chunk, Event, Hole, Nonce, Room, Unknown};
use proptest::prelude::*;

use crate::solo::Solo;
use crate::values::send;

/// `chunk` as it would be in the log of another store, after the chunk of `previous`.
fn forked(chunk: &Chunk, nonce: Nonce, previous: Option<Nonce>) -> Chunk {
    let head = chunk.head();
    let copy = Chunk::new(nonce, chunk.events().to_vec(), head.message_count(), head.member_count());
    copy.unwrap().with_previous(previous)
}

/// A room, and the chunks of `messages` messages that follow.
fn log(messages: usize) -> (Room, Vec<Chunk>) {
    let mut solo = Solo::group();
    let room = solo.room.clone();
    for _ in 0..messages {
        solo.does("bob", send("so")).unwrap();
    }
    let chunks = solo.store.log.values().skip(1).cloned().collect();
    (room, chunks)
}

#[test]
fn a_chunk_names_its_predecessor() {
    let (room, chunks) = log(2);
    assert_eq!(chunks[0].previous(), Some(room.head().nonce()));
    assert_eq!(chunks[1].previous(), Some(chunks[0].nonce()));
    assert_eq!(chunks[0].head().nonce(), chunks[0].nonce());
    assert!(chunks[0].continues(&room.head()) && !chunks[1].continues(&room.head()));
}

#[test]
fn a_published_chunk_of_another_log_is_refused() {
    let (mut room, chunks) = log(1);
    let before = room.head();
    let hole = Err(Hole { head: before.seq(), first: before.seq() + 1 });
    assert_eq!(room.observe(&forked(&chunks[0], [7; 16], Some([8; 16]))), hole);
    // A chunk of an earlier version, which does not name its predecessor.
    assert_eq!(room.observe(&forked(&chunks[0], [7; 16], None)), hole);
    assert_eq!(room.head(), before);
    assert_eq!(room.observe(&chunks[0]), Ok(()));
    assert_eq!(room.head(), chunks[0].head());
    // Older than the head: ignored, regardless of its log.
    assert_eq!(room.observe(&forked(&chunks[0], [7; 16], Some([8; 16]))), Ok(()));
    assert_eq!(room.head(), chunks[0].head());
}

#[test]
fn a_stored_chunk_of_an_earlier_version_is_applied() {
    let (mut room, chunks) = log(2);
    let older = forked(&chunks[0], *chunks[0].nonce(), None);
    assert_eq!(room.apply(&older), Ok(()));
    // The chunk after it names it, since chunks have always had nonces.
    assert_eq!(room.observe(&chunks[1]), Ok(()));
}

/// A later version may have changed members and messages with it, which are loaded here.
#[test]
fn a_room_is_loaded_again_after_events_that_it_cannot_interpret() {
    let (mut room, chunks) = log(1);
    let written_later = |body, unknown: &[u8]| {
        let event = Event { body, unknown: Unknown::new(unknown.to_vec()), ..chunks[0].events()[0].clone() };
        let head = chunks[0].head();
        let chunk = Chunk::new(*chunks[0].nonce(), vec![event], head.message_count(), head.member_count());
        chunk.unwrap().with_previous(chunks[0].previous().copied())
    };
    let before = room.head();
    let hole = Err(Hole { head: before.seq(), first: before.seq() + 1 });
    let unknown_kind = written_later(Body::Other, b"later");
    assert_eq!([room.apply(&unknown_kind), room.observe(&unknown_kind)], [hole, hole]);
    let deleted = Body::MessageDeleted { target: 1 };
    assert_eq!(room.apply(&written_later(deleted, b"later")), hole);
    assert_eq!(room.head(), before);
    // A message changes nothing outside the log, whatever it contains.
    assert_eq!(room.apply(&written_later(chunks[0].events()[0].body.clone(), b"later")), Ok(()));
}

#[test]
fn a_room_that_is_not_of_this_log_notices_when_it_reads_it() {
    let (mut room, chunks) = log(2);
    room.apply(&forked(&chunks[0], [7; 16], None)).unwrap();
    assert_eq!(room.apply(&chunks[1]), Err(Hole { head: 5, first: 6 }));
}

proptest! {
    /// Two logs share a prefix. A room of the first log stays on it, whichever chunks of both are
    /// published, in any order and any number of times.
    #[test]
    fn a_room_stays_on_its_log(
        shared in 0..6_usize,
        hints in prop::collection::vec((any::<bool>(), 0..8_usize), 0..60),
    ) {
        let (mut room, own) = log(8);
        let mut other = own.clone();
        for at in shared..other.len() {
            let nonce = |at: usize| [100 + at as u8; 16];
            // The first differing chunk continues the shared prefix: until this log is longer, only
            // the store's identity tells them apart, which this test leaves out.
            let previous = if at == shared { [99; 16] } else { nonce(at - 1) };
            other[at] = forked(&own[at], nonce(at), Some(previous));
        }
        for (is_own, at) in hints {
            let _ = room.observe(if is_own { &own[at] } else { &other[at] });
            let head = room.head();
            let on_its_log = own.iter().any(|chunk| chunk.head() == head);
            prop_assert!(head.seq() == 4 || on_its_log, "{head:?}");
        }
    }
}
