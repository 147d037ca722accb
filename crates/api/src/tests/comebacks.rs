//! Sessions of someone who is removed from a room and added again, or who connects again and again.
use std::num::NonZeroU32;

use parlance_proto::v1::server_frame::Frame;

use crate::limits::ROOMS_FOR_ONE;
use crate::testing::{Conversation, TestNode, add, caller, group, remove, say, user_caller};
use crate::{Parts, PeopleLimits};

/// As on hello, events that the session has already seen, perhaps on another device, are
/// not pushed again.
#[tokio::test]
async fn returning_member_is_pushed_only_new_membership() {
    let (node, room) = TestNode::with_group().await;
    for text in ["1", "2", "3", "4", "5"] {
        say(&node.api, &room, text).await;
    }
    remove(&node.api, &room, "bob").await;
    say(&node.api, &room, "without bob").await;
    // A session without cursors for the room.
    let mut at_bob = Conversation::open(&node.api, caller("bob")).await;
    let added = add(&node.api, &room, "bob").await;
    let last = say(&node.api, &room, "welcome back").await;
    let (mut events, mut gap_to) = (Vec::new(), 0);
    while events.last() != Some(&last) {
        match at_bob.next().await {
            Frame::Event(event) => events.push(event.seq),
            Frame::Gap(gap) => {
                assert!(events.is_empty(), "{gap:?} after {events:?}");
                assert_eq!(gap.from_seq, gap_to + 1);
                gap_to = gap.to_seq;
            }
            _ => {}
        }
    }
    assert_eq!((gap_to, events), (added - 1, vec![added, last]));
}

/// A reconnect of a user in thousands of rooms reads each of them.
#[tokio::test(start_paused = true)]
async fn sessions_are_opened_the_more_slowly_the_more_rooms_they_read() {
    let limits = PeopleLimits { operations: NonZeroU32::new(10), ..PeopleLimits::NONE };
    let (node, _) = TestNode::with_group_from(|parts| Parts { limits, ..parts }).await;
    let (of_few, of_many) = (user_caller("carol"), user_caller("alice"));
    for number in 1..5 * ROOMS_FOR_ONE {
        node.api.rooms().create(group(&format!("more-{number}"))).await.unwrap();
    }
    // The first burst is of twenty.
    let left = async |user| {
        drop(Conversation::open(&node.api, caller(user)).await);
        let caller = if user == "alice" { &of_many } else { &of_few };
        (0..100).filter(|_| node.api.gate.check_rate(caller).is_ok()).count()
    };
    assert_eq!((left("carol").await, left("alice").await), (19, 14));
}
