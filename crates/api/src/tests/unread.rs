//! The unread total, which counts three rooms here.

use parlance_proto::v1;

use crate::testing::{TestNode, caller};

/// Creates a group of alice and bob.
async fn create(node: &TestNode, id: &str) -> String {
    let request = v1::CreateRoomRequest {
        kind: v1::RoomKind::Group.into(),
        member_ids: vec!["bob".to_owned()],
        request_id: id.to_owned(),
        ..Default::default()
    };
    node.api.create_room(&caller("alice"), request).await.unwrap().room.unwrap().room_id
}

async fn is_partial(node: &TestNode) -> bool {
    let total = node.api.get_unread_total(&caller("bob"), v1::GetUnreadTotalRequest::default()).await;
    total.unwrap().is_partial
}

#[tokio::test]
async fn only_rooms_that_are_there_use_up_the_total() {
    let (node, _) = TestNode::with_group().await;
    for id in ["2", "3"] {
        create(&node, id).await;
    }
    assert!(!is_partial(&node).await, "all of three rooms");
    let (left, deleted) = (create(&node, "left").await, create(&node, "deleted").await);
    assert!(is_partial(&node).await);
    let leave = v1::LeaveRoomRequest { room_id: left, request_id: "leave".to_owned(), after_seq: None };
    node.api.leave_room(&caller("bob"), leave).await.unwrap();
    assert!(is_partial(&node).await, "of four");
    let delete =
        v1::DeleteRoomRequest { room_id: deleted, request_id: "delete".to_owned(), ..Default::default() };
    node.api.delete_room(&caller("alice"), delete).await.unwrap();
    assert!(!is_partial(&node).await, "of three, with one that was left and one that was deleted");
}
