use parlance_core::{RequestId, RoomIdKey};
use parlance_proto::error::Failure;
use parlance_store::RoomIds;

use super::*;
use crate::testing::{TestNode, add, caller, group, remove};

fn request(id: &str) -> v1::CreateRoomRequest {
    let kind = v1::RoomKind::Group.into();
    v1::CreateRoomRequest { kind, request_id: id.to_owned(), ..Default::default() }
}

#[tokio::test]
async fn repeats_find_rooms_whose_ids_were_made_without_a_key() {
    let alice = caller("alice");
    let key = RoomIdKey::new([7; RoomIdKey::BYTES]);
    let node = TestNode::start_with(RoomIds { key: key.clone(), some_unkeyed: true });
    node.store.answer_all();
    let old = group("first");
    let old_id = old.info.id.clone();
    node.api.rooms().create(old).await.unwrap();

    node.api.ensure_user(&caller("bob")).await.unwrap();
    let with_bob = v1::CreateRoomRequest { member_ids: vec!["bob".to_owned()], ..request("first") };
    let repeat = node.api.create_room(&alice, with_bob).await.unwrap();
    assert_eq!((repeat.is_repeat, repeat.room.unwrap().room_id), (true, old_id.to_string()));
    let second = RequestId::parse("second").unwrap();
    let expected = RoomId::created(&key, &alice.user, &second);
    for is_repeat in [false, true] {
        let created = node.api.create_room(&alice, request("second")).await.unwrap();
        assert_eq!((created.is_repeat, created.room.unwrap().room_id), (is_repeat, expected.to_string()));
    }
}

/// Sets the title as `by`.
async fn rename(api: &Api, by: &str, room_id: &str, title: &str) {
    let request = v1::UpdateRoomRequest {
        room_id: room_id.to_owned(),
        title: Some(title.to_owned()),
        request_id: title.to_owned(),
        ..Default::default()
    };
    api.update_room(&caller(by), request).await.unwrap();
}

#[tokio::test]
async fn a_repeated_creation_shows_who_has_left_nothing_of_later() {
    let node = TestNode::start();
    node.store.answer_all();
    for id in ["alice", "bob"] {
        node.api.ensure_user(&caller(id)).await.unwrap();
    }
    let with_bob = v1::CreateRoomRequest { member_ids: vec!["bob".to_owned()], ..request("first") };
    let created = node.api.create_room(&caller("alice"), with_bob.clone()).await.unwrap().room.unwrap();
    rename(&node.api, "alice", &created.room_id, "before").await;
    let room_id = created.room_id.clone();
    let leave = v1::LeaveRoomRequest { room_id, request_id: "leave".to_owned(), ..Default::default() };
    node.api.leave_room(&caller("alice"), leave).await.unwrap();
    rename(&node.api, "bob", &created.room_id, "after").await;

    let again = node.api.create_room(&caller("alice"), with_bob).await.unwrap();
    let room = again.room.unwrap();
    assert_eq!((again.is_repeat, room.settings.unwrap().title.as_str()), (true, "before"));
    let in_it = node.api.access(&caller("bob"), &RoomId::parse(&created.room_id).unwrap()).await.unwrap();
    assert!(room.head_seq < in_it.room.head().seq());
}

#[tokio::test]
async fn lists_show_nothing_from_after_a_removal_that_comes_between_their_reads() {
    for include_left in [None, Some(false), Some(true)] {
        let node = TestNode::start();
        node.store.answer_all();
        let room = node.api.rooms().create(group("first")).await.unwrap().into_parts().0.info.id;
        rename(&node.api, "alice", room.as_str(), "before").await;
        let (api, room_id) = (node.api.clone(), room.to_string());
        let work = async move {
            let remove = v1::RemoveMemberRequest {
                room_id: room_id.clone(),
                user_id: "bob".to_owned(),
                request_id: "remove".to_owned(),
                ..Default::default()
            };
            api.remove_member(&caller("alice"), remove).await.unwrap();
            rename(&api, "alice", &room_id, "after").await;
        };
        *node.store.after_page.lock().unwrap() = Some(Box::pin(work));
        let Some(include_left) = include_left else {
            let inbox = node.api.list_inbox(&caller("bob"), Default::default()).await.unwrap();
            assert_eq!(inbox.entries, []);
            continue;
        };
        let request = v1::ListRoomsRequest { include_left, ..Default::default() };
        let listed = node.api.list_rooms(&caller("bob"), request).await.unwrap().rooms;
        let titles: Vec<String> =
            listed.into_iter().map(|room| room.settings.unwrap_or_default().title).collect();
        assert_eq!(titles, if include_left { vec!["before"] } else { vec![] });
    }
}

/// The response to `request`: the room's id and whether it existed, or the refusal.
async fn created(api: &Api, request: v1::CreateRoomRequest) -> Result<(String, bool), String> {
    let created = api.create_room(&caller("alice"), request).await;
    let response = created.map_err(|error| Failure::from(error).reason)?;
    Ok((response.room.unwrap().room_id, response.is_repeat))
}

#[tokio::test]
async fn room_is_created_again_only_as_it_was() {
    let (node, _) = TestNode::with_group().await;
    let first = v1::CreateRoomRequest {
        kind: v1::RoomKind::Group.into(),
        member_ids: vec!["bob".into()],
        request_id: "mine".into(),
        ..Default::default()
    };
    let (id, _) = created(&node.api, first.clone()).await.unwrap();
    let title = Some(v1::RoomSettings { title: "blue".into(), ..Default::default() });
    let same = [
        first.clone(),
        v1::CreateRoomRequest {
            member_ids: vec!["bob".into(), "bob".into(), "alice".into()],
            ..first.clone()
        },
        v1::CreateRoomRequest { settings: title, ..first.clone() },
    ];
    let other = [
        v1::CreateRoomRequest { kind: v1::RoomKind::Channel.into(), ..first.clone() },
        v1::CreateRoomRequest { member_ids: vec![], ..first.clone() },
        v1::CreateRoomRequest { member_ids: vec!["carol".into()], ..first.clone() },
        v1::CreateRoomRequest { member_ids: vec!["bob".into(), "carol".into()], ..first },
    ];
    // First immediately, then after the room has changed its members.
    for _ in 0..2 {
        for request in same.clone() {
            assert_eq!(created(&node.api, request).await, Ok((id.clone(), true)));
        }
        for request in other.clone() {
            let refused = created(&node.api, request.clone()).await;
            assert_eq!(refused, Err("request_id_reused".to_owned()), "{request:?}");
        }
        let room = RoomId::parse(&id).unwrap();
        add(&node.api, &room, "carol").await;
        remove(&node.api, &room, "bob").await;
    }
}

#[tokio::test]
async fn user_without_an_id_is_created_once() {
    let node = TestNode::start();
    let create = |name: &str, request: &str| {
        let request =
            v1::CreateUserRequest { name: name.into(), request_id: request.into(), ..Default::default() };
        let api = node.api.clone();
        async move {
            let created = api.create_user(None, request).await.unwrap();
            (created.user.unwrap().user_id, created.is_repeat)
        }
    };
    let (id, is_repeat) = create("Ann", "first").await;
    assert!(!is_repeat && id.starts_with("ann-"), "{id}");
    assert_eq!(create("Ann", "first").await, (id.clone(), true));
    for (name, request) in [("Ann", "second"), ("Bob", "first"), ("Ann", ""), ("Ann", "")] {
        let (other, is_repeat) = create(name, request).await;
        assert!(!is_repeat && other != id, "{other}");
    }
}
