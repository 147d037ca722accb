//! The inbox with the latest first.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use parlance_proto::v1;
use parlance_tests::{Conversation, Door, Person, Server, for_each_door, fresh};
use prost_types::Timestamp;

fn latest() -> v1::ListInboxRequest {
    v1::ListInboxRequest { order: v1::InboxOrder::Latest.into(), ..Default::default() }
}

async fn page(at: &mut Conversation, request: v1::ListInboxRequest) -> (Vec<String>, String) {
    let page = at.call(request).await.unwrap();
    let times: Vec<_> = page.entries.iter().map(|entry| moment(entry.active_at.as_ref().unwrap())).collect();
    assert!(times.is_sorted_by(|one, next| one >= next), "{times:?}");
    (page.entries.into_iter().map(|entry| entry.room.unwrap().room_id).collect(), page.next_page_token)
}

/// The rooms of the first page.
async fn listed(at: &mut Conversation, request: v1::ListInboxRequest) -> Vec<String> {
    page(at, request).await.0
}

fn moment(at: &Timestamp) -> (i64, i32) {
    (at.seconds, at.nanos)
}

/// Sends messages until one is later than everything before, so that it is the latest.
async fn say_later(person: &Person, room: &str, clock: &mut (i64, i32)) -> u64 {
    loop {
        let sent = person.chat().send_message(Person::message(room, "later")).await.unwrap().into_inner();
        let at = moment(&sent.at.unwrap());
        if at > *clock {
            *clock = at;
            return sent.seq;
        }
    }
}

/// Groups of both in which bob has said something, one after the other.
async fn rooms(alice: &Person, bob: &Person, count: usize, clock: &mut (i64, i32)) -> Vec<String> {
    let mut rooms = Vec::new();
    for _ in 0..count {
        rooms.push(alice.group(&[bob]).await);
    }
    for room in &rooms {
        say_later(bob, room, clock).await;
    }
    rooms
}

#[tokio::test]
async fn latest_come_first_and_no_room_twice_in_a_walk() {
    let server = Server::start().await;
    for_each_door(async |door| {
        let (alice, bob) = (server.person(&fresh("alice")).await, server.person(&fresh("bob")).await);
        let mut clock = (0, 0);
        let rooms = rooms(&alice, &bob, 5, &mut clock).await;
        let [a, b, c, d, e] = [0, 1, 2, 3, 4].map(|index| rooms[index].clone());
        let mut at_alice = alice.connect(door).await;
        let all = [&e, &d, &c, &b, &a].map(String::clone);
        assert_eq!(listed(&mut at_alice, latest()).await, all);
        let by_id = listed_by_id(&mut at_alice).await;
        let mut sorted = all.to_vec();
        sorted.sort();
        assert_eq!(by_id, sorted, "the order unless another is asked for");

        let (first, token) = page(&mut at_alice, v1::ListInboxRequest { page_size: 2, ..latest() }).await;
        assert_eq!(first, [e.clone(), d.clone()]);
        // One that was seen moves up, and one that was not.
        say_later(&bob, &d, &mut clock).await;
        say_later(&bob, &a, &mut clock).await;
        let rest = v1::ListInboxRequest { page_size: 2, page_token: token.clone(), ..latest() };
        assert_eq!(page(&mut at_alice, rest).await, (vec![c.clone(), b.clone()], String::new()));
        let all = [&a, &d, &e, &c, &b].map(String::clone);
        assert_eq!(listed(&mut at_alice, latest()).await, all);

        // What is no message moves nothing.
        let react = v1::AddReactionRequest {
            room_id: b.clone(),
            seq: say_later(&bob, &b, &mut clock).await,
            emoji: "👍".to_owned(),
            request_id: fresh("react"),
            after_seq: None,
        };
        say_later(&bob, &c, &mut clock).await;
        bob.chat().add_reaction(react).await.unwrap();
        alice.rooms().update_room(titled(&b)).await.unwrap();
        assert_eq!(listed(&mut at_alice, latest()).await, [&c, &b, &a, &d, &e].map(String::clone));

        // A token is for the order that it came with.
        for (order, page_token) in [(v1::InboxOrder::Room, token), (v1::InboxOrder::Latest, a)] {
            let wrong = v1::ListInboxRequest { order: order.into(), page_token, ..Default::default() };
            assert_eq!(at_alice.call(wrong).await.unwrap_err().fields[0].0, "page_token");
        }
        let unknown = v1::ListInboxRequest { order: 99, ..Default::default() };
        assert!(at_alice.call(unknown).await.is_err());
    })
    .await;
}

fn titled(room: &str) -> v1::UpdateRoomRequest {
    v1::UpdateRoomRequest {
        room_id: room.to_owned(),
        title: Some("new".to_owned()),
        request_id: fresh("title"),
        ..Default::default()
    }
}

async fn listed_by_id(at: &mut Conversation) -> Vec<String> {
    let page = at.call(v1::ListInboxRequest::default()).await.unwrap();
    assert!(page.entries.iter().all(|entry| entry.active_at.is_none()));
    page.entries.into_iter().map(|entry| entry.room.unwrap().room_id).collect()
}

#[tokio::test]
async fn latest_are_filtered() {
    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let mut clock = (0, 0);
    let rooms = rooms(&alice, &bob, 4, &mut clock).await;
    let direct = v1::CreateRoomRequest {
        kind: v1::RoomKind::Direct.into(),
        member_ids: vec![bob.id.clone()],
        ..Default::default()
    };
    let direct = alice.rooms().create_room(direct).await.unwrap().into_inner().room.unwrap().room_id;
    say_later(&bob, &direct, &mut clock).await;
    let mut at_alice = alice.connect(Door::Grpc).await;
    let pin = v1::SetRoomPreferencesRequest {
        room_id: rooms[1].clone(),
        pinned: Some(true),
        request_id: fresh("pin"),
        ..Default::default()
    };
    at_alice.call(pin).await.unwrap();
    let hide =
        v1::SetRoomHiddenRequest { room_id: rooms[3].clone(), hidden: true, request_id: fresh("hide") };
    at_alice.call(hide).await.unwrap();
    // Alice reads what she writes in.
    say_later(&alice, &rooms[2], &mut clock).await;

    let [first, second, third, hidden] = [0, 1, 2, 3].map(|index| rooms[index].clone());
    let shown = [&third, &direct, &second, &first].map(String::clone);
    assert_eq!(listed(&mut at_alice, latest()).await, shown);
    let all = [&third, &direct, &hidden, &second, &first].map(String::clone);
    let include = v1::ListInboxRequest { include_hidden: true, ..latest() };
    assert_eq!(listed(&mut at_alice, include).await, all);
    // Filtered before they are put on pages: the first page is full.
    let unread = v1::ListInboxRequest { unread_only: true, page_size: 2, ..latest() };
    assert_eq!(listed(&mut at_alice, unread).await, [direct.clone(), second.clone()]);
    let pinned = v1::ListInboxRequest { pinned_only: true, ..latest() };
    assert_eq!(listed(&mut at_alice, pinned).await, [second]);
    let directs = v1::ListInboxRequest { kinds: vec![v1::RoomKind::Direct.into()], ..latest() };
    assert_eq!(listed(&mut at_alice, directs).await, [direct]);

    // Whoever becomes a member of an old room finds it at the top.
    let carol = server.person("carol").await;
    for room in [&third, &first] {
        let after = clock;
        while {
            let added = alice.add(room, &carol).await;
            let events = alice.log(room).await;
            let at = events.iter().find(|event| event.seq == added).unwrap().at.unwrap();
            clock = moment(&at);
            clock <= after
        } {
            alice.remove(room, &carol).await;
        }
    }
    let mut at_carol = carol.connect(Door::Grpc).await;
    assert_eq!(listed(&mut at_carol, latest()).await, [first, third]);
}
