//! The inbox: unread counts, and more rooms than fit on a page.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use parlance_proto::v1::{self, InboxEntry};
use parlance_tests::{Conversation, Door, Person, Server, for_each_door, fresh, text_of};

async fn entry(conversation: &mut Conversation, room: &str) -> InboxEntry {
    let inbox = conversation.call(v1::ListInboxRequest::default()).await.unwrap().entries;
    let mut found = inbox.into_iter().filter(|entry| entry.room.as_ref().unwrap().room_id == room);
    found.next().unwrap()
}

async fn mark_read(conversation: &mut Conversation, room: &str, seq: u64) -> u64 {
    let request = v1::MarkReadRequest { room_id: room.to_owned(), seq, request_id: fresh("mark") };
    conversation.call(request).await.unwrap().unread_count
}

/// Messages seen during an earlier membership are still visible to a member who returns.
#[tokio::test]
async fn the_last_message_of_an_earlier_membership_is_shown_to_who_comes_back() {
    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let room = alice.group(&[&bob]).await;
    let hide = v1::UpdateRoomRequest {
        room_id: room.clone(),
        history_visibility: Some(v1::HistoryVisibility::SinceJoined.into()),
        request_id: fresh("hide"),
        ..Default::default()
    };
    alice.rooms().update_room(hide).await.unwrap();
    alice.say(&room, "seen").await;
    alice.remove(&room, &bob).await;
    alice.say(&room, "missed").await;
    alice.add(&room, &bob).await;
    let mut at_bob = bob.connect(Door::Grpc).await;
    let last = entry(&mut at_bob, &room).await.last_message.expect("a message is near");
    assert_eq!(text_of(&last), "seen");
}

/// The unread count is the head's message count minus the count at the mark, wherever it is
/// reported.
#[tokio::test]
async fn unread_is_arithmetic() {
    let server = Server::start().await;
    for_each_door(async |door| {
        let (alice, bob) = (server.person(&fresh("alice")).await, server.person(&fresh("bob")).await);
        let room = alice.group(&[]).await;
        alice.say(&room, "before bob").await;
        alice.add(&room, &bob).await;
        let mut at_bob = bob.connect(door).await;
        assert_eq!(
            entry(&mut at_bob, &room).await.unread_count,
            0,
            "joining starts at the count of that moment"
        );

        let first = alice.say(&room, "one").await;
        let second = alice.say(&room, "two").await;
        let third = alice.say(&room, "three").await;
        let now = entry(&mut at_bob, &room).await;
        assert_eq!((now.unread_count, text_of(now.last_message.as_ref().unwrap())), (3, "three"));
        let event = at_bob.events_up_to(&room, third).await.pop().unwrap();
        assert_eq!(event.message_count - now.read.unwrap().message_count, 3, "by the stream");

        assert_eq!(mark_read(&mut at_bob, &room, second).await, 1);
        assert_eq!(mark_read(&mut at_bob, &room, first).await, 1, "marks only move forward");
        let delete = v1::DeleteMessageRequest {
            room_id: room.clone(),
            seq: third,
            request_id: fresh("delete"),
            after_seq: None,
        };
        alice.chat().delete_message(delete).await.unwrap();
        let now = entry(&mut at_bob, &room).await;
        assert_eq!(now.unread_count, 0, "a deleted message is not unread");
        assert_eq!(mark_read(&mut at_bob, &room, first).await, 0);
        assert_eq!(text_of(now.last_message.as_ref().unwrap()), "");

        at_bob.call(Person::message(&room, "four")).await.unwrap();
        assert_eq!(entry(&mut at_bob, &room).await.unread_count, 0, "who writes has read");
        let mut at_alice = alice.connect(door).await;
        let now = entry(&mut at_alice, &room).await;
        assert_eq!((now.unread_count, now.membership.unwrap().role()), (1, v1::Role::Owner));
    })
    .await;
}

/// The positions of others are known before their first receipt arrives.
#[tokio::test]
async fn receipts_are_there_to_be_asked_for() {
    let server = Server::start().await;
    for_each_door(async |door| {
        let alice = server.person(&fresh("alice")).await;
        let (bob, carol) = (server.person(&fresh("bob")).await, server.person(&fresh("carol")).await);
        let room = alice.group(&[&bob, &carol]).await;
        let first = alice.say(&room, "one").await;
        let last = alice.say(&room, "two").await;
        let mut at_bob = bob.connect(door).await;
        let request = v1::AcknowledgeDeliveryRequest {
            room_id: room.clone(),
            seq: last,
            request_id: fresh("delivered"),
        };
        at_bob.call(request).await.unwrap();
        mark_read(&mut at_bob, &room, first).await;

        let mut at_alice = alice.connect(door).await;
        let mut pages = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = v1::ListReceiptsRequest { room_id: room.clone(), page_size: 2, page_token };
            let page = at_alice.call(request).await.unwrap();
            pages.push(page.receipts);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        let mut known: Vec<(String, u64, u64)> = pages
            .concat()
            .into_iter()
            .map(|receipt| (receipt.user_id, receipt.delivered_seq, receipt.read_seq))
            .collect();
        let joined = known.iter().find(|(user, ..)| *user == carol.id).unwrap().2;
        assert!(joined < first, "carol has read nothing since she came: {known:?}");
        known.retain(|(user, ..)| *user != carol.id);
        assert_eq!(known.len(), 2);
        assert!(known.contains(&(bob.id.clone(), last, first)), "{known:?}");
        assert!(
            known.iter().any(|(user, _, read)| *user == alice.id && *read == last),
            "who writes has read"
        );

        let mut at_carol = carol.connect(door).await;
        carol
            .rooms()
            .leave_room(v1::LeaveRoomRequest {
                room_id: room.clone(),
                request_id: fresh("leave"),
                after_seq: None,
            })
            .await
            .unwrap();
        let request = v1::ListReceiptsRequest { room_id: room.clone(), ..Default::default() };
        let refused = at_carol.call(request.clone()).await.unwrap_err();
        assert_eq!(refused.reason, "not_member");
        assert_eq!(at_alice.call(request).await.unwrap().receipts.len(), 2, "who left is not among them");
    })
    .await;
}

/// A receipt is sent once and may be lost: its content can be read later, also by new members.
/// Removed users neither send receipts nor appear in the answer.
#[tokio::test]
async fn receipts_that_were_not_heard_are_there_to_be_asked_for() {
    let server = Server::start().await;
    for_each_door(async |door| {
        let [alice, bob, carol] = [fresh("alice"), fresh("bob"), fresh("carol")];
        let (alice, bob, carol) =
            (server.person(&alice).await, server.person(&bob).await, server.person(&carol).await);
        let room = alice.group(&[&bob]).await;
        let last = alice.say(&room, "before carol").await;
        let mut at_bob = bob.connect(door).await;
        // Nobody receives these.
        mark_read(&mut at_bob, &room, last).await;
        bob.acknowledge(&room, last).await;
        let added = alice.add(&room, &carol).await;

        let receipts = async |person: &Person| -> Vec<(String, u64, u64)> {
            let request = v1::ListReceiptsRequest { room_id: room.clone(), ..Default::default() };
            let receipts = person.connect(door).await.call(request).await.unwrap().receipts;
            receipts.into_iter().map(|r| (r.user_id, r.delivered_seq, r.read_seq)).collect()
        };
        let of_bob = (bob.id.clone(), last, last);
        for person in [&alice, &carol] {
            assert!(receipts(person).await.contains(&of_bob));
        }
        let of_carol = receipts(&alice).await.into_iter().find(|receipt| receipt.0 == carol.id).unwrap();
        assert!(of_carol.2 <= added, "{of_carol:?}");

        alice.remove(&room, &bob).await;
        let mut at_alice = alice.connect(door).await;
        let request = v1::MarkReadRequest { room_id: room.clone(), seq: added, request_id: fresh("mark") };
        assert_eq!(at_bob.call(request).await.unwrap_err().reason, "not_member");
        // The next receipt that alice gets is carol's, not one of bob's.
        mark_read(&mut carol.connect(door).await, &room, added).await;
        let heard = loop {
            if let v1::signal::Signal::Receipt(receipt) = at_alice.signal().await {
                break receipt;
            }
        };
        assert_eq!((heard.user_id, heard.read_seq), (carol.id.clone(), added));
        for person in [&alice, &carol] {
            assert!(!receipts(person).await.iter().any(|receipt| receipt.0 == bob.id));
        }
    })
    .await;
}

#[tokio::test]
async fn every_device_of_a_person_gets_everything() {
    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let room = alice.group(&[&bob]).await;
    let mut devices = Vec::new();
    for door in parlance_tests::DOORS {
        devices.push(alice.connect(door).await);
    }
    let own = devices[0].call(Person::message(&room, "from one of them")).await.unwrap().seq;
    let last = bob.say(&room, "from another person").await;
    for device in &mut devices {
        let events = device.events_up_to(&room, last).await;
        assert_eq!(events.len() as u64, last);
        assert_eq!(text_of(&events[own as usize - 1]), "from one of them");
    }
}

#[tokio::test]
async fn more_rooms_than_fit_on_a_page() {
    const ROOMS: usize = 230;

    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let mut made = Vec::new();
    for _ in 0..ROOMS {
        made.push(alice.group(&[&bob]).await);
    }
    made.sort();
    for_each_door(async |door| {
        let mut at_bob = bob.connect(door).await;
        let mut heads: Vec<_> = at_bob.welcome().heads.iter().map(|head| head.room_id.clone()).collect();
        heads.sort();
        assert_eq!(heads, made);
        let (mut rooms, mut inbox) = (Vec::new(), Vec::new());
        let mut page_token = String::new();
        loop {
            let request = v1::ListRoomsRequest { page_size: 100, page_token, ..Default::default() };
            let page = at_bob.call(request).await.unwrap();
            rooms.extend(page.rooms.into_iter().map(|room| room.room_id));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        assert_eq!(rooms, made);
        loop {
            let request = v1::ListInboxRequest { page_size: 100, page_token, ..Default::default() };
            let page = at_bob.call(request).await.unwrap();
            inbox.extend(page.entries.into_iter().map(|entry| entry.room.unwrap().room_id));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        assert_eq!(inbox, made);
        // Each room is pushed from its beginning, in any order of rooms.
        for _ in 0..3 * ROOMS {
            at_bob.event().await;
        }
        assert!(made.iter().all(|room| at_bob.contiguity().reached(room) == 3));
        assert!(at_bob.untaken().is_empty());
    })
    .await;
}
