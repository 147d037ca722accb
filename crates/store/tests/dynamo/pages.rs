//! Items and pages at the limits of the service.

use parlance_core::limits::{MAX_CHUNK_BYTES, MAX_CHUNK_EVENTS, MAX_TEXT_BYTES};
use parlance_core::{SeqRange, UserId};

use crate::contract::fixture::{AnyStore, Node, edit, group, send, unique, user};
use crate::endpoint::faulty;

/// Messages of maximum size in one chunk.
const LARGEST: usize = MAX_CHUNK_BYTES / MAX_TEXT_BYTES;

async fn room(store: &AnyStore) -> (Node, UserId) {
    let alice = user(unique(), "alice");
    (Node::create(store, group(&alice, &[])).await, alice)
}

#[tokio::test]
async fn the_largest_chunk_is_stored() {
    let (store, _dynamodb) = faulty().await;
    let (mut node, alice) = room(&store).await;
    let text = "é".repeat(MAX_TEXT_BYTES / 2);
    let actions = vec![(&alice, send(&text)); LARGEST];
    node.write(&actions).await;
    let stored = node.stored().await;
    assert_eq!(stored.tail.events().len(), LARGEST);
    assert_eq!(stored.head(), node.room.head());

    // Maximum text in the maximum number of events, each of which has ids and numbers,
    // too.
    let text = "x".repeat(MAX_CHUNK_BYTES / MAX_CHUNK_EVENTS);
    node.write(&vec![(&alice, send(&text)); MAX_CHUNK_EVENTS]).await;
    assert_eq!(node.stored().await.tail.events().len(), MAX_CHUNK_EVENTS);
}

/// Six chunks of a quarter megabyte, and more after them: a page ends after a megabyte.
#[tokio::test]
async fn range_continues_across_pages() {
    let (store, dynamodb) = faulty().await;
    let (mut node, alice) = room(&store).await;
    let text = "x".repeat(MAX_TEXT_BYTES);
    for _ in 0..6 {
        node.write(&vec![(&alice, send(&text)); LARGEST]).await;
    }
    let last = node.say(&alice, "the last one").await;
    node.write(&[(&alice, edit(last, "the very last one"))]).await;
    let head = node.head();
    let all: Vec<u64> = (1..=head).collect();

    let before = dynamodb.tally().requests_of("Query");
    let chunks = store.chunks_after(node.id(), 0, usize::MAX).await.unwrap();
    assert!(dynamodb.tally().requests_of("Query") - before >= 2, "it was one page");
    let seqs: Vec<u64> = chunks.iter().flat_map(|chunk| chunk.events()).map(|event| event.seq).collect();
    assert_eq!(seqs, all);
    let events = store.events_before(node.id(), head + 1, usize::MAX).await.unwrap();
    assert_eq!(events.iter().map(|event| event.seq).collect::<Vec<_>>(), all);

    for latest in [false, true] {
        // From the middle of a chunk to past the last one.
        let range = SeqRange { from: 9, to: head + 10 };
        let entries = store.read(node.id(), range, usize::MAX, latest).await.unwrap();
        let seqs: Vec<u64> = entries.iter().map(|entry| entry.event.seq).collect();
        assert_eq!(seqs, all[8..], "latest: {latest}");
        let merged = &entries[entries.len() - 2];
        assert!(format!("{:?}", merged.event).contains("the very last one"));
    }
}

/// More chunks than requested for any page.
#[tokio::test]
async fn many_small_chunks_are_read_in_growing_pages() {
    let (store, _dynamodb) = faulty().await;
    let (mut node, alice) = room(&store).await;
    for message in 0..700 {
        node.say(&alice, &message.to_string()).await;
    }
    let head = node.head();
    let chunks = store.chunks_after(node.id(), 1, 690).await.unwrap();
    let seqs: Vec<u64> = chunks.iter().flat_map(|chunk| chunk.events()).map(|event| event.seq).collect();
    assert_eq!(seqs, (1..=691).collect::<Vec<_>>());
    let range = SeqRange { from: 1, to: head };
    let entries = store.read(node.id(), range, 650, true).await.unwrap();
    let seqs: Vec<u64> = entries.iter().map(|entry| entry.event.seq).collect();
    assert_eq!(seqs, (head - 649..=head).collect::<Vec<_>>());
}
