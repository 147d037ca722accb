//! A fleet during an update, and after a rollback: a later version has written events that this
//! one does not know.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use parlance_proto::v1::event::Body;
use parlance_proto::v1::{self, GapReason};
use parlance_tests::{
    Cluster, Conversation, Door, Item, LATER, Later, LaterVersion, Person, Server, for_each_door, fresh,
    refused, text_of,
};
use prost::Message;
use tonic::Code;

/// Whether it contains the unknown data.
fn shows_unknown(message: &impl Message) -> bool {
    message.encode_to_vec().windows(LATER.len()).any(|part| part == LATER)
}

fn page(room: &str) -> v1::ListEventsRequest {
    v1::ListEventsRequest { room_id: room.to_owned(), ..Default::default() }
}

/// The next events up to `seq`, each complete as far as the transport supports it.
async fn whole(conversation: &mut Conversation, door: Door, room: &str, seq: u64) -> Vec<v1::Event> {
    let events = conversation.events_up_to(room, seq).await;
    if door != Door::WebSocketJson {
        let unknown: Vec<&v1::Event> = events.iter().filter(|event| shows_unknown(*event)).collect();
        assert_eq!(unknown.len(), 4, "{events:?}");
    }
    events
}

fn kinds(events: &[v1::Event]) -> Vec<&'static str> {
    let kind = |event: &v1::Event| match event.body {
        None => "unknown",
        Some(Body::Message(_)) => "message",
        Some(Body::MemberAdded(_)) => "added",
        Some(Body::RoomChanged(_)) => "changed",
        _ => "other",
    };
    events.iter().map(kind).collect()
}

#[tokio::test]
async fn rolled_back_and_forward_nothing_is_lost_and_nobody_locked_out() {
    let mut server = Server::start_with(&["--user-rate", "0"]).await;
    let (alice, bob, carol) =
        (server.person("alice").await, server.person("bob").await, server.person("carol").await);
    let (room, other) = (alice.group(&[&bob]).await, alice.group(&[&bob]).await);
    alice.say(&room, "before").await;
    let written =
        [Later::Kind, Later::Message("with more"), Later::Added("carol"), Later::Settings("A room")];
    server.stop().await;
    let first = LaterVersion::instead_of(&server).write(&room, "alice", &written).await;
    assert_eq!(first, 5);
    server.start_again().await;

    for_each_door(async |door| {
        // In catch-up, in pages, live, and in the inbox.
        let mut resumed = bob.resume(door, &[Person::cursor(&room, 4), Person::cursor(&other, 3)]).await;
        let said = alice.say(&room, "after").await;
        let events = whole(&mut resumed, door, &room, said).await;
        assert_eq!(kinds(&events[..4]), ["unknown", "message", "added", "changed"]);
        assert_eq!(text_of(&events[1]), "with more");
        let events = resumed.call(page(&room)).await.unwrap().events;
        assert_eq!(kinds(&events[4..8]), ["unknown", "message", "added", "changed"]);
        assert_eq!(events[4..8].iter().all(shows_unknown), door != Door::WebSocketJson);
        let inbox = resumed.call(v1::ListInboxRequest::default()).await.unwrap();
        assert_eq!((inbox.entries.len(), inbox.unreadable_room_ids.len()), (2, 0));
        // The unknown role grants nothing, and the unknown visibility opens nothing.
        let mut newcomer = carol.connect(door).await;
        let Item::Gap(gap) = newcomer.item().await else { panic!("an event from before") };
        assert_eq!((gap.reason(), gap.to_seq), (GapReason::NotMember, 6));
        newcomer.events_up_to(&room, said).await;
        let title = Some("Hers".to_owned());
        let update = v1::UpdateRoomRequest {
            room_id: room.clone(),
            request_id: fresh("update"),
            title,
            ..Default::default()
        };
        let denied = refused(newcomer.call(update).await);
        assert_eq!(denied.0, Code::PermissionDenied);
    })
    .await;
    let latest = alice.say(&room, "the last").await;

    // After upgrading again, the later version reads its own data.
    server.stop().await;
    let later = LaterVersion::instead_of(&server);
    assert!(later.changed(&room, first, &written).await.is_empty());
    assert_eq!(later.write(&room, "bob", &[Later::Kind]).await, latest + 1);
}

#[tokio::test]
async fn nodes_of_two_versions_write_one_room() {
    let cluster = Cluster::start(2).await;
    let (alice, bob) = (cluster.person(0, "alice"), cluster.person(1, "bob"));
    for person in [&alice, &bob] {
        let user = v1::CreateUserRequest { user_id: person.id.clone(), ..Default::default() };
        person.users().create_user(user).await.unwrap();
    }
    let later = LaterVersion::beside(&cluster).await;
    for_each_door(async |door| {
        let room = alice.group(&[&bob]).await;
        let (mut here, mut there) = (alice.connect(door).await, bob.connect(door).await);
        let before = alice.say(&room, "before").await;
        here.events_up_to(&room, before).await;
        there.events_up_to(&room, before).await;
        let written = [Later::Kind, Later::Message("with more"), Later::Settings("A room"), Later::Kind];
        let first = later.write(&room, "bob", &written).await;
        // One node finds it when it writes, and the other through that node's publish.
        let said = alice.say(&room, "after").await;
        assert_eq!(said, first + 4);
        for conversation in [&mut here, &mut there] {
            let events = whole(conversation, door, &room, said).await;
            assert_eq!(kinds(&events), ["unknown", "message", "changed", "unknown", "message"]);
        }
        // Unknown data survives an edit, and is removed by a deletion.
        let (room_id, request_id) = (room.clone(), fresh("edit"));
        let (seq, text) = (first + 1, "edited".to_owned());
        let edit =
            v1::EditMessageRequest { room_id, seq, text, request_id, after_seq: None, ..Default::default() };
        bob.chat().edit_message(edit).await.unwrap();
        let get = || v1::GetMessageRequest { room_id: room.clone(), seq: first + 1 };
        let edited = alice.chat().get_message(get()).await.unwrap().into_inner().message.unwrap();
        assert_eq!((text_of(&edited), shows_unknown(&edited)), ("edited", true));
        let (room_id, request_id) = (room.clone(), fresh("delete"));
        let delete = v1::DeleteMessageRequest { room_id, seq: first + 1, request_id, after_seq: None };
        bob.chat().delete_message(delete).await.unwrap();
        let deleted = alice.chat().get_message(get()).await.unwrap().into_inner().message.unwrap();
        assert!(!shows_unknown(&deleted) && text_of(&deleted).is_empty());
        let log = alice.log(&room).await;
        let unknown: Vec<u64> =
            log.iter().filter(|event| shows_unknown(*event)).map(|event| event.seq).collect();
        assert_eq!(unknown, [first, first + 2, first + 3]);
        assert!(later.changed(&room, first, &written).await.is_empty());
    })
    .await;
}
