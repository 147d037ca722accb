//! Read and delivered marks of members.

use parlance_core::{
    Action, Cursors, Imported, ImportedMessage, Mark, Message, RequestId, SettingsChange, Text, Timestamp,
    Title, UserId,
};
use parlance_store::{Preferences, PreferencesChange};
use tokio::task::JoinSet;

use super::fixture::{AnyStore, Node, add, group, send, unique, user};

fn cursors(delivered: u64, read: u64, count: u64) -> Cursors {
    Cursors { delivered, read: Mark { seq: read, message_count: count, deleted_count: 0 } }
}

async fn check(node: &Node, user: &UserId, expected: Cursors) {
    let stored = node.store.user_room(user, node.id()).await.unwrap().unwrap();
    assert_eq!(stored.cursors, expected, "of {user}");
}

pub(crate) async fn joining_starts_at_the_join(store: AnyStore) {
    let tag = unique();
    let (alice, bob, carol) = (user(tag, "alice"), user(tag, "bob"), user(tag, "carol"));
    let mut node = Node::create(&store, group(&alice, &[&bob])).await;
    // The first event to receive is the member's own join; nothing before it is
    // unread.
    check(&node, &alice, cursors(0, 1, 0)).await;
    check(&node, &bob, cursors(0, 1, 0)).await;

    node.say(&alice, "before").await;
    node.write(&[(&alice, add(&[&carol]))]).await;
    node.say(&alice, "after").await;
    check(&node, &carol, cursors(4, 5, 1)).await;

    // Returning is joining again.
    node.write(&[(&carol, Action::Leave)]).await;
    node.say(&alice, "missed").await;
    node.write(&[(&alice, add(&[&carol]))]).await;
    check(&node, &carol, cursors(8, 9, 3)).await;
}

pub(crate) async fn sending_reads_up_to_ones_own_message(store: AnyStore) {
    let tag = unique();
    let (alice, bob) = (user(tag, "alice"), user(tag, "bob"));
    let mut node = Node::create(&store, group(&alice, &[&bob])).await;
    node.say(&alice, "one").await;
    check(&node, &alice, cursors(0, 4, 1)).await;
    check(&node, &bob, cursors(0, 1, 0)).await;

    node.write(&[(&bob, send("two")), (&alice, send("three")), (&bob, send("four"))]).await;
    check(&node, &alice, cursors(0, 6, 3)).await;
    check(&node, &bob, cursors(0, 7, 4)).await;
}

pub(crate) async fn what_was_imported_is_read_by_nobody(store: AnyStore) {
    let tag = unique();
    let (alice, bob) = (user(tag, "alice"), user(tag, "bob"));
    let mut node = Node::create(&store, group(&alice, &[&bob])).await;
    node.say(&alice, "does bob see this?").await;
    let message = |number| ImportedMessage {
        sender: bob.clone(),
        request: RequestId::parse(&format!("old{number}")).unwrap(),
        imported: Imported { number, sent_at: Timestamp(number) },
        message: Message::plain(Text::parse("of another year").unwrap()),
    };
    node.write(&[(&alice, Action::Import { messages: vec![message(1), message(2)] })]).await;
    check(&node, &bob, cursors(0, 1, 0)).await;
    check(&node, &alice, cursors(0, 4, 1)).await;
    // What they send themselves they have read, and everything before it.
    node.say(&bob, "yes").await;
    check(&node, &bob, cursors(0, 7, 4)).await;
}

pub(crate) async fn one_append_may_join_and_send(store: AnyStore) {
    let tag = unique();
    let (alice, bob) = (user(tag, "alice"), user(tag, "bob"));
    let mut node = Node::create(&store, group(&alice, &[])).await;
    node.write(&[(&alice, add(&[&bob])), (&bob, send("hello"))]).await;
    check(&node, &bob, cursors(2, 4, 1)).await;
}

pub(crate) async fn cursors_never_move_back(store: AnyStore) {
    let tag = unique();
    let (alice, bob) = (user(tag, "alice"), user(tag, "bob"));
    let mut node = Node::create(&store, group(&alice, &[&bob])).await;
    node.write(&[(&alice, send("4")), (&alice, send("5")), (&alice, send("6"))]).await;

    let advance = async |to, expected| {
        let answer = store.advance(&bob, node.id(), to).await.unwrap();
        assert_eq!(answer, Some(expected));
        check(&node, &bob, expected).await;
    };
    advance(cursors(5, 4, 1), cursors(5, 4, 1)).await;
    // Each separately.
    advance(cursors(6, 0, 0), cursors(6, 4, 1)).await;
    advance(cursors(0, 5, 2), cursors(6, 5, 2)).await;
    // From a device that is behind.
    advance(cursors(4, 4, 1), cursors(6, 5, 2)).await;
    advance(cursors(6, 5, 2), cursors(6, 5, 2)).await;

    // Ahead of the user's own next message.
    store.advance(&alice, node.id(), cursors(100, 100, 50)).await.unwrap();
    node.say(&alice, "7").await;
    check(&node, &alice, cursors(100, 100, 50)).await;
}

pub(crate) async fn concurrent_advances_end_at_the_furthest(store: AnyStore) {
    let tag = unique();
    let (alice, bob) = (user(tag, "alice"), user(tag, "bob"));
    let node = Node::create(&store, group(&alice, &[&bob])).await;
    let mut devices = JoinSet::new();
    for device in 0..32 {
        let (store, bob, id) = (store.clone(), bob.clone(), node.id().clone());
        // Some are ahead in what they received, others in what they read.
        let to = cursors(10 + device, 50 - device, 50 - device);
        devices.spawn(async move {
            let reached = store.advance(&bob, &id, to).await.unwrap().unwrap();
            assert!(reached.delivered >= to.delivered && reached.read.seq >= to.read.seq);
        });
    }
    devices.join_all().await;
    check(&node, &bob, cursors(41, 50, 50)).await;
}

pub(crate) async fn user_who_never_joined_has_no_cursors(store: AnyStore) {
    let tag = unique();
    let (alice, eve) = (user(tag, "alice"), user(tag, "eve"));
    let node = Node::create(&store, group(&alice, &[])).await;
    assert_eq!(store.advance(&eve, node.id(), cursors(2, 2, 0)).await.unwrap(), None);
    assert_eq!(store.user_room(&eve, node.id()).await.unwrap(), None);

    let absent = group(&alice, &[]).info.id;
    assert_eq!(store.advance(&alice, &absent, cursors(2, 2, 0)).await.unwrap(), None);
}

/// Whether `who` has hidden the room.
async fn is_hidden(node: &Node, who: &UserId) -> bool {
    let row = node.store.user_room(who, node.id()).await.unwrap().unwrap();
    assert_eq!(node.store.rooms_of(who, None, 10).await.unwrap().rows[0].preferences, row.preferences);
    row.is_hidden(node.room.head())
}

pub(crate) async fn a_hidden_room_comes_back_with_the_next_message(store: AnyStore) {
    let tag = unique();
    let (alice, bob, eve) = (user(tag, "alice"), user(tag, "bob"), user(tag, "eve"));
    let mut node = Node::create(&store, group(&alice, &[&bob])).await;
    // Even without a message.
    for text in ["4", "5"] {
        assert!(!is_hidden(&node, &bob).await);
        let head = Mark::from(node.room.head());
        assert!(store.set_preferences(&bob, node.id(), hidden(head)).await.unwrap());
        assert!(is_hidden(&node, &bob).await && !is_hidden(&node, &alice).await);
        store.advance(&bob, node.id(), cursors(head.seq, head.seq, head.message_count)).await.unwrap();
        node.write(&[(&alice, set_title(text))]).await;
        assert!(is_hidden(&node, &bob).await, "no message");
        node.say(&alice, text).await;
    }
    assert!(!is_hidden(&node, &bob).await);
    assert!(store.set_preferences(&bob, node.id(), hidden(Mark::from(node.room.head()))).await.unwrap());
    assert!(store.set_preferences(&bob, node.id(), hidden(Mark::default())).await.unwrap());
    assert!(!is_hidden(&node, &bob).await, "shown again");
    assert!(!store.set_preferences(&eve, node.id(), hidden(Mark::from(node.room.head()))).await.unwrap());
    assert_eq!(store.user_room(&eve, node.id()).await.unwrap(), None);
}

pub(crate) async fn a_hidden_room_comes_back_with_the_next_membership(store: AnyStore) {
    let tag = unique();
    let (alice, bob) = (user(tag, "alice"), user(tag, "bob"));
    let mut node = Node::create(&store, group(&alice, &[&bob])).await;
    assert!(store.set_preferences(&bob, node.id(), hidden(Mark::from(node.room.head()))).await.unwrap());
    node.write(&[(&alice, Action::Remove { user: bob.clone() })]).await;
    node.write(&[(&alice, add(&[&bob]))]).await;
    assert!(!is_hidden(&node, &bob).await);
    assert!(store.set_preferences(&bob, node.id(), hidden(Mark::from(node.room.head()))).await.unwrap());
    assert!(is_hidden(&node, &bob).await);
}

pub(crate) async fn preferences_are_changed_apart_and_end_with_the_membership(store: AnyStore) {
    let tag = unique();
    let (alice, bob, eve) = (user(tag, "alice"), user(tag, "bob"), user(tag, "eve"));
    let mut node = Node::create(&store, group(&alice, &[&bob])).await;
    let room = node.id().clone();
    let row = async |who: &UserId| {
        let row = store.user_room(who, &room).await.unwrap().unwrap();
        let listed = &store.rooms_of(who, None, 10).await.unwrap().rows[0];
        assert_eq!(listed.preferences, row.preferences);
        row
    };
    assert_eq!(row(&bob).await.preferences, Preferences::default());
    let head = node.room.head().seq();
    let until = Timestamp(u64::MAX >> 20);
    let read = row(&bob).await.cursors.read.seq;
    let pin = PreferencesChange { pinned_at: Some(head), ..Default::default() };
    let mute = PreferencesChange { muted: Some((head, until)), ..Default::default() };
    let unread = PreferencesChange { unread_at: Some(read + 1), ..Default::default() };
    for change in [pin, mute, unread, PreferencesChange::default()] {
        assert!(store.set_preferences(&bob, &room, change).await.unwrap());
        assert!(!store.set_preferences(&eve, &room, change).await.unwrap());
    }
    let after = row(&bob).await;
    assert!(after.preferences.is_pinned(&after.member) && after.preferences.is_marked_unread(&after.cursors));
    assert_eq!(after.preferences.muted(&after.member, Timestamp(1)), Some(until));
    assert_eq!(row(&alice).await.preferences, Preferences::default());
    assert_eq!(store.user_room(&eve, &room).await.unwrap(), None);

    // A mark that moves takes the one of unread away; nothing else.
    node.say(&alice, "hello").await;
    let head = Mark::from(node.room.head());
    store.advance(&bob, &room, cursors(head.seq, head.seq, head.message_count)).await.unwrap();
    let after = row(&bob).await;
    assert!(
        after.preferences.is_pinned(&after.member) && !after.preferences.is_marked_unread(&after.cursors)
    );

    node.write(&[(&alice, Action::Remove { user: bob.clone() })]).await;
    node.write(&[(&alice, add(&[&bob]))]).await;
    let after = row(&bob).await;
    assert!(
        !after.preferences.is_pinned(&after.member) && !after.preferences.is_marked_unread(&after.cursors)
    );
    assert_eq!(after.preferences.muted(&after.member, Timestamp(1)), None);
    let unpin = PreferencesChange {
        pinned_at: Some(0),
        muted: Some((0, Timestamp(0))),
        unread_at: Some(0),
        hidden: None,
    };
    assert!(store.set_preferences(&bob, &room, unpin).await.unwrap());
    assert_eq!(row(&bob).await.preferences, Preferences::default());
}

fn hidden(at: Mark) -> PreferencesChange {
    PreferencesChange { hidden: Some(at), ..Default::default() }
}

fn set_title(title: &str) -> Action {
    let title = Some(Title::parse(title).unwrap());
    Action::Update(SettingsChange { title, ..SettingsChange::default() })
}
