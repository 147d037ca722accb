//! Opening sessions while rooms change or cannot be read.
use parlance_core::RoomId;
use parlance_proto::v1;

use v1::server_frame::Frame;

use crate::testing::{Conversation, TestNode, caller, group, say, soon, user};
use parlance_store::LogStore;

async fn rooms(node: &TestNode, count: usize) -> Vec<RoomId> {
    node.store.answer_all();
    let mut rooms = Vec::new();
    for number in 0..count {
        let created = node.api.rooms().create(group(&format!("room-{number}"))).await.unwrap();
        rooms.push(created.into_parts().0.info.id);
    }
    rooms.sort();
    rooms
}

/// Bob opens a session while he is added to more rooms than fit on a page, all of which sort
/// before the rooms he already has.
async fn heads_while_being_added(node: &TestNode) -> (Vec<RoomId>, Vec<String>) {
    let rooms = rooms(node, 10).await;
    let before_the_page_ends = |creation: &parlance_core::Creation| creation.info.id < rooms[2];
    let added = (0..).map(|number| group(&format!("added-{number}"))).filter(before_the_page_ends);
    *node.store.meanwhile.lock().unwrap() = added.take(7).collect();
    let mut bob = Conversation::open(&node.api, caller("bob")).await;
    let heads = bob.heads().iter().map(|head| head.room_id.clone()).collect();
    // Each of them opens and catches up to its head.
    soon(bob.catch_up()).await;
    (rooms, heads)
}

#[tokio::test]
async fn session_has_all_rooms_while_its_user_is_added_to_others() {
    let (rooms, heads) = heads_while_being_added(&TestNode::start()).await;
    let missing: Vec<_> =
        rooms.iter().filter(|room| !heads.iter().any(|head| head == room.as_str())).collect();
    assert_eq!(missing, Vec::<&RoomId>::new());
}

#[tokio::test]
async fn room_with_damaged_user_row_is_the_only_one_left_out() {
    let node = TestNode::start();
    let rooms = rooms(&node, 10).await;
    let damaged = &rooms[4];
    let of_bob = (user("bob"), damaged.clone());
    node.store.damaged_user_rooms.lock().unwrap().insert(of_bob.clone());
    let mut bob = Conversation::open(&node.api, caller("bob")).await;
    assert_eq!(bob.heads().len(), 9);
    let Frame::Gap(gap) = bob.next().await else { panic!("not a gap") };
    assert_eq!((gap.room_id.as_str(), gap.reason()), (damaged.as_str(), v1::GapReason::Unreadable));
    bob.catch_up().await;

    let (mut listed, mut in_inbox, mut unreadable) = (0, 0, Vec::new());
    let mut page_token = String::new();
    loop {
        let request =
            v1::ListInboxRequest { page_size: 3, page_token: page_token.clone(), ..Default::default() };
        let inbox = node.api.list_inbox(&caller("bob"), request).await.unwrap();
        let request = v1::ListRoomsRequest { page_size: 3, page_token, ..Default::default() };
        let rooms = node.api.list_rooms(&caller("bob"), request).await.unwrap();
        assert_eq!(inbox.next_page_token, rooms.next_page_token);
        assert_eq!(inbox.unreadable_room_ids, rooms.unreadable_room_ids);
        in_inbox += inbox.entries.len();
        listed += rooms.rooms.len();
        unreadable.extend(rooms.unreadable_room_ids);
        page_token = rooms.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!((listed, in_inbox, unreadable), (9, 9, vec![damaged.to_string()]));

    node.store.damaged_user_rooms.lock().unwrap().remove(&of_bob);
    let said = say(&node.api, damaged, "whole again").await;
    loop {
        if let Frame::Event(event) = bob.next().await
            && event.seq == said
        {
            assert_eq!(event.room_id, damaged.as_str());
            return;
        }
    }
}

#[tokio::test]
async fn an_unreadable_room_is_a_gap_and_is_opened_once_it_can_be_read() {
    let node = TestNode::start();
    let rooms = rooms(&node, 5).await;
    let bad = rooms[1].clone();
    node.store.damaged.lock().unwrap().insert(bad.clone());
    let mut bob = Conversation::open(&node.api, caller("bob")).await;
    assert_eq!(bob.heads().len(), 4);
    let Frame::Gap(gap) = bob.next().await else { panic!("not a gap") };
    assert_eq!((&gap.room_id, gap.reason()), (&bad.to_string(), v1::GapReason::Unreadable));
    bob.catch_up().await;

    node.store.damaged.lock().unwrap().clear();
    let head = node.store.room(&bad).await.unwrap().unwrap().head().seq();
    let mut seen = 0;
    while seen < head {
        match bob.next().await {
            Frame::Event(event) => {
                assert!(event.room_id == bad.as_str() && event.seq > seen, "{event:?}");
                seen = event.seq;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(bob.waiting().is_empty(), "it is opened once");
    let said = say(&node.api, &bad, "read again").await;
    let Frame::Event(event) = bob.next().await else { panic!("not an event") };
    assert_eq!((event.room_id.as_str(), event.seq), (bad.as_str(), said));
}

#[tokio::test]
async fn lists_name_the_rooms_that_they_leave_out() {
    let node = TestNode::start();
    let rooms = rooms(&node, 3).await;
    node.store.damaged.lock().unwrap().insert(rooms[1].clone());
    let left_out = vec![rooms[1].to_string()];
    let listed = node.api.list_rooms(&caller("bob"), v1::ListRoomsRequest::default()).await.unwrap();
    assert_eq!((listed.rooms.len(), listed.unreadable_room_ids), (2, left_out.clone()));
    let inbox = node.api.list_inbox(&caller("bob"), v1::ListInboxRequest::default()).await.unwrap();
    assert_eq!((inbox.entries.len(), inbox.unreadable_room_ids), (2, left_out));
}
