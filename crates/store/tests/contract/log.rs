//! The log of a room: creation, appends, and reads in chunks.

use parlance_core::{
    Action, Body, Event, Imported, ImportedMessage, Message, RequestId, SeqRange, SettingsChange, Text,
    Timestamp, Title,
};
use parlance_store::{AppendError, Created};
use tokio::task::JoinSet;

use super::fixture::{AnyStore, Node, add, edit, group, nonce, send, settings, unique, user};

pub(crate) async fn a_room_is_created_once(store: AnyStore) {
    let (tag, name) = (unique(), |tag, name| user(tag, name));
    let creation = group(&name(tag, "alice"), &[&name(tag, "bob")]);
    let id = creation.info.id.clone();
    let Created::New(new) = store.create_room(creation.clone()).await.unwrap() else {
        panic!("it was there before");
    };
    assert_eq!(new.info, creation.info);
    assert_eq!(new.tail, creation.append.chunk);
    assert_eq!(store.room(&id).await.unwrap(), Some(new.clone()));

    // The same id again, from a node that does not know of the first.
    let mut again = creation;
    again.info.settings = settings("another title");
    assert_eq!(store.create_room(again).await.unwrap(), Created::Existing(new.clone()));
    assert_eq!(store.room(&id).await.unwrap(), Some(new));
}

pub(crate) async fn of_16_creations_one_is_new(store: AnyStore) {
    let creation = group(&user(unique(), "alice"), &[]);
    let mut nodes = JoinSet::new();
    for _ in 0..16 {
        let (store, mut creation) = (store.clone(), creation.clone());
        let events = creation.append.chunk.events().to_vec();
        creation.append.chunk = parlance_core::Chunk::new(nonce(), events, 0, 1).unwrap();
        nodes.spawn(async move { store.create_room(creation).await.unwrap() });
    }
    let answers = nodes.join_all().await;
    let stored = store.room(&creation.info.id).await.unwrap().unwrap();
    assert_eq!(answers.iter().filter(|answer| matches!(answer, Created::New(_))).count(), 1);
    for answer in answers {
        assert_eq!(answer.into_parts().0, stored);
    }
}

pub(crate) async fn an_append_moves_the_head(store: AnyStore) {
    let alice = user(unique(), "alice");
    let mut node = Node::create(&store, group(&alice, &[])).await;
    assert_eq!(node.head(), 2);

    assert_eq!(node.say(&alice, "one").await, 3);
    assert_eq!(node.write(&[(&alice, send("two")), (&alice, send("three"))]).await, 4);
    let stored = node.stored().await;
    assert_eq!(stored.head(), node.room.head());
    assert_eq!((stored.head().seq(), stored.head().message_count()), (5, 3));
    assert_eq!(stored.tail.first_seq(), 4);
}

pub(crate) async fn a_chunk_keeps_the_nonce_of_its_predecessor(store: AnyStore) {
    let alice = user(unique(), "alice");
    let mut node = Node::create(&store, group(&alice, &[])).await;
    let created = node.stored().await.tail;
    assert_eq!((created.previous(), node.room.head().nonce()), (None, created.nonce()));
    node.say(&alice, "one").await;
    // The second one as a transaction.
    node.write(&[(&alice, add(&[&user(unique(), "bob")]))]).await;

    let mut chunks = vec![created];
    chunks.extend(store.chunks_after(node.id(), 2, 10).await.unwrap());
    assert_eq!(chunks.len(), 3);
    for pair in chunks.windows(2) {
        assert_eq!(pair[1].previous(), Some(pair[0].nonce()));
        assert!(pair[1].continues(&pair[0].head()));
    }
    assert_eq!(node.stored().await.tail, chunks[2]);
    assert_eq!(store.chunk(node.id(), 3).await.unwrap().as_ref(), Some(&chunks[1]));
}

pub(crate) async fn an_append_on_an_old_head_is_refused(store: AnyStore) {
    let alice = user(unique(), "alice");
    let mut node = Node::create(&store, group(&alice, &[])).await;
    let behind = node.clone();
    node.write(&[(&alice, send("one")), (&alice, send("two")), (&alice, send("three"))]).await;

    let (append, _) = behind.decide(&[(&alice, send("too late"))]);
    assert_eq!(store.append(node.id(), append.clone()).await, Err(AppendError::HeadMoved));
    node.say(&alice, "four").await;
    assert_eq!(store.append(node.id(), append).await, Err(AppendError::HeadMoved));
    assert_eq!(node.stored().await.head(), node.room.head());
}

pub(crate) async fn of_32_appends_on_one_head_one_wins(store: AnyStore) {
    let alice = user(unique(), "alice");
    let mut node = Node::create(&store, group(&alice, &[])).await;
    for round in 0..3 {
        let mut writers = JoinSet::new();
        for writer in 0..32 {
            // Overlapping chunks of different lengths and starts.
            let actions = vec![(&alice, send(&format!("{writer} in round {round}"))); 1 + writer % 3];
            let (append, room) = node.decide(&actions);
            let (store, id) = (store.clone(), node.id().clone());
            writers.spawn(async move { (store.append(&id, append).await, room) });
        }
        let answers = writers.join_all().await;
        let (mut won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(|(answer, _)| answer.is_ok());
        assert_eq!((won.len(), lost.len()), (1, 31));
        assert!(lost.iter().all(|(answer, _)| *answer == Err(AppendError::HeadMoved)));
        node.room = won.remove(0).1;
        assert_eq!(node.stored().await.head(), node.room.head());
    }
}

pub(crate) async fn a_log_begins_with_its_creation_only(store: AnyStore) {
    let alice = user(unique(), "alice");
    let absent = group(&alice, &[]);
    assert!(store.append(&absent.info.id, absent.append.clone()).await.is_err());
    assert_eq!(store.room(&absent.info.id).await.unwrap(), None);
    assert_eq!(store.chunk(&absent.info.id, 1).await.unwrap(), None);

    let creation = group(&alice, &[]);
    let node = Node::create(&store, creation.clone()).await;
    assert_eq!(store.append(node.id(), creation.append).await, Err(AppendError::HeadMoved));
}

pub(crate) async fn a_chunk_is_found_by_its_first_seq(store: AnyStore) {
    let alice = user(unique(), "alice");
    let mut node = Node::create(&store, group(&alice, &[])).await;
    let (append, room) = node.decide(&[(&alice, send("one")), (&alice, send("two"))]);
    store.append(node.id(), append.clone()).await.unwrap();
    node.room = room;

    assert_eq!(store.chunk(node.id(), 3).await.unwrap(), Some(append.chunk));
    for seq in [0, 2, 4, 5, u64::MAX] {
        assert_eq!(store.chunk(node.id(), seq).await.unwrap(), None, "at {seq}");
    }
}

/// A room whose chunks begin at 1, 4, 5, 8 and 9; the head is 10.
async fn five_chunks(store: &AnyStore) -> Node {
    let tag = unique();
    let (alice, bob) = (user(tag, "alice"), user(tag, "bob"));
    let mut node = Node::create(store, group(&alice, &[&bob])).await;
    node.say(&alice, "4").await;
    node.write(&[(&alice, send("5")), (&bob, send("6")), (&alice, edit(5, "5, edited"))]).await;
    node.say(&alice, "8").await;
    node.write(&[(&bob, send("9")), (&bob, send("10"))]).await;
    assert_eq!(node.head(), 10);
    node
}

pub(crate) async fn chunks_follow_on_a_head(store: AnyStore) {
    let node = five_chunks(&store).await;
    let check = async |head, limit, expected: &[u64]| {
        let chunks = store.chunks_after(node.id(), head, limit).await.unwrap();
        let firsts: Vec<u64> = chunks.iter().map(|chunk| chunk.first_seq()).collect();
        assert_eq!(firsts, expected, "after {head}, about {limit} events");
    };
    check(0, 100, &[1, 4, 5, 8, 9]).await;
    check(3, 100, &[4, 5, 8, 9]).await;
    check(4, 100, &[5, 8, 9]).await;
    check(7, 100, &[8, 9]).await;
    check(10, 100, &[]).await;
    check(u64::MAX, 100, &[]).await;
    // Chunks are whole; at the limit, no further one is started.
    check(3, 1, &[4]).await;
    check(3, 2, &[4, 5]).await;
    check(3, 4, &[4, 5]).await;
    check(3, 5, &[4, 5, 8]).await;
    check(3, 0, &[]).await;

    let chunks = store.chunks_after(node.id(), 4, 1).await.unwrap();
    assert_eq!(Some(chunks[0].clone()), store.chunk(node.id(), 5).await.unwrap());
}

pub(crate) async fn events_before_a_seq_come_in_whole_chunks(store: AnyStore) {
    let node = five_chunks(&store).await;
    let check = async |seq, limit, expected: std::ops::RangeInclusive<u64>| {
        let events = store.events_before(node.id(), seq, limit).await.unwrap();
        let seqs: Vec<u64> = events.iter().map(|event: &Event| event.seq).collect();
        assert_eq!(seqs, expected.collect::<Vec<_>>(), "before {seq}, about {limit} events");
    };
    check(11, 100, 1..=10).await;
    check(11, 1, 9..=10).await;
    check(11, 2, 9..=10).await;
    check(11, 3, 8..=10).await;
    check(9, 1, 8..=8).await;
    check(8, 1, 5..=7).await;
    check(8, 3, 5..=7).await;
    check(8, 4, 4..=7).await;
    check(5, 1, 4..=4).await;
    check(4, 100, 1..=3).await;
    // Right before `seq`, even in the middle of a chunk.
    check(7, 1, 5..=6).await;
    check(1000, 2, 9..=10).await;
    let nothing = async |seq, limit| {
        assert_eq!(store.events_before(node.id(), seq, limit).await.unwrap(), [], "before {seq}");
    };
    nothing(1, 100).await;
    nothing(0, 100).await;
    nothing(11, 0).await;

    // As originally decided: an edit does not change the edited event.
    let events = store.events_before(node.id(), 8, 3).await.unwrap();
    assert_eq!(events, store.chunk(node.id(), 5).await.unwrap().unwrap().events());
}

pub(crate) async fn settings_change_with_their_chunk(store: AnyStore) {
    let alice = user(unique(), "alice");
    let mut node = Node::create(&store, group(&alice, &[])).await;
    let title = Some(Title::parse("renamed").unwrap());
    node.write(&[(&alice, Action::Update(SettingsChange { title, ..Default::default() }))]).await;

    let stored = node.stored().await;
    assert_eq!(stored.info, *node.room.info());
    assert_eq!(stored.info.settings.title.as_str(), "renamed");
    node.say(&alice, "and stays so").await;
    assert_eq!(node.stored().await.info, stored.info);
}

pub(crate) async fn imported_messages_are_counted_for_good(store: AnyStore) {
    let alice = user(unique(), "alice");
    let mut node = Node::create(&store, group(&alice, &[])).await;
    let imported = |number, text: &str| {
        let imported = Imported { number, sent_at: Timestamp(number * 1000) };
        let request = RequestId::parse(&format!("old{number}")).unwrap();
        let message = Message::plain(Text::parse(text).unwrap());
        ImportedMessage { sender: alice.clone(), request, imported, message }
    };
    let messages = vec![imported(1, "first"), imported(2, "second")];
    let first = node.write(&[(&alice, Action::Import { messages })]).await;
    node.say(&alice, "and one of today").await;
    assert_eq!(node.stored().await.info.imported, 2);
    // Another change of the room's item does not lose it.
    let title = Some(Title::parse("renamed").unwrap());
    node.write(&[(&alice, Action::Update(SettingsChange { title, ..Default::default() }))]).await;
    assert_eq!(node.stored().await.info, *node.room.info());
    assert_eq!(node.stored().await.info.imported, 2);
    let read = store.read(node.id(), SeqRange { from: first, to: first + 2 }, 10, false).await.unwrap();
    let dates = read.into_iter().map(|entry| match entry.event.body {
        Body::Message(message) => message.imported,
        other => panic!("{other:?}"),
    });
    let at = |number, millis| Some(Imported { number, sent_at: Timestamp(millis) });
    assert_eq!(dates.collect::<Vec<_>>(), [at(1, 1000), at(2, 2000), None]);
}

pub(crate) async fn a_refused_append_leaves_nothing(store: AnyStore) {
    let tag = unique();
    let (alice, bob) = (user(tag, "alice"), user(tag, "bob"));
    let mut node = Node::create(&store, group(&alice, &[])).await;
    let message = node.say(&alice, "as it was").await;
    let behind = node.clone();
    node.say(&alice, "in between").await;
    let before = (
        node.stored().await,
        store.members(node.id(), None, 10).await.unwrap(),
        store.user_room(&alice, node.id()).await.unwrap(),
    );

    let title = Some(Title::parse("too late").unwrap());
    let (append, _) = behind.decide(&[
        (&alice, add(&[&bob])),
        (&alice, edit(message, "too late")),
        (&alice, Action::Update(SettingsChange { title, ..Default::default() })),
        (&bob, send("too late")),
    ]);
    assert_eq!(store.append(node.id(), append).await, Err(AppendError::HeadMoved));

    let after = (
        node.stored().await,
        store.members(node.id(), None, 10).await.unwrap(),
        store.user_room(&alice, node.id()).await.unwrap(),
    );
    assert_eq!(after, before);
    assert_eq!(store.overlay(node.id(), message).await.unwrap(), None);
    assert_eq!(store.member(node.id(), &bob).await.unwrap(), None);
    assert_eq!(store.rooms_of(&bob, None, 10).await.unwrap().rows, []);
}

pub(crate) async fn rooms_are_written_side_by_side(store: AnyStore) {
    let tag = unique();
    let mut writers = JoinSet::new();
    for writer in 0..64 {
        let store = store.clone();
        writers.spawn(async move {
            let alice = user(tag, &format!("alice-{writer}"));
            let mut node = Node::create(&store, group(&alice, &[])).await;
            for message in 0..5 {
                node.say(&alice, &format!("{message} of {writer}")).await;
            }
            assert_eq!(node.stored().await.head(), node.room.head());
            let chunks = store.chunks_after(node.id(), 2, 100).await.unwrap();
            assert_eq!(chunks.iter().map(|chunk| chunk.first_seq()).collect::<Vec<_>>(), [3, 4, 5, 6, 7]);
        });
    }
    writers.join_all().await;
}

pub(crate) async fn a_room_that_is_not_there_is_empty(store: AnyStore) {
    let id = group(&user(unique(), "alice"), &[]).info.id;
    assert_eq!(store.room(&id).await.unwrap(), None);
    assert_eq!(store.chunk(&id, 1).await.unwrap(), None);
    assert_eq!(store.chunks_after(&id, 0, 10).await.unwrap(), []);
    assert_eq!(store.events_before(&id, 10, 10).await.unwrap(), []);
    assert_eq!(store.members(&id, None, 10).await.unwrap(), []);
    assert_eq!(store.overlay(&id, 1).await.unwrap(), None);
}
