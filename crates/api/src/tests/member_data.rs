//! Data of members at sessions that are behind.

use parlance_proto::v1;
use prost_types::value::Kind;
use prost_types::{Struct, Value};
use v1::event::Body;
use v1::server_frame::Frame;

use crate::testing::{Conversation, TestNode, caller, remove};

fn data(team: &str) -> Struct {
    let value = Value { kind: Some(Kind::StringValue(team.to_owned())) };
    Struct { fields: [("team".to_owned(), value)].into() }
}

/// The data of the events that wait, and how many other events do.
fn waiting(at: &mut Conversation) -> (Vec<Option<Struct>>, usize) {
    let (mut updated, mut others) = (Vec::new(), 0);
    for frame in at.waiting() {
        match frame {
            Frame::Event(v1::Event { body: Some(Body::MemberUpdated(event)), .. }) => {
                updated.push(event.data)
            }
            Frame::Event(_) => others += 1,
            _ => {}
        }
    }
    (updated, others)
}

#[tokio::test]
async fn data_that_is_no_longer_a_members_is_not_delivered_to_who_is_behind() {
    let (node, room) = TestNode::with_group().await;
    let mut at_alice = Conversation::open(&node.api, caller("alice")).await;
    at_alice.catch_up().await;
    at_alice.waiting();
    let set = async |team: &str| {
        let request = v1::UpdateMemberRequest {
            room_id: room.to_string(),
            user_id: "me".to_owned(),
            data: Some(data(team)),
            request_id: team.to_owned(),
            ..Default::default()
        };
        node.api.update_member(&caller("bob"), request).await.unwrap();
    };
    set("red").await;
    set("blue").await;
    assert_eq!(waiting(&mut at_alice), (vec![None, Some(data("blue"))], 0));
    set("green").await;
    remove(&node.api, &room, "bob").await;
    assert_eq!(waiting(&mut at_alice), (vec![None], 1));
}
