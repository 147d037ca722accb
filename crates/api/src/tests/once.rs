//! Commands carried out without a room actor.
use std::collections::BTreeSet;

use futures::future::join_all;
use parlance_core::{Action, Authority, Command, Emoji, RequestId, RoomId};
use parlance_store::LogStore;

use crate::testing::{TestNode, say, user};

/// A reaction to the first message.
fn react(number: usize, target: u64) -> Command {
    const FIRST: u32 = 0x1F600;
    let emoji = char::from_u32(FIRST + number as u32).unwrap().to_string();
    Command {
        actor: user(if number.is_multiple_of(2) { "alice" } else { "bob" }),
        authority: Authority::Member,
        request: RequestId::parse(&format!("react-{number}")).unwrap(),
        after: None,
        action: Action::React { target, emoji: Emoji::parse(&emoji).unwrap() },
    }
}

#[tokio::test]
async fn concurrent_writes_are_all_in_the_log_once() {
    let (node, room) = TestNode::with_group().await;
    let message = say(&node.api, &room, "hello").await;
    let others = [node.other(), node.other()];
    let nodes = [&node.api, &others[0], &others[1]];
    let submissions = (0..9).map(|number| {
        let rooms = nodes[number % 3].rooms();
        // One of the three runs an actor for the room as well.
        let (room, command) = (room.clone(), react(number, message));
        async move {
            match number {
                0 => rooms.submit(&room, command).await,
                _ => rooms.submit_once(&room, command).await,
            }
        }
    });
    let outcomes = join_all(submissions).await.into_iter().map(Result::unwrap);
    let seqs: BTreeSet<u64> = outcomes.map(|outcome| outcome.last).collect();
    assert_eq!(seqs, (message + 1..=message + 9).collect());
    assert_eq!(node.store.room(&room).await.unwrap().unwrap().head().seq(), message + 9);

    let again = others[1].rooms().submit_once(&room, react(4, message)).await.unwrap();
    assert!(again.is_repeat && seqs.contains(&again.last));
}

#[tokio::test]
async fn missing_room_is_not_created() {
    let node = TestNode::start();
    node.store.answer_all();
    let nowhere = RoomId::direct(&user("alice"), &user("bob"));
    assert!(node.api.rooms().submit_once(&nowhere, react(0, 1)).await.is_err());
    assert_eq!(node.store.room(&nowhere).await.unwrap(), None);
}
