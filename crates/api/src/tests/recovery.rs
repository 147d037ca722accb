//! What a node finds that nobody told.
use parlance_proto::v1;
use parlance_registry::Notice;
use v1::event::Body;
use v1::server_frame::Frame;

use super::receive;
use crate::testing::{Conversation, TestNode, add, caller, remove, say};

/// All hints of it are lost: the session is still that of the membership before.
#[tokio::test]
async fn whoever_was_removed_and_added_again_hears_the_room_again() {
    let (node, room) = TestNode::with_group().await;
    let mut at_bob = Conversation::open(&node.api, caller("bob")).await;
    at_bob.catch_up().await;
    let other = node.other();
    let removed = remove(&other, &room, "bob").await;
    // More than are read at once: the return lies in a hole that this node delivers past.
    for text in ["1", "2", "3", "4"] {
        say(&other, &room, text).await;
    }
    let added = add(&other, &room, "bob").await;
    say(&other, &room, "welcome back").await;
    receive(&node, [Notice::Missed]).await;
    // Before the session has come to the removal.
    while !node.api.recovery().settled {
        tokio::task::yield_now().await;
    }

    let mut got = Vec::new();
    while got.last() != Some(&"live".to_owned()) {
        got.push(match at_bob.next().await {
            Frame::Event(event) => match event.body.unwrap() {
                Body::Message(message) => message.text,
                _ => event.seq.to_string(),
            },
            Frame::Gap(gap) => format!("gap {}-{}", gap.from_seq, gap.to_seq),
            _ => continue,
        });
        if got.last() == Some(&"welcome back".to_owned()) {
            say(&node.api, &room, "live").await;
        }
    }
    let (removed, added) = (removed.to_string(), added.to_string());
    assert_eq!(got, [removed.as_str(), "gap 5-8", &added, "welcome back", "live"]);
}
