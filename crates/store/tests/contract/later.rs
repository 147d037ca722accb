//! Data of later versions is kept unchanged.

use std::slice;

use parlance_core::{
    Action, Body, Chunk, Data, Entry, Event, Member, MessageKind, Overlay, Posted, Role, Room, SeqRange,
};
use parlance_proto::convert;
use prost::Message;

use super::fixture::{AnyStore, Node, edit, group, react, unique, user};

#[path = "../support/later.rs"]
pub(crate) mod events;

use events::LATER;

/// A room of two members with data of a later version from seq 4 on: an unknown kind, a
/// message with an unknown field, a member with an unknown role.
async fn written_by_a_later_version(store: &AnyStore) -> (Node, Vec<Event>) {
    let tag = unique();
    let (alice, bob, carol) = (user(tag, "alice"), user(tag, "bob"), user(tag, "carol"));
    let mut node = Node::create(store, group(&alice, &[&bob])).await;
    let bodies = [events::kind(), events::message("hello"), events::added(&carol)];
    let joined = Member::joined(carol, Role::Member, node.head() + 3);
    let append = events::append(&node.room, &alice, &bodies, slice::from_ref(&joined));
    let chunk = append.chunk.clone();
    store.append(node.id(), append).await.unwrap();
    // The room reports that it cannot tell what they changed next to the log.
    node.room.apply(&chunk).unwrap_err();
    let stored = node.stored().await;
    node.room = Room::load(stored.info, &stored.tail);
    let row = store.member(node.id(), &alice).await.unwrap();
    assert!(node.room.load_member(alice.clone(), row));
    assert!(node.room.load_message(
        chunk.first_seq() + 1,
        Some(Posted {
            sender: alice,
            kind: MessageKind::Text,
            data: Data::default(),
            overlay: Overlay::default(),
        })
    ));
    (node, chunk.into_events())
}

pub(crate) async fn unknown_events_are_read_as_they_were_written(store: AnyStore) {
    let (mut node, written) = written_by_a_later_version(&store).await;
    let kinds: Vec<&Body> = written.iter().map(|event| &event.body).collect();
    assert!(matches!(kinds[..], [Body::Other, Body::Message(_), Body::MemberAdded { .. }]), "{kinds:?}");
    assert!(written.iter().all(|event| !event.unknown.is_empty()));
    let stored = node.stored().await;
    assert_eq!((stored.tail.events(), stored.head()), (&written[..], node.room.head()));
    let alice = node.room.info().created_by.clone();
    node.say(&alice, "and on it goes").await;

    let id = node.id().clone();
    let chunks = store.chunks_after(&id, 3, 100).await.unwrap();
    assert_eq!(chunks[0].events(), written);
    assert_eq!(store.chunk(&id, 4).await.unwrap().as_ref().map(Chunk::events), Some(&written[..]));
    assert_eq!(store.events_before(&id, 7, 3).await.unwrap(), written);
    for latest in [false, true] {
        let read = store.read(&id, SeqRange { from: 4, to: 6 }, 3, latest).await.unwrap();
        assert_eq!(read.into_iter().map(|entry| entry.event).collect::<Vec<_>>(), written);
    }
    let carol = user_of(&written[2]);
    assert_eq!(store.member(&id, &carol).await.unwrap().unwrap().role, Role::Member);
}

fn user_of(event: &Event) -> parlance_core::UserId {
    match &event.body {
        Body::MemberAdded { user, .. } => user.clone(),
        other => panic!("nobody is added by {other:?}"),
    }
}

async fn entry(node: &Node, seq: u64) -> Entry {
    node.store.read(node.id(), SeqRange { from: seq, to: seq }, 1, false).await.unwrap().remove(0)
}

/// Whether the form sent to clients contains the unknown data.
fn shows_unknown(entry: &Entry) -> bool {
    let encoded = convert::entry("room", entry).encode_to_vec();
    encoded.windows(LATER.len()).any(|part| part == LATER)
}

pub(crate) async fn unknown_fields_of_a_message_last_until_it_is_deleted(store: AnyStore) {
    let (mut node, _) = written_by_a_later_version(&store).await;
    let alice = node.room.info().created_by.clone();
    let message = 5;
    assert!(shows_unknown(&entry(&node, message).await));
    node.write(&[(&alice, edit(message, "changed")), (&alice, react(message, "👍"))]).await;
    let edited = entry(&node, message).await;
    assert!(shows_unknown(&edited));
    let wire = convert::entry("room", &edited).encode_to_vec();
    let wire = parlance_proto::v1::Event::decode(wire.as_slice()).unwrap();
    let Some(parlance_proto::v1::event::Body::Message(shown)) = wire.body else { panic!("no message") };
    assert_eq!((shown.text.as_str(), shown.reactions.len()), ("changed", 1));
    node.write(&[(&alice, Action::Delete { target: message })]).await;
    assert!(!shows_unknown(&entry(&node, message).await));
}

pub(crate) async fn a_deleted_event_of_an_unknown_kind_is_empty(store: AnyStore) {
    let (node, written) = written_by_a_later_version(&store).await;
    let alice = &node.room.info().created_by;
    let deleted = Overlay { changed: node.head() + 1, deleted: true, ..Overlay::default() };
    let append = events::append(&node.room, alice, &[events::kind()], &[]);
    let append = parlance_core::Append { overlays: vec![(written[0].seq, deleted)], ..append };
    store.append(node.id(), append).await.unwrap();
    let read = entry(&node, written[0].seq).await;
    assert!(!shows_unknown(&read) && read.event.body == Body::Other);
    assert!(shows_unknown(&entry(&node, written[1].seq).await));
}
