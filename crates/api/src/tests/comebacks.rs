//! Sessions of someone who is removed from a room and added again.
use parlance_proto::v1::server_frame::Frame;

use crate::testing::{Conversation, TestNode, add, caller, remove, say};

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
