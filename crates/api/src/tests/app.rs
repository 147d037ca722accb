//! The app's own backend at the operations themselves.

use parlance_core::{Caller, Refusal};
use parlance_proto::v1;

use crate::Error;
use crate::gate::Admitted;
use crate::testing::{TestNode, caller, say, user};

fn service() -> Admitted {
    let user = user("backend");
    let (is_service, is_admin, service) = (true, false, None);
    let (expires_at, client, token, issued_at) = (u64::MAX, None, None, None);
    Caller { user, is_service, is_admin, service, client, expires_at, token, issued_at, profile: None }.into()
}

fn own(id: &str) -> v1::CreateRoomRequest {
    v1::CreateRoomRequest {
        kind: v1::RoomKind::Group.into(),
        room_id: id.to_owned(),
        owner_id: "alice".to_owned(),
        ..Default::default()
    }
}

#[tokio::test]
async fn room_with_an_id_of_the_app_is_created_once_for_all_callers() {
    let (node, _) = TestNode::with_group().await;
    let created = node.api.create_room(&service(), own("order-42")).await.unwrap();
    assert!(!created.is_repeat);
    // The same id as another user, with other members.
    let again =
        v1::CreateRoomRequest { owner_id: String::new(), member_ids: vec!["bob".into()], ..own("order-42") };
    let as_carol = Caller { user: user("ops"), ..(*service()).clone() }.acting_as(user("carol")).into();
    // Carol is not a member: creating the room again must not give her access.
    let refused = node.api.create_room(&as_carol, again.clone()).await;
    assert_eq!(refused, Err(Error::RoomNotFound));
    let repeat = node.api.create_room(&service(), again).await.unwrap();
    assert_eq!((repeat.is_repeat, repeat.room.unwrap().member_count), (true, 1));
    let refused = node.api.create_room(&caller("alice"), own("order-43")).await;
    assert_eq!(refused, Err(Error::NeedsScopeFor("room_id")));
    for made in ["d884a452152d3bf048cc051df8f708aff", "a/b", ".."] {
        let refused = node.api.create_room(&service(), own(made)).await;
        assert!(matches!(refused, Err(Error::Field(field, _)) if field == "room_id"), "{made}");
    }
}

#[tokio::test]
async fn the_app_reads_any_room_and_marks_none() {
    let (node, room) = TestNode::with_group().await;
    let seq = say(&node.api, &room, "hello").await;
    let room_id = room.to_string();
    let list = v1::ListMessagesRequest { room_id: room_id.clone(), ..Default::default() };
    assert_eq!(node.api.list_messages(&service(), list).await.unwrap().messages.len(), 1);
    let get = v1::GetRoomRequest { room_id: room_id.clone() };
    let found = node.api.get_room(&service(), get).await.unwrap();
    assert_eq!(found.membership, None, "it is no member");
    let mark = v1::MarkReadRequest { room_id, seq, ..Default::default() };
    let refused = node.api.mark_read(&service(), mark).await;
    assert_eq!(refused, Err(Error::Refused { room, refusal: Refusal::NotMember }));
}

#[tokio::test]
async fn a_deleted_room_is_refused_to_members_and_unknown_to_others() {
    let (node, room) = TestNode::with_group().await;
    say(&node.api, &room, "hello").await;
    let delete = v1::DeleteRoomRequest {
        room_id: room.to_string(),
        request_id: "delete".to_owned(),
        ..Default::default()
    };
    node.api.delete_room(&caller("alice"), delete).await.unwrap();
    let refusals =
        [("alice", Refusal::RoomDeleted), ("bob", Refusal::RoomDeleted), ("carol", Refusal::NotMember)];
    // On the node that deleted it, and on one that missed the hint.
    for api in [node.api.clone(), node.other()] {
        for (who, refusal) in &refusals {
            let get = v1::GetRoomRequest { room_id: room.to_string() };
            let refused = Error::Refused { room: room.clone(), refusal: refusal.clone() };
            assert_eq!(api.get_room(&caller(who), get).await.unwrap_err(), refused, "{who}");
            let list = v1::ListMessagesRequest { room_id: room.to_string(), ..Default::default() };
            assert_eq!(api.list_messages(&caller(who), list).await.unwrap_err(), refused, "{who}");
        }
        let inbox = api.list_inbox(&caller("bob"), v1::ListInboxRequest::default()).await.unwrap();
        assert!(inbox.entries.is_empty());
    }
}
