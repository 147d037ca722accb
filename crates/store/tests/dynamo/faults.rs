//! Failures of the service.

use std::time::Duration;

use parlance_core::{Action, Chunk, Cursors, SeqRange, UserId};
use parlance_faults::dynamodb::{ANY, Fault};
use parlance_store::{AppendError, Created, StoreError};

use crate::contract::fixture::{AnyStore, Node, add, edit, group, profile, react, send, unique, user};
use crate::endpoint::faulty;

/// A room of one member, and that member.
async fn room(store: &AnyStore) -> (Node, UserId) {
    let alice = user(unique(), "alice");
    (Node::create(store, group(&alice, &[])).await, alice)
}

/// Appends like a node: reads the key back while the outcome is unknown.
async fn append(node: &mut Node, actions: &[(&UserId, Action)]) -> Result<u64, AppendError> {
    let (append, room) = node.decide(actions);
    let first = append.chunk.first_seq();
    let mut result = node.store.append(node.id(), append.clone()).await;
    while result == Err(AppendError::Unknown) {
        result = match node.store.chunk(node.id(), first).await {
            Ok(Some(chunk)) if chunk.nonce() == append.chunk.nonce() => Ok(()),
            Ok(Some(_)) => Err(AppendError::HeadMoved),
            Ok(None) => node.store.append(node.id(), append.clone()).await,
            Err(StoreError::Overloaded | StoreError::Unreachable(_)) => Err(AppendError::Unknown),
            Err(error) => Err(error.into()),
        };
    }
    result?;
    node.room = room;
    Ok(first)
}

async fn seqs(node: &Node) -> Vec<u64> {
    let chunks = node.store.chunks_after(node.id(), 0, usize::MAX).await.unwrap();
    chunks.into_iter().flat_map(Chunk::into_events).map(|event| event.seq).collect()
}

#[tokio::test]
async fn retry_that_meets_its_own_first_attempt_succeeds() {
    let (store, dynamodb) = faulty().await;
    let (mut node, alice) = room(&store).await;
    let before = dynamodb.tally().requests_of("PutItem");
    dynamodb.plan().next("PutItem", 1, Fault::LoseAnswer);
    let (append, after) = node.decide(&[(&alice, send("once"))]);
    assert_eq!(store.append(node.id(), append.clone()).await, Ok(()));
    node.room = after;
    assert_eq!(dynamodb.tally().struck_by("lose_answer"), 1);
    assert_eq!(dynamodb.tally().requests_of("PutItem") - before, 2);
    assert_eq!(node.stored().await.tail, append.chunk);

    // Likewise for transactions, for creating a room, and for a user.
    dynamodb.plan().next("TransactWriteItems", 2, Fault::LoseAnswer);
    let bob = user(unique(), "bob");
    let (append, after) = node.decide(&[(&alice, add(&[&bob]))]);
    assert_eq!(store.append(node.id(), append.clone()).await, Ok(()));
    node.room = after;
    assert_eq!(node.stored().await.tail, append.chunk);
    dynamodb.plan().next("TransactWriteItems", 1, Fault::LoseAnswer);
    assert!(matches!(store.create_room(group(&alice, &[])).await, Ok(Created::New(_))));
    dynamodb.plan().next("TransactWriteItems", 1, Fault::LoseAnswer);
    let profile = profile(&alice, "Alice");
    assert_eq!(store.create_user(profile.clone()).await, Ok(Created::New(profile)));
    assert_eq!(dynamodb.tally().struck_by("lose_answer"), 5);
}

#[tokio::test]
async fn an_append_whose_answers_are_all_lost_is_read_back() {
    let (store, dynamodb) = faulty().await;
    let (mut node, alice) = room(&store).await;
    for action in [send("plain"), Action::Leave] {
        dynamodb.plan().often("PutItem", 1.0, Fault::LoseAnswer);
        dynamodb.plan().often("TransactWriteItems", 1.0, Fault::LoseAnswer);
        let (append, after) = node.decide(&[(&alice, action)]);
        assert_eq!(store.append(node.id(), append.clone()).await, Err(AppendError::Unknown));
        dynamodb.plan().clear();
        let there = store.chunk(node.id(), append.chunk.first_seq()).await.unwrap();
        assert_eq!(there, Some(append.chunk));
        node.room = after;
    }
}

#[tokio::test]
async fn an_append_that_never_arrived_is_unknown_too() {
    let (store, dynamodb) = faulty().await;
    let (mut node, alice) = room(&store).await;
    dynamodb.plan().often("PutItem", 1.0, Fault::Cut);
    let (append, after) = node.decide(&[(&alice, send("once"))]);
    assert_eq!(store.append(node.id(), append.clone()).await, Err(AppendError::Unknown));
    assert_eq!(store.chunk(node.id(), append.chunk.first_seq()).await.unwrap(), None);
    dynamodb.plan().clear();
    assert_eq!(store.append(node.id(), append).await, Ok(()));
    node.room = after;
    assert_eq!(node.stored().await.head(), node.room.head());
}

#[tokio::test]
async fn a_throttle_does_not_undo_a_lost_answer() {
    let (store, dynamodb) = faulty().await;
    let (node, alice) = room(&store).await;
    dynamodb.plan().next("PutItem", 1, Fault::LoseAnswer);
    dynamodb.plan().often("PutItem", 1.0, Fault::Throttle);
    let (append, _) = node.decide(&[(&alice, send("stored, although"))]);
    assert_eq!(store.append(node.id(), append).await, Err(AppendError::Unknown));
}

#[tokio::test]
async fn few_throttles_are_hidden() {
    let (store, dynamodb) = faulty().await;
    let (mut node, alice) = room(&store).await;
    for operation in ["PutItem", "Query", "GetItem", "TransactGetItems", "TransactWriteItems", "UpdateItem"] {
        dynamodb.plan().next(operation, 2, Fault::Throttle);
    }
    let message = node.say(&alice, "throttled").await;
    node.write(&[(&alice, edit(message, "throttled, edited"))]).await;
    node.stored().await;
    store.member(node.id(), &alice).await.unwrap().unwrap();
    let read = Cursors { delivered: message, ..Default::default() };
    store.advance(&alice, node.id(), read).await.unwrap().unwrap();
    assert_eq!(dynamodb.tally().struck_by("throttle"), 12);
}

#[tokio::test]
async fn many_throttles_are_an_overload_and_nothing_is_stored() {
    let (store, dynamodb) = faulty().await;
    let (mut node, alice) = room(&store).await;
    let message = node.say(&alice, "before").await;
    dynamodb.plan().often(ANY, 1.0, Fault::Throttle);
    let overloaded = Err(AppendError::Store(StoreError::Overloaded));
    let (plain, _) = node.decide(&[(&alice, send("not now"))]);
    assert_eq!(store.append(node.id(), plain).await, overloaded);
    let (with_overlay, _) = node.decide(&[(&alice, react(message, "👍"))]);
    assert_eq!(store.append(node.id(), with_overlay).await, overloaded);
    assert_eq!(store.create_room(group(&alice, &[])).await, Err(StoreError::Overloaded));
    assert_eq!(store.room(node.id()).await, Err(StoreError::Overloaded));
    assert_eq!(store.member(node.id(), &alice).await, Err(StoreError::Overloaded));
    assert_eq!(store.users(None, 10).await, Err(StoreError::Overloaded));

    dynamodb.plan().clear();
    assert_eq!(node.stored().await.head(), node.room.head());
    assert_eq!(store.overlay(node.id(), message).await.unwrap(), None);
    assert_eq!(store.rooms_of(&alice, None, 10).await.unwrap().rows.len(), 1);
}

#[tokio::test]
async fn transactions_in_the_way_are_waited_for() {
    let (store, dynamodb) = faulty().await;
    let (mut node, alice) = room(&store).await;
    for operation in ["PutItem", "TransactWriteItems", "TransactGetItems", "UpdateItem"] {
        dynamodb.plan().next(operation, 5, Fault::Conflict);
    }
    let message = node.say(&alice, "hello").await;
    node.write(&[(&alice, edit(message, "hello?"))]).await;
    assert!(store.overlay(node.id(), message).await.unwrap().is_some());
    let to = Cursors { delivered: message, ..Default::default() };
    assert_eq!(store.advance(&alice, node.id(), to).await.unwrap().unwrap().delivered, message);
    assert_eq!(dynamodb.tally().struck_by("conflict"), 20);

    dynamodb.plan().often("TransactWriteItems", 1.0, Fault::Conflict);
    let (append, _) = node.decide(&[(&alice, edit(message, "in vain"))]);
    assert_eq!(store.append(node.id(), append).await, Err(AppendError::Store(StoreError::Overloaded)));
}

#[tokio::test]
async fn unprocessed_keys_are_requested_again() {
    let (store, dynamodb) = faulty().await;
    let (mut node, alice) = room(&store).await;
    let mut edits = Vec::new();
    for message in 0..9 {
        let message = node.say(&alice, &format!("{message}, first")).await;
        edits.push(message);
    }
    let from = node.head() + 1;
    for message in edits {
        node.write(&[(&alice, edit(message, &format!("{message}, second")))]).await;
        node.write(&[(&alice, Action::Delete { target: message })]).await;
    }
    // Only edits: their messages, and thus their overlays, are before the
    // range.
    dynamodb.plan().next("BatchGetItem", 3, Fault::PartialBatch);
    // Reads must be consistent, too.
    dynamodb.plan().answer_from_the_past(Duration::from_secs(3_600));
    let range = SeqRange { from, to: node.head() };
    let entries = store.read(node.id(), range, 100, false).await.unwrap();
    assert_eq!(dynamodb.tally().struck_by("partial_batch"), 3);
    assert_eq!(entries.len(), 18);
    assert!(!format!("{entries:?}").contains("second"), "deleted text is read");
}

#[tokio::test]
async fn unavailable_service_is_reported_as_such() {
    let (store, dynamodb) = faulty().await;
    let (node, alice) = room(&store).await;
    drop(dynamodb);
    // It fails soon, but not immediately.
    let ends = async {
        while store.room(node.id()).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), ends).await.unwrap();
    let (append, _) = node.decide(&[(&alice, send("nobody there"))]);
    assert_eq!(store.append(node.id(), append).await, Err(AppendError::Unknown));
    assert!(matches!(store.room(node.id()).await, Err(StoreError::Unreachable(_))));
}

#[tokio::test]
async fn late_write_is_not_applied_twice() {
    let (store, dynamodb) = faulty().await;
    let (mut node, alice) = room(&store).await;
    // Longer than one attempt: the second one is carried out before the first.
    dynamodb.plan().next("PutItem", 1, Fault::Delay(Duration::from_millis(2_800)));
    append(&mut node, &[(&alice, send("slow"))]).await.unwrap();
    append(&mut node, &[(&alice, send("next"))]).await.unwrap();
    assert_eq!(seqs(&node).await, [1, 2, 3, 4]);
}

#[tokio::test]
async fn all_at_once_lose_and_repeat_nothing() {
    let (store, dynamodb) = faulty().await;
    let (mut node, alice) = room(&store).await;
    let plan = dynamodb.plan();
    plan.seed(unique());
    for fault in [Fault::Throttle, Fault::ServerError, Fault::Unavailable, Fault::LoseAnswer, Fault::Cut] {
        plan.often(ANY, 0.04, fault);
    }
    plan.often(ANY, 0.05, Fault::Conflict);
    let mut expected = node.head();
    for message in 0..150 {
        let actions: Vec<_> = match (message % 7, expected) {
            (0, 3..) => vec![(&alice, send("new")), (&alice, react(expected, &format!("e{message}")))],
            _ => vec![(&alice, send("new"))],
        };
        loop {
            match append(&mut node, &actions).await {
                Ok(_) => break,
                Err(AppendError::Store(StoreError::Overloaded)) => {}
                other => panic!("{other:?}"),
            }
        }
        expected = node.head();
        if actions.len() > 1 {
            // The message itself, which is reacted to.
            expected -= 1;
        }
    }
    plan.clear();
    assert_eq!(node.stored().await.head(), node.room.head());
    assert_eq!(seqs(&node).await, (1..=node.head()).collect::<Vec<_>>());
    assert!(dynamodb.tally().struck_by("lose_answer") > 0);
}
