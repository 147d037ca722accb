//! Read marks derived from the log.

use parlance_core::{Action, Cursors, Mark, UserId};

use crate::contract::fixture::{AnyStore, Node, group, send, unique, user};
use crate::endpoint::faulty;

async fn read(node: &Node, user: &UserId) -> (u64, u64) {
    let stored = node.store.user_room(user, node.id()).await.unwrap().unwrap();
    (stored.cursors.read.seq, stored.cursors.read.message_count)
}

/// A room of two, in which bob wrote one message and then alice `count`, in chunks of
/// five.
async fn room(store: &AnyStore, count: usize) -> (Node, UserId, UserId) {
    let tag = unique();
    let (alice, bob) = (user(tag, "alice"), user(tag, "bob"));
    let mut node = Node::create(store, group(&alice, &[&bob])).await;
    node.say(&bob, "first").await;
    let five = vec![(&alice, send("more")); 5];
    for _ in 0..count / 5 {
        node.write(&five).await;
    }
    (node, alice, bob)
}

#[tokio::test]
async fn slow_refresh_is_shared() {
    let (store, dynamodb) = faulty().await;
    let (mut node, _, bob) = room(&store, 300).await;
    let queries = |before: u64| dynamodb.tally().requests_of("Query") - before;

    assert_eq!(read(&node, &bob).await, (4, 1));
    assert_eq!(dynamodb.tally().requests_of("UpdateItem"), 1, "the look was stored");
    let before = dynamodb.tally().requests_of("Query");
    assert_eq!(read(&node, &bob).await, (4, 1));
    assert_eq!(queries(before), 1, "all was looked at again");
    assert_eq!(dynamodb.tally().requests_of("UpdateItem"), 1);

    // Later messages are found, too.
    let own = node.say(&bob, "second").await;
    assert_eq!(read(&node, &bob).await, (own, 302));
}

#[tokio::test]
async fn a_mark_in_the_middle_of_a_chunk_hides_nothing_behind_it() {
    let (store, _dynamodb) = faulty().await;
    let (mut node, alice, bob) = room(&store, 0).await;
    node.write(&[(&alice, send("5")), (&bob, send("6")), (&alice, send("7")), (&bob, send("8"))]).await;
    let first = node.head() - 3;
    let to = Cursors { delivered: 0, read: Mark { seq: first, message_count: 2, deleted_count: 0 } };
    let reached = store.advance(&bob, node.id(), to).await.unwrap().unwrap();
    assert_eq!((reached.read.seq, reached.read.message_count), (first + 3, 5));
    // In lists, marks are as stored.
    let listed = store.rooms_of(&bob, None, 10).await.unwrap().rows;
    assert_eq!(listed[0].cursors.read.seq, first);
}

#[tokio::test]
async fn former_member_has_no_later_read_mark() {
    let (store, dynamodb) = faulty().await;
    let (mut node, alice, bob) = room(&store, 0).await;
    let own = node.say(&bob, "bye").await;
    node.write(&[(&bob, Action::Leave)]).await;
    for _ in 0..30 {
        node.write(&vec![(&alice, send("more")); 10]).await;
    }
    let before = dynamodb.tally().requests_of("Query");
    assert_eq!(read(&node, &bob).await, (own, 2));
    assert!(dynamodb.tally().requests_of("Query") - before <= 2, "what came after leaving was looked at");
}
