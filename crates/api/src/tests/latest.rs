//! The inbox with the latest first, which puts three rooms in order here.

use parlance_core::RoomId;
use parlance_proto::v1;

use crate::testing::{TestNode, caller, say};

async fn create(node: &TestNode, id: &str) -> RoomId {
    let request = v1::CreateRoomRequest {
        kind: v1::RoomKind::Group.into(),
        member_ids: vec!["bob".to_owned()],
        request_id: id.to_owned(),
        ..Default::default()
    };
    let created = node.api.create_room(&caller("alice"), request).await.unwrap();
    RoomId::parse(&created.room.unwrap().room_id).unwrap()
}

async fn latest(node: &TestNode) -> v1::ListInboxResponse {
    let request = v1::ListInboxRequest { order: v1::InboxOrder::Latest.into(), ..Default::default() };
    node.api.list_inbox(&caller("bob"), request).await.unwrap()
}

#[tokio::test]
async fn more_rooms_than_are_put_in_order_are_said_to_be_missing() {
    let (node, _) = TestNode::with_group().await;
    for id in ["2", "3"] {
        create(&node, id).await;
    }
    let all = latest(&node).await;
    assert_eq!((all.entries.len(), all.is_partial), (3, false));
    create(&node, "4").await;
    let some = latest(&node).await;
    assert_eq!((some.entries.len(), some.is_partial), (3, true));
}

#[tokio::test]
async fn unreadable_room_has_no_place_and_is_named() {
    let (node, first) = TestNode::with_group().await;
    let (second, third) = (create(&node, "2").await, create(&node, "3").await);
    say(&node.api, &second, "hello").await;
    node.store.damaged.lock().unwrap().insert(first.clone());
    node.store
        .damaged_user_rooms
        .lock()
        .unwrap()
        .insert((parlance_faults::fixture::user("bob"), third.clone()));
    let page = latest(&node).await;
    assert_eq!(page.entries.len(), 1);
    assert_eq!(page.entries[0].last_message.as_ref().unwrap().seq, 4);
    let mut unreadable = page.unreadable_room_ids;
    unreadable.sort();
    let mut expected = vec![first.to_string(), third.to_string()];
    expected.sort();
    assert_eq!(unreadable, expected);
}
