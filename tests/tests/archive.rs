//! Archived rooms, through every door.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use parlance_proto::v1;
use parlance_proto::v1::event::Body;
use parlance_tests::{Conversation, Person, Server, for_each_door, fresh};

use crate::app::App;

fn archive(room: &str, archived: bool) -> v1::UpdateRoomRequest {
    v1::UpdateRoomRequest {
        room_id: room.to_owned(),
        archived: Some(archived),
        request_id: fresh("archive"),
        ..Default::default()
    }
}

async fn inbox(at: &mut Conversation, include_archived: bool) -> Vec<String> {
    let mut both = Vec::new();
    for order in [v1::InboxOrder::Room, v1::InboxOrder::Latest] {
        let request = v1::ListInboxRequest { order: order.into(), include_archived, ..Default::default() };
        let page = at.call(request).await.unwrap();
        let mut rooms: Vec<String> =
            page.entries.into_iter().map(|entry| entry.room.unwrap().room_id).collect();
        rooms.sort();
        both.push(rooms);
    }
    assert_eq!(both[0], both[1]);
    both.remove(0)
}

async fn unread(at: &mut Conversation) -> u64 {
    at.call(v1::GetUnreadTotalRequest::default()).await.unwrap().unread_count
}

#[tokio::test]
async fn archived_rooms_are_read_and_out_of_the_way() {
    let server = Server::start().await;
    for_each_door(async |door| {
        let (alice, bob) = (server.person(&fresh("alice")).await, server.person(&fresh("bob")).await);
        let (room, other) = (alice.group(&[&bob]).await, alice.group(&[&bob]).await);
        let seq = alice.say(&room, "hello").await;
        let (mut at_alice, mut at_bob) = (alice.connect(door).await, bob.connect(door).await);
        let refused = at_bob.call(archive(&room, true)).await.unwrap_err();
        assert_eq!(refused.reason, "needs_role");
        assert_eq!(unread(&mut at_bob).await, 1);
        let archived = at_alice.call(archive(&room, true)).await.unwrap().outcome.unwrap();
        let event = loop {
            let event = at_bob.event().await;
            if event.seq == archived.seq && event.room_id == room {
                break event;
            }
        };
        let Some(Body::RoomChanged(changed)) = event.body else { panic!("{event:?}") };
        assert!(changed.settings.unwrap().archived);

        for at in [&mut at_alice, &mut at_bob] {
            let refused = at.call(Person::message(&room, "too late")).await.unwrap_err();
            assert_eq!(refused.reason, "room_archived");
        }
        let add = v1::AddMembersRequest {
            room_id: room.clone(),
            user_ids: vec![bob.id.clone()],
            request_id: fresh("add"),
            after_seq: None,
        };
        assert_eq!(at_alice.call(add).await.unwrap_err().reason, "room_archived");
        let rename =
            v1::UpdateRoomRequest { title: Some("old".to_owned()), archived: None, ..archive(&room, true) };
        assert_eq!(at_alice.call(rename).await.unwrap_err().reason, "room_archived");

        assert_eq!((inbox(&mut at_bob, false).await, unread(&mut at_bob).await), (vec![other.clone()], 0));
        let mut all = vec![room.clone(), other];
        all.sort();
        assert_eq!(inbox(&mut at_bob, true).await, all);
        let messages = v1::ListMessagesRequest { room_id: room.clone(), ..Default::default() };
        assert_eq!(at_bob.call(messages).await.unwrap().messages.len(), 1);
        let mark = v1::MarkReadRequest { room_id: room.clone(), seq, request_id: fresh("mark") };
        at_bob.call(mark).await.unwrap();

        let back = v1::UpdateRoomRequest { title: Some("new".to_owned()), ..archive(&room, false) };
        at_alice.call(back).await.unwrap();
        at_bob.call(Person::message(&room, "again")).await.unwrap();
        assert_eq!(inbox(&mut at_bob, false).await, all);

        at_alice.call(archive(&room, true)).await.unwrap();
        let leave =
            v1::LeaveRoomRequest { room_id: room.clone(), request_id: fresh("leave"), after_seq: None };
        at_bob.call(leave).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn the_app_archives_and_deletes_and_writes_no_more_than_others() {
    let app = App::start().await;
    let room = app.alice.group(&[&app.bob]).await;
    let seq = app.bob.say(&room, "hello").await;
    app.backend.rooms().update_room(archive(&room, true)).await.unwrap();
    let refused = app.backend.chat().send_message(Person::message(&room, "closed")).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::FailedPrecondition);
    let delete = || v1::DeleteMessageRequest {
        room_id: room.clone(),
        seq,
        request_id: fresh("delete"),
        after_seq: None,
    };
    let refused = app.bob.chat().delete_message(delete()).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::FailedPrecondition);
    app.backend.chat().delete_message(delete()).await.unwrap();

    let direct = v1::CreateRoomRequest {
        kind: v1::RoomKind::Direct.into(),
        member_ids: vec!["bob".to_owned()],
        ..Default::default()
    };
    let direct = app.alice.rooms().create_room(direct).await.unwrap().into_inner().room.unwrap();
    let refused = app.backend.rooms().update_room(archive(&direct.room_id, true)).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::FailedPrecondition);
}
