//! Messages as they were at an earlier seq.

use std::num::NonZeroU32;
use std::time::Duration;

use parlance_core::limits::MAX_TEXT_BYTES;
use parlance_core::{Body, Entry, RoomId, SeqRange};
use parlance_proto::v1;
use parlance_store::past::{self, LogRead, Until};
use parlance_store::{LogStore, Store, StoreError};

use crate::testing::{TestNode, caller, group, remove, user_caller};
use crate::{Parts, PeopleLimits, Sizes};

/// Sends as many messages as alice; returns their seqs.
async fn send(node: &TestNode, room: &RoomId, count: usize) -> Vec<u64> {
    let mut seqs = Vec::new();
    for number in 0..count {
        let request = v1::SendMessageRequest {
            text: "as sent".into(),
            client_message_id: format!("message-{number}"),
            target: Some(v1::send_message_request::Target::RoomId(room.to_string())),
            ..Default::default()
        };
        seqs.push(node.api.send_message(&caller("alice"), request).await.unwrap().seq);
    }
    seqs
}

/// Edits these messages of alice.
async fn edit(node: &TestNode, room: &RoomId, seqs: &[u64]) {
    for seq in seqs {
        let request = v1::EditMessageRequest {
            room_id: room.to_string(),
            seq: *seq,
            text: "edited".into(),
            request_id: format!("edit-{seq}"),
            ..Default::default()
        };
        node.api.edit_message(&caller("alice"), request).await.unwrap();
    }
}

/// A message at the first seq, `between` other messages, and finally an edit of the first.
async fn edited(between: usize) -> (TestNode, RoomId, u64, Vec<Entry>) {
    let node = TestNode::start();
    node.store.answer_all();
    let room = node.api.rooms().create(group("first")).await.unwrap().into_parts().0.info.id;
    let seqs = send(&node, &room, between + 1).await;
    edit(&node, &room, &[seqs[0], seqs[between]]).await;
    let (from, to) = (seqs[0], seqs[between]);
    let entries = node.store.read(&room, SeqRange { from, to }, 100, false).await.unwrap();
    (node, room, to, entries)
}

async fn as_of_within(
    store: &dyn Store,
    room: &RoomId,
    until: Until,
    entries: Vec<Entry>,
    most: u64,
) -> Result<Vec<Entry>, StoreError> {
    past::as_of_within(store, room, until, entries, most, &mut LogRead::default()).await
}

fn texts(entries: &[Entry]) -> Vec<(&str, bool)> {
    let text = |entry: &Entry| entry.overlay.as_ref().is_some_and(|overlay| overlay.deleted);
    let messages = entries.iter().filter_map(|entry| match &entry.event.body {
        Body::Message(message) => Some((message.text.as_str(), text(entry))),
        _ => None,
    });
    messages.collect()
}

#[tokio::test]
async fn folding_is_bounded() {
    let (node, room, left, entries) = edited(4).await;
    assert_eq!(texts(&entries)[0], ("edited", false));
    let until = Until::Left(left);
    let sent = [("as sent", false); 5];
    let within = as_of_within(node.store.as_ref(), &room, until, entries.clone(), 5).await.unwrap();
    assert_eq!(texts(&within), sent);
    let reads = node.store.reads();
    let beyond = as_of_within(node.store.as_ref(), &room, until, entries.clone(), 4).await.unwrap();
    assert_eq!(texts(&beyond), [&[("", true)], &sent[1..]].concat(), "no form is shown");
    assert!(beyond.iter().all(|entry| entry.overlay.as_ref().is_none_or(|now| now.changed <= left)));
    assert_eq!(node.store.reads() - reads, 1, "what is withheld is not read for");
    // A member left before the edit, and may now see the edited message.
    let early = as_of_within(node.store.as_ref(), &room, Until::Head(left), entries.clone(), 4).await;
    assert_eq!(early, Err(StoreError::Overloaded));
    let now = Until::Head(left + 2);
    assert_eq!(as_of_within(node.store.as_ref(), &room, now, entries.clone(), 4).await, Ok(entries));
}

/// A former member's page reads the log once, however many reads the page itself takes.
#[tokio::test]
async fn page_of_the_past_is_folded_once() {
    let node = TestNode::start();
    node.store.answer_all();
    let room = node.api.rooms().create(group("first")).await.unwrap().into_parts().0.info.id;
    let (alice, bob) = (caller("alice"), caller("bob"));
    let seqs = send(&node, &room, 8).await;
    remove(&node.api, &room, "bob").await;
    edit(&node, &room, &seqs).await;
    let list = async |caller, is_forward: bool| {
        let (room_id, before) = (room.to_string(), node.store.reads());
        let messages = v1::ListMessagesRequest {
            room_id: room_id.clone(),
            after_seq: is_forward.then_some(seqs[0] - 1),
            before_seq: if is_forward { 0 } else { seqs[7] + 1 },
            ..Default::default()
        };
        let messages = node.api.list_messages(caller, messages).await.unwrap().messages;
        let after = node.store.reads();
        let events =
            v1::ListEventsRequest { room_id, from_seq: seqs[0], to_seq: seqs[7], ..Default::default() };
        let events = node.api.list_events(caller, events).await.unwrap().events;
        let texts = [messages, events].map(|events| {
            let text = |event: v1::Event| match event.body {
                Some(v1::event::Body::Message(message)) => message.text,
                other => panic!("{other:?}"),
            };
            events.into_iter().map(text).collect::<Vec<_>>()
        });
        (texts, after - before, node.store.reads() - after)
    };
    for is_forward in [false, true] {
        let (now, messages, events) = list(&alice, is_forward).await;
        assert_eq!(now, [["edited"; 8], ["edited"; 8]]);
        let (past, of_messages, of_events) = list(&bob, is_forward).await;
        assert_eq!(past, [["as sent"; 8], ["as sent"; 8]]);
        assert_eq!((of_messages, of_events), (messages + 1, events + 1));
    }
}

/// Large edits of one message are no part of a page of messages, and have to be read for it.
#[tokio::test(start_paused = true)]
async fn page_of_messages_ends_by_what_is_read_for_it() {
    let limits = PeopleLimits { operations: NonZeroU32::new(10), ..PeopleLimits::NONE };
    let change = |parts| Parts { limits, sizes: &Sizes::PRODUCTION, ..parts };
    let (node, room) = TestNode::with_group_from(change).await;
    let alice = caller("alice");
    let seq = send(&node, &room, 1).await[0];
    for number in 0..140 {
        let request = v1::EditMessageRequest {
            room_id: room.to_string(),
            seq,
            text: "x".repeat(MAX_TEXT_BYTES),
            request_id: format!("edit-{number}"),
            ..Default::default()
        };
        node.api.edit_message(&alice, request).await.unwrap();
    }
    let list = async |before_seq, page_size| {
        let room_id = room.to_string();
        let request = v1::ListMessagesRequest { room_id, before_seq, page_size, ..Default::default() };
        node.api.list_messages(&alice, request).await.unwrap()
    };
    let first = list(0, 50).await;
    assert_eq!((first.messages.len(), first.has_more, first.next_seq), (0, true, seq + 41));
    // 100 edits were read: 12 pages of 128 KiB, of which one is free.
    assert_eq!((0..100).filter(|_| node.api.gate.check_rate(&user_caller("alice")).is_ok()).count(), 9);
    tokio::time::advance(Duration::from_secs(10)).await;
    let second = list(first.next_seq, 50).await;
    let seqs: Vec<u64> = second.messages.iter().map(|event| event.seq).collect();
    assert_eq!(seqs, [seq]);
    // A page within what is free costs nothing more.
    tokio::time::advance(Duration::from_secs(10)).await;
    list(seq + 8, 8).await;
    assert_eq!((0..100).filter(|_| node.api.gate.check_rate(&user_caller("alice")).is_ok()).count(), 20);
}
