//! History: events in their present form.

use std::collections::BTreeSet;

use parlance_core::{Action, Body, Emoji, Entry, SeqRange, UserId};

use super::fixture::{AnyStore, NOW, Node, edit, group, react, send, unique, user};

/// A room of one member whose chunks begin at 1, 3, 4 and 8; the head is 9.
async fn four_chunks(store: &AnyStore) -> Node {
    let alice = user(unique(), "alice");
    let mut node = Node::create(store, group(&alice, &[])).await;
    node.say(&alice, "3").await;
    let four = [4, 5, 6, 7].map(|seq| (&alice, send(&seq.to_string())));
    node.write(&four).await;
    node.write(&[(&alice, send("8")), (&alice, send("9"))]).await;
    node
}

async fn check(node: &Node, (from, to): (u64, u64), limit: usize, latest: bool, expected: &[u64]) {
    let entries = node.store.read(node.id(), SeqRange { from, to }, limit, latest).await.unwrap();
    let seqs: Vec<u64> = entries.iter().map(|entry| entry.event.seq).collect();
    assert_eq!(seqs, expected, "{from} to {to}, {limit}, latest: {latest}");
}

pub(crate) async fn a_range_is_read_from_either_end(store: AnyStore) {
    let node = four_chunks(&store).await;
    check(&node, (1, 9), 100, false, &[1, 2, 3, 4, 5, 6, 7, 8, 9]).await;
    check(&node, (1, 9), 100, true, &[1, 2, 3, 4, 5, 6, 7, 8, 9]).await;
    check(&node, (1, 9), 3, false, &[1, 2, 3]).await;
    check(&node, (1, 9), 3, true, &[7, 8, 9]).await;
    check(&node, (1, 9), 0, false, &[]).await;
    check(&node, (1, 9), 0, true, &[]).await;
}

pub(crate) async fn ranges_cut_chunks_of_many_events(store: AnyStore) {
    let node = four_chunks(&store).await;
    // Within one chunk.
    check(&node, (5, 6), 100, false, &[5, 6]).await;
    check(&node, (5, 6), 100, true, &[5, 6]).await;
    check(&node, (5, 6), 1, false, &[5]).await;
    check(&node, (5, 6), 1, true, &[6]).await;
    check(&node, (5, 5), 100, false, &[5]).await;
    // Across two chunks.
    check(&node, (2, 5), 100, false, &[2, 3, 4, 5]).await;
    check(&node, (6, 8), 100, false, &[6, 7, 8]).await;
    check(&node, (6, 8), 2, false, &[6, 7]).await;
    check(&node, (6, 8), 2, true, &[7, 8]).await;
    // Exactly one chunk.
    check(&node, (4, 7), 100, false, &[4, 5, 6, 7]).await;
    check(&node, (4, 7), 4, true, &[4, 5, 6, 7]).await;
    check(&node, (3, 3), 100, true, &[3]).await;
    check(&node, (8, 9), 100, false, &[8, 9]).await;
}

pub(crate) async fn nothing_is_read_outside_the_log(store: AnyStore) {
    let node = four_chunks(&store).await;
    check(&node, (9, 1000), 100, false, &[9]).await;
    check(&node, (0, u64::MAX), 2, true, &[8, 9]).await;
    for latest in [false, true] {
        check(&node, (10, 1000), 100, latest, &[]).await;
        check(&node, (6, 5), 100, latest, &[]).await;
        check(&node, (9, 1), 100, latest, &[]).await;
        check(&node, (0, 0), 100, latest, &[]).await;
    }
}

/// How much less is left to the store: it reads whole chunks, or pages of them.
pub(crate) async fn a_read_within_bytes_ends_early_or_not(store: AnyStore) {
    let node = four_chunks(&store).await;
    let range = SeqRange { from: 1, to: 9 };
    for (latest, bytes) in [(false, 1), (true, 1), (false, 2), (true, 2), (false, usize::MAX)] {
        let entries = node.store.read_within(node.id(), range, 5, latest, bytes).await.unwrap();
        let seqs: Vec<u64> = entries.iter().map(|entry| entry.event.seq).collect();
        let all: Vec<u64> = if latest { (5..=9).collect() } else { (1..=5).collect() };
        let at_least = if bytes == usize::MAX { 5 } else { 2 };
        let (is_end, count) =
            if latest { (all.ends_with(&seqs), seqs.len()) } else { (all.starts_with(&seqs), seqs.len()) };
        assert!(is_end && count >= at_least, "{seqs:?}, latest: {latest}, {bytes} bytes");
    }
}

async fn entry(node: &Node, seq: u64) -> Entry {
    let range = SeqRange { from: seq, to: seq };
    node.store.read(node.id(), range, 1, false).await.unwrap().remove(0)
}

fn text(entry: &Entry) -> &str {
    match &entry.event.body {
        Body::Message(message) => message.text.as_str(),
        Body::MessageEdited { text, .. } => text.as_str(),
        other => panic!("no text in {other:?}"),
    }
}

pub(crate) async fn an_edited_message_reads_as_it_is_now(store: AnyStore) {
    let alice = user(unique(), "alice");
    let mut node = Node::create(&store, group(&alice, &[])).await;
    let message = node.say(&alice, "first").await;
    let other = node.say(&alice, "untouched").await;
    let first_edit = node.write(&[(&alice, edit(message, "second"))]).await;
    let last_edit = node.write(&[(&alice, edit(message, "third"))]).await;

    let read = entry(&node, message).await;
    assert_eq!(text(&read), "third");
    let overlay = read.overlay.unwrap();
    assert_eq!((overlay.changed, overlay.edited.unwrap().1), (last_edit, NOW));
    assert_eq!(text(&entry(&node, first_edit).await), "second");
    assert_eq!(entry(&node, other).await.overlay, None);
    assert_eq!(store.overlay(node.id(), other).await.unwrap(), None);
}

pub(crate) async fn deleted_text_is_gone_from_message_and_edits(store: AnyStore) {
    let alice = user(unique(), "alice");
    let mut node = Node::create(&store, group(&alice, &[])).await;
    let message = node.say(&alice, "regretted").await;
    // Decided together: the overlay is that of the last one.
    node.write(&[
        (&alice, edit(message, "still regretted")),
        (&alice, react(message, "👍")),
        (&alice, Action::Delete { target: message }),
    ])
    .await;

    let everything = SeqRange { from: 1, to: node.head() };
    let entries = store.read(node.id(), everything, 100, false).await.unwrap();
    assert_eq!(entries.len() as u64, node.head());
    assert!(!format!("{entries:?}").contains("regretted"));
    let deleted = &entries[message as usize - 1];
    assert_eq!(text(deleted), "");
    let overlay = deleted.overlay.as_ref().unwrap();
    assert!(overlay.deleted && overlay.reactions.is_empty());
    assert_eq!(text(&entries[message as usize]), "");
}

pub(crate) async fn reactions_are_read_with_their_message(store: AnyStore) {
    let tag = unique();
    let (alice, bob) = (user(tag, "alice"), user(tag, "bob"));
    let mut node = Node::create(&store, group(&alice, &[&bob])).await;
    let message = node.say(&alice, "well?").await;
    node.write(&[(&alice, react(message, "👍")), (&bob, react(message, "👍"))]).await;
    node.write(&[(&bob, react(message, "🎉"))]).await;
    let emoji = |emoji| Emoji::parse(emoji).unwrap();
    let back = Action::Unreact { target: message, emoji: emoji("👍") };
    let last = node.write(&[(&alice, back)]).await;

    let read = entry(&node, message).await;
    assert_eq!(text(&read), "well?");
    let overlay = read.overlay.unwrap();
    let only = |user: &UserId| BTreeSet::from([user.clone()]);
    assert_eq!(overlay.changed, last);
    assert_eq!(overlay.reactions, [(emoji("👍"), only(&bob)), (emoji("🎉"), only(&bob))].into());
    assert_eq!(store.overlay(node.id(), message).await.unwrap(), Some(overlay));
}

pub(crate) async fn deleted_messages_of_a_range_are_counted(store: AnyStore) {
    let alice = user(unique(), "alice");
    let mut node = Node::create(&store, group(&alice, &[])).await;
    let mut messages = Vec::new();
    for text in ["one", "two", "three", "four"] {
        messages.push(node.say(&alice, text).await);
    }
    let [first, second, third, fourth] = messages[..] else { unreachable!() };
    node.write(&[(&alice, react(first, "👍")), (&alice, edit(second, "edited"))]).await;
    let counted = async |from, to| store.count_deleted(node.id(), SeqRange { from, to }).await.unwrap();
    assert_eq!(counted(1, node.head()).await, 0, "edits and reactions are no deletions");

    let before = node.write(&[(&alice, Action::Delete { target: first })]).await;
    let after = node.write(&[(&alice, Action::Delete { target: third })]).await;
    let counted = async |from, to| store.count_deleted(node.id(), SeqRange { from, to }).await.unwrap();
    assert_eq!(counted(1, after).await, 2);
    assert_eq!(counted(first + 1, after).await, 1);
    assert_eq!(counted(fourth, after).await, 0);
    // Later deletions are not counted yet.
    assert_eq!(counted(1, before).await, 1);
    assert_eq!(counted(after, first).await, 0);
    let tail = store.room(node.id()).await.unwrap().unwrap();
    assert_eq!(tail.head().deleted_count(), 2);
}
