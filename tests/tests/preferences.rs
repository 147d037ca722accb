//! Users' preferences for their rooms, inbox filters, and the unread total.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use parlance_client::transport::Door;
use parlance_core::Timestamp;
use parlance_proto::v1::signal::Signal;
use parlance_proto::{convert, v1};
use parlance_tests::{Conversation, Server, for_each_door, fresh};

fn change(room: &str) -> v1::SetRoomPreferencesRequest {
    v1::SetRoomPreferencesRequest { room_id: room.to_owned(), request_id: fresh("set"), ..Default::default() }
}

async fn set(at: &mut Conversation, request: v1::SetRoomPreferencesRequest) -> v1::RoomPreferences {
    at.call(request).await.unwrap().preferences.unwrap()
}

async fn next_signal(at: &mut Conversation) -> v1::RoomPreferencesChanged {
    loop {
        if let Signal::RoomPreferences(changed) = at.signal().await {
            return changed;
        }
    }
}

async fn listed(at: &mut Conversation, request: v1::ListInboxRequest) -> Vec<String> {
    let page = at.call(request).await.unwrap();
    page.entries.into_iter().map(|entry| entry.room.unwrap().room_id).collect()
}

async fn total(at: &mut Conversation, without_muted: bool) -> (u64, u32) {
    let total = at.call(v1::GetUnreadTotalRequest { without_muted }).await.unwrap();
    assert!(!total.is_partial);
    (total.unread_count, total.unread_rooms)
}

#[tokio::test]
async fn preferences_are_ones_own_and_reach_ones_other_devices() {
    let server = Server::start().await;
    for_each_door(async |door| {
        let (alice, bob) = (server.person(&fresh("alice")).await, server.person(&fresh("bob")).await);
        let room = alice.group(&[&bob]).await;
        let (mut at_alice, mut at_phone) = (alice.connect(door).await, alice.connect(Door::Grpc).await);
        let pinned =
            set(&mut at_alice, v1::SetRoomPreferencesRequest { pinned: Some(true), ..change(&room) }).await;
        assert_eq!(pinned, v1::RoomPreferences { pinned: true, ..Default::default() });
        let expected = v1::RoomPreferencesChanged { room_id: room.clone(), preferences: Some(pinned) };
        assert_eq!(next_signal(&mut at_phone).await, expected);
        // Fields that are not named stay unchanged.
        let muted =
            set(&mut at_phone, v1::SetRoomPreferencesRequest { muted: Some(true), ..change(&room) }).await;
        assert_eq!(muted, v1::RoomPreferences { pinned: true, muted: true, ..Default::default() });
        let mut at_bob = bob.connect(door).await;
        let inbox = at_bob.call(v1::ListInboxRequest::default()).await.unwrap();
        assert_eq!(inbox.entries[0].preferences, Some(v1::RoomPreferences::default()));
        let unpin =
            v1::SetRoomPreferencesRequest { pinned: Some(false), muted: Some(false), ..change(&room) };
        assert_eq!(set(&mut at_alice, unpin).await, v1::RoomPreferences::default());
    })
    .await;
}

#[tokio::test]
async fn muting_ends_in_the_future_or_not_at_all() {
    let server = Server::start().await;
    let alice = server.person(&fresh("alice")).await;
    let room = alice.group(&[]).await;
    let mut at_alice = alice.connect(Door::Grpc).await;
    let time = |seconds: u64| Some(convert::timestamp(Timestamp(seconds * 1_000)));
    let later = v1::SetRoomPreferencesRequest {
        muted: Some(true),
        muted_until: time(4_000_000_000),
        ..change(&room)
    };
    assert_eq!(set(&mut at_alice, later.clone()).await.muted_until, time(4_000_000_000));
    let past = v1::SetRoomPreferencesRequest { muted_until: time(1_000), ..later.clone() };
    let alone = v1::SetRoomPreferencesRequest { muted: None, ..later.clone() };
    let unmuting = v1::SetRoomPreferencesRequest { muted: Some(false), ..later };
    let endless = v1::SetRoomPreferencesRequest {
        muted: Some(true),
        muted_until: time(253_402_300_800),
        ..change(&room)
    };
    for wrong in [past, alone, unmuting, endless] {
        let error = at_alice.call(wrong).await.unwrap_err();
        assert_eq!(error.fields[0].0, "muted_until");
    }
    // None of this was applied.
    assert_eq!(set(&mut at_alice, change(&room)).await.muted_until, time(4_000_000_000));
}

#[tokio::test]
async fn the_inbox_is_filtered_and_counted() {
    let server = Server::start().await;
    for_each_door(async |door| {
        let (alice, bob) = (server.person(&fresh("alice")).await, server.person(&fresh("bob")).await);
        let (first, second, third) =
            (alice.group(&[&bob]).await, alice.group(&[&bob]).await, alice.group(&[&bob]).await);
        let direct = v1::CreateRoomRequest {
            kind: v1::RoomKind::Direct.into(),
            member_ids: vec![bob.id.clone()],
            ..Default::default()
        };
        let direct = alice.rooms().create_room(direct).await.unwrap().into_inner().room.unwrap().room_id;
        bob.say(&first, "one").await;
        let seq = bob.say(&first, "two").await;
        bob.say(&second, "three").await;
        let mut at_alice = alice.connect(door).await;
        let unread = v1::ListInboxRequest { unread_only: true, ..Default::default() };
        let sorted = |mut rooms: Vec<String>| {
            rooms.sort();
            rooms
        };
        assert_eq!(listed(&mut at_alice, unread.clone()).await, sorted(vec![first.clone(), second.clone()]));
        assert_eq!(total(&mut at_alice, false).await, (3, 2));

        let mark = v1::SetRoomPreferencesRequest { marked_unread: Some(true), ..change(&third) };
        assert!(set(&mut at_alice, mark).await.marked_unread);
        assert_eq!(total(&mut at_alice, false).await, (3, 3));
        let all = sorted(vec![first.clone(), second.clone(), third.clone()]);
        assert_eq!(listed(&mut at_alice, unread.clone()).await, all);
        // Cleared by moving the mark: the room is like others again.
        let say = bob.say(&third, "four").await;
        let read = v1::MarkReadRequest { room_id: third.clone(), seq: say, ..Default::default() };
        at_alice.call(read).await.unwrap();
        let read = v1::MarkReadRequest { room_id: first.clone(), seq, ..Default::default() };
        at_alice.call(read).await.unwrap();
        assert_eq!(listed(&mut at_alice, unread).await, vec![second.clone()]);

        let mute = v1::SetRoomPreferencesRequest { muted: Some(true), pinned: Some(true), ..change(&second) };
        set(&mut at_alice, mute).await;
        assert_eq!((total(&mut at_alice, false).await, total(&mut at_alice, true).await), ((1, 1), (0, 0)));
        let pinned = v1::ListInboxRequest { pinned_only: true, ..Default::default() };
        assert_eq!(listed(&mut at_alice, pinned).await, vec![second.clone()]);
        let kinds = vec![v1::RoomKind::Direct.into()];
        let directs = v1::ListInboxRequest { kinds, ..Default::default() };
        assert_eq!(listed(&mut at_alice, directs).await, vec![direct]);
        let hide = v1::SetRoomHiddenRequest { room_id: second, hidden: true, request_id: fresh("hide") };
        at_alice.call(hide).await.unwrap();
        assert_eq!(total(&mut at_alice, false).await, (0, 0));
        let unknown = v1::ListInboxRequest { kinds: vec![99], ..Default::default() };
        assert!(at_alice.call(unknown).await.is_err());
    })
    .await;
}
