//! What rooms keep in memory, within the budget of the process.

use parlance_core::RoomId;

use crate::testing::{TestNode, group, say};
use crate::{Parts, ROOM_MEMORY};

const ROOMS: usize = 30;

/// A node with many rooms. In each, bob has had a session while alice sent messages.
async fn busy(room_memory: usize) -> (TestNode, Vec<RoomId>) {
    let (node, first) = TestNode::with_group_from(|parts| Parts { room_memory, ..parts }).await;
    let mut rooms = vec![first];
    for number in 1..ROOMS {
        let creation = group(&format!("room-{number}"));
        rooms.push(node.api.rooms().create(creation).await.unwrap().into_parts().0.info.id);
    }
    for room in &rooms {
        let (_mailbox, _listening) = node.live("bob", room).await;
        for text in ["one", "two", "three"] {
            say(&node.api, room, text).await;
        }
    }
    (node, rooms)
}

#[tokio::test]
async fn rooms_beyond_the_budget_are_dropped_and_still_recognise_repeats() {
    let (unbounded, _) = busy(ROOM_MEMORY).await;
    let all = unbounded.api.hub().memory().used();

    let (node, rooms) = busy(all / 5).await;
    let held = node.api.hub().memory().used();
    // More than the budget: the last room was loaded while there was a little left, and others grew.
    assert!(held > 0 && held <= all * 2 / 5, "{held} of {all} bytes");
    for room in [&rooms[0], &rooms[ROOMS - 1]] {
        let head = say(&node.api, room, "three").await;
        assert_eq!(say(&node.api, room, "four").await, head + 1, "a repeat appends nothing");
    }
}
