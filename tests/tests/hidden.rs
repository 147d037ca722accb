//! Rooms hidden by their members.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use parlance_client::transport::Door;
use parlance_proto::v1;
use parlance_proto::v1::signal::Signal;
use parlance_tests::{Conversation, Server, for_each_door, fresh};

/// The rooms of the inbox, each with whether it is hidden; the list of rooms has the same ones.
async fn inbox(at: &mut Conversation, include_hidden: bool) -> Vec<(String, bool)> {
    let inbox = at.call(v1::ListInboxRequest { include_hidden, ..Default::default() }).await.unwrap();
    let inbox: Vec<_> =
        inbox.entries.into_iter().map(|entry| (entry.room.unwrap().room_id, entry.hidden)).collect();
    let rooms = at.call(v1::ListRoomsRequest { include_hidden, ..Default::default() }).await.unwrap();
    let rooms: Vec<_> = rooms.rooms.into_iter().map(|room| room.room_id).collect();
    assert_eq!(inbox.iter().map(|(room, _)| room.clone()).collect::<Vec<_>>(), rooms);
    inbox
}

fn set_hidden(room: &str, hidden: bool) -> v1::SetRoomHiddenRequest {
    v1::SetRoomHiddenRequest { room_id: room.to_owned(), hidden, request_id: fresh("hide") }
}

async fn next_hidden(at: &mut Conversation) -> v1::RoomHidden {
    loop {
        if let Signal::RoomHidden(hidden) = at.signal().await {
            return hidden;
        }
    }
}

#[tokio::test]
async fn hidden_room_reappears_with_next_message() {
    let server = Server::start().await;
    for_each_door(async |door| {
        let (alice, bob) = (server.person(&fresh("alice")).await, server.person(&fresh("bob")).await);
        let request = v1::CreateRoomRequest {
            kind: v1::RoomKind::Direct.into(),
            member_ids: vec![bob.id.clone()],
            ..Default::default()
        };
        let created = alice.rooms().create_room(request).await.unwrap().into_inner();
        let direct = created.room.unwrap().room_id;
        let group = alice.group(&[&bob]).await;
        for room in [direct, group] {
            let other = alice.group(&[]).await;
            let seq = bob.say(&room, "before").await;
            let (mut at_alice, mut at_phone) = (alice.connect(door).await, alice.connect(Door::Grpc).await);
            let listed = async |at: &mut Conversation, include| {
                let rooms = inbox(at, include).await;
                rooms.into_iter().find(|(id, _)| *id == room).map(|(_, hidden)| hidden)
            };
            assert_eq!(listed(&mut at_alice, false).await, Some(false));
            at_alice.call(set_hidden(&room, true)).await.unwrap();
            let expected = v1::RoomHidden { room_id: room.clone(), hidden: true };
            assert_eq!(next_hidden(&mut at_phone).await, expected);
            assert_eq!(listed(&mut at_alice, false).await, None);
            assert_eq!(listed(&mut at_alice, true).await, Some(true));
            assert!(inbox(&mut at_alice, false).await.iter().any(|(id, _)| *id == other));
            // Nothing changes for bob, and events other than messages change nothing for alice.
            let mut at_bob = bob.connect(door).await;
            assert_eq!(listed(&mut at_bob, false).await, Some(false));
            let react = v1::AddReactionRequest {
                room_id: room.clone(),
                seq,
                emoji: "\u{1f44b}".to_owned(),
                request_id: fresh("react"),
                after_seq: None,
            };
            at_bob.call(react).await.unwrap();
            assert_eq!(listed(&mut at_alice, false).await, None);
            let history = v1::ListMessagesRequest { room_id: room.clone(), ..Default::default() };
            assert!(!at_alice.call(history).await.unwrap().messages.is_empty());

            let seq = bob.say(&room, "after").await;
            at_alice.events_up_to(&room, seq).await;
            assert_eq!(listed(&mut at_alice, false).await, Some(false));
            // And explicitly by the user.
            at_alice.call(set_hidden(&room, true)).await.unwrap();
            assert_eq!(listed(&mut at_alice, false).await, None);
            at_alice.call(set_hidden(&room, false)).await.unwrap();
            assert_eq!(listed(&mut at_alice, false).await, Some(false));
            assert!(next_hidden(&mut at_phone).await.hidden && !next_hidden(&mut at_phone).await.hidden);
        }
    })
    .await;
}
