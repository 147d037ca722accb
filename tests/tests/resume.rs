//! Reconnecting: with cursors, without, and after a change of membership. Every
//! conversation checks that it has no gaps; see `Contiguity`.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use parlance_proto::v1::event::Body;
use parlance_proto::v1::{self, Gap, GapReason};
use parlance_tests::{
    Cluster, Conversation, DOORS, Door, Item, Person, Server, for_each_door, fresh, refused, run_to_end,
    text_of,
};
use tonic::Code;

fn named(gap: &Gap) -> (u64, u64, GapReason) {
    (gap.from_seq, gap.to_seq, gap.reason())
}

fn texts(events: &[v1::Event]) -> Vec<&str> {
    events.iter().map(text_of).collect()
}

async fn pair(server: &Server) -> (Person, Person, String) {
    let (alice, bob) = (server.person(&fresh("alice")).await, server.person(&fresh("bob")).await);
    let room = alice.group(&[&bob]).await;
    (alice, bob, room)
}

fn join(room: &str) -> v1::JoinRoomRequest {
    v1::JoinRoomRequest { room_id: room.to_owned(), request_id: fresh("join"), after_seq: None }
}

fn leave(room: &str) -> v1::LeaveRoomRequest {
    v1::LeaveRoomRequest { room_id: room.to_owned(), request_id: fresh("leave"), after_seq: None }
}

#[tokio::test]
async fn cursors_give_missed_events_then_live_ones() {
    let server = Server::start().await;
    for_each_door(async |door| {
        let (alice, bob, room) = pair(&server).await;
        let quiet = alice.group(&[&bob]).await;
        let mut before = bob.connect(door).await;
        let seen = alice.say(&room, "seen").await;
        assert_eq!(before.events_up_to(&room, seen).await.len(), 4, "created, two members, a message");
        // The rooms arrive in any order.
        let quiet_head = 3;
        while before.contiguity().reached(&quiet) < quiet_head {
            before.item().await;
        }
        let cursors = before.contiguity().cursors();
        drop(before);
        alice.say(&room, "missed").await;
        alice.say(&room, "missed too").await;

        let mut after = bob.resume(door, &cursors).await;
        let head = |room: &str| after.welcome().heads.iter().find(|head| head.room_id == room).unwrap().seq;
        assert_eq!((head(&room), head(&quiet)), (seen + 2, quiet_head));
        alice.say(&room, "live").await;
        let events = after.events_up_to(&room, seen + 3).await;
        assert_eq!(texts(&events), ["missed", "missed too", "live"]);
        assert!(after.untaken().is_empty(), "nothing of the quiet room");
    })
    .await;
}

#[tokio::test]
async fn without_cursors_what_was_acknowledged_is_a_gap() {
    let server = Server::start().await;
    for_each_door(async |door| {
        let (alice, bob, room) = pair(&server).await;
        let acknowledged = alice.say(&room, "on the phone").await;
        bob.acknowledge(&room, acknowledged).await;
        alice.say(&room, "nowhere yet").await;

        let mut tablet = bob.connect(door).await;
        assert_eq!(named(&tablet.gap().await), (1, acknowledged, GapReason::AcknowledgedElsewhere));
        assert_eq!(text_of(&tablet.event().await), "nowhere yet");

        let request =
            v1::ListEventsRequest { room_id: room.clone(), from_seq: 1, to_seq: acknowledged, page_size: 0 };
        let paged = tablet.call(request).await.unwrap();
        assert_eq!((paged.events.len(), paged.gaps.len(), paged.next_from_seq), (4, 0, 0));
    })
    .await;
}

#[tokio::test]
async fn returning_member_has_a_gap_in_between() {
    let server = Server::start().await;
    for_each_door(async |door| {
        let (alice, bob) = (server.person(&fresh("alice")).await, server.person(&fresh("bob")).await);
        let room = alice.group(&[&bob]).await;
        let seen = alice.say(&room, "with bob").await;
        let left = alice.remove(&room, &bob).await;
        alice.say(&room, "without bob").await;
        alice.say(&room, "still without").await;
        let back = alice.add(&room, &bob).await;
        let head = alice.say(&room, "with bob again").await;

        let mut conversation = bob.resume(door, &[Person::cursor(&room, seen)]).await;
        assert_eq!(conversation.event().await.seq, left);
        assert_eq!(named(&conversation.gap().await), (left + 1, back - 1, GapReason::NotMember));
        assert_eq!(conversation.event().await.seq, back);
        assert_eq!(text_of(&conversation.event().await), "with bob again");

        let request = v1::ListEventsRequest { room_id: room.clone(), page_size: 200, ..Default::default() };
        let paged = conversation.call(request).await.unwrap();
        let seqs = paged.events.iter().map(|event| event.seq).collect::<Vec<_>>();
        assert_eq!(seqs, Vec::from_iter((1..=left).chain(back..=head)));
        assert_eq!(
            paged.gaps.iter().map(named).collect::<Vec<_>>(),
            [(left + 1, back - 1, GapReason::NotMember)]
        );
    })
    .await;
}

/// Leaving and rejoining while connected, as seen by the stream.
#[tokio::test]
async fn a_session_follows_its_user_out_of_a_room_and_back() {
    let server = Server::start().await;
    for_each_door(async |door| {
        let (alice, bob) = (server.person(&fresh("alice")).await, server.person(&fresh("bob")).await);
        let room = alice.channel().await;
        let mut at_bob = bob.connect(door).await;
        let joined = at_bob.call(join(&room)).await.unwrap().outcome.unwrap().seq;
        // A channel's history is visible to new members, but not pushed.
        assert_eq!(named(&at_bob.gap().await), (1, joined - 1, GapReason::TooLong));
        assert_eq!(at_bob.event().await.seq, joined);

        let left = at_bob.call(leave(&room)).await.unwrap().outcome.unwrap().seq;
        assert_eq!(at_bob.event().await.seq, left);
        alice.say(&room, "while bob is away").await;
        let back = at_bob.call(join(&room)).await.unwrap().outcome.unwrap().seq;
        assert_eq!(named(&at_bob.gap().await), (left + 1, back - 1, GapReason::TooLong));
        assert_eq!(at_bob.event().await.seq, back);
        alice.say(&room, "welcome back").await;
        assert_eq!(text_of(&at_bob.event().await), "welcome back");
    })
    .await;
}

#[tokio::test]
async fn being_added_while_connected_brings_the_room() {
    let server = Server::start().await;
    for_each_door(async |door| {
        let (alice, bob) = (server.person(&fresh("alice")).await, server.person(&fresh("bob")).await);
        let mut at_bob = bob.connect(door).await;
        assert_eq!(at_bob.welcome().heads, []);
        let room = alice.group(&[]).await;
        let before = alice.say(&room, "before bob").await;
        let added = alice.add(&room, &bob).await;
        alice.say(&room, "to bob").await;

        assert_eq!(named(&at_bob.gap().await), (1, before, GapReason::NotMember));
        let event = at_bob.event().await;
        assert_eq!((event.seq, &event.actor_id), (added, &alice.id));
        assert!(matches!(event.body, Some(Body::MemberAdded(added)) if added.user_id == bob.id));
        assert_eq!(text_of(&at_bob.event().await), "to bob");
    })
    .await;
}

#[tokio::test]
async fn removal_is_the_last_event_of_a_room() {
    let server = Server::start().await;
    for_each_door(async |door| {
        let (alice, bob, room) = pair(&server).await;
        let other = alice.group(&[&bob]).await;
        let mut at_bob = bob.connect(door).await;
        let removed = alice.remove(&room, &bob).await;
        alice.say(&room, "behind bob's back").await;
        let mut alice_types = alice.connect(door).await;
        alice_types.call(v1::SendTypingRequest { room_id: room.clone() }).await.unwrap();
        // Anything else of the first room would have arrived before this.
        let mark = alice.say(&other, "a mark").await;

        let mut last = None;
        loop {
            match at_bob.item().await {
                Item::Event(event) if event.room_id == room => last = Some(event),
                Item::Event(event) if event.seq == mark => break,
                _ => {}
            }
        }
        let last = last.unwrap();
        assert_eq!(last.seq, removed);
        assert!(matches!(last.body, Some(Body::MemberRemoved(removed)) if removed.user_id == bob.id));

        // Nor on reconnect: the cursor gets the removal, but no head.
        let mut again = bob.resume(door, &[Person::cursor(&room, removed - 1)]).await;
        assert!(again.welcome().heads.iter().all(|head| head.room_id != room));
        assert_eq!(again.events_up_to(&room, removed).await.len(), 1);
        let denied = (Code::PermissionDenied, "not_member".to_owned());
        assert_eq!(refused(again.call(Person::message(&room, "let me in")).await), denied);
        let seen = bob.log(&room).await;
        assert_eq!(seen.last().unwrap().seq, removed);
    })
    .await;
}

#[tokio::test]
async fn cursors_of_foreign_rooms_get_an_open_gap() {
    let server = Server::start().await;
    let eve = server.person("eve").await;
    for_each_door(async |door| {
        let (alice, bob, room) = pair(&server).await;
        let direct = v1::CreateRoomRequest {
            kind: v1::RoomKind::Direct.into(),
            member_ids: vec![bob.id.clone()],
            ..Default::default()
        };
        let direct = alice.rooms().create_room(direct).await.unwrap().into_inner().room.unwrap().room_id;
        // An existing one, a computable one, and an invented one: all the same.
        let foreign = [room, direct, "r0123".to_owned()];
        let cursors = foreign.each_ref().map(|room| Person::cursor(room, 7));
        let mut at_eve: Conversation = eve.resume(door, &cursors).await;
        assert_eq!(at_eve.welcome().heads, []);
        let mut named_rooms = Vec::new();
        for _ in &foreign {
            let gap = at_eve.gap().await;
            assert_eq!((named(&gap), gap.epoch), ((8, 0, GapReason::NotMember), 0));
            named_rooms.push(gap.room_id);
        }
        named_rooms.sort();
        let mut foreign = foreign;
        foreign.sort();
        assert_eq!(named_rooms, foreign);
    })
    .await;
}

/// A restored room has another epoch: seqs may refer to other events.
#[tokio::test]
async fn a_cursor_of_another_epoch_starts_over() {
    let server = Server::start().await;
    for_each_door(async |door| {
        let (alice, bob, room) = pair(&server).await;
        let head = alice.say(&room, "hello").await;
        let cursor = v1::Cursor { epoch: 7, ..Person::cursor(&room, 0) };
        let mut conversation = bob.resume(door, &[cursor]).await;
        let (gap, known) = (conversation.gap().await, conversation.welcome().heads[0].epoch);
        assert_eq!((named(&gap), gap.epoch), ((1, head, GapReason::Restored), known));
        alice.say(&room, "and on").await;
        assert_eq!(text_of(&conversation.event().await), "and on");
    })
    .await;
}

#[tokio::test]
async fn more_than_is_pushed_at_once_is_a_gap_to_page() {
    let server = Server::start().await;
    let (alice, bob, room) = pair(&server).await;
    let mut at_alice = alice.connect(Door::WebSocketBinary).await;
    let mut head = at_alice.flood(&room, 10_050, |number| number.to_string()).await;
    for door in DOORS {
        let mut at_bob = bob.resume(door, &[Person::cursor(&room, 3)]).await;
        assert_eq!(named(&at_bob.gap().await), (4, head - 10_000, GapReason::TooLong));
        head = alice.say(&room, "live").await;
        let events = at_bob.events_up_to(&room, head).await;
        assert_eq!((events.len(), text_of(&events[10_000])), (10_001, "live"));
    }
}

/// The epoch printed by `parlance restored`.
fn raised(said: &str) -> u64 {
    let epoch = said.split_once("the epoch is ").and_then(|(_, rest)| rest.split(' ').next());
    epoch.and_then(|epoch| epoch.parse().ok()).unwrap_or_else(|| panic!("no epoch: {said}"))
}

/// A client with the room in state `before` reads it again in this epoch, and continues.
async fn room_is_read_anew(alice: &Person, room: &str, before: &v1::Cursor, epoch: u64) {
    assert!(epoch > before.epoch, "{epoch} after {}", before.epoch);
    for_each_door(async |door| {
        let mut conversation = alice.resume(door, std::slice::from_ref(before)).await;
        let (gap, head) = (conversation.gap().await, conversation.welcome().heads[0].clone());
        assert_eq!(named(&gap), (1, head.seq, GapReason::Restored));
        assert_eq!((gap.epoch, head.epoch), (epoch, epoch));
        let seq = alice.say(room, "and on").await;
        assert_eq!(conversation.event().await.seq, seq);
        // After that it resumes as usual.
        let cursor = v1::Cursor { epoch: head.epoch, ..Person::cursor(room, head.seq) };
        let mut again = alice.resume(door, &[cursor]).await;
        assert_eq!(again.event().await.seq, seq);
    })
    .await;
}

/// The cursor of a client that is connected now.
async fn held(person: &Person, room: &str) -> v1::Cursor {
    let head = person.connect(Door::Grpc).await.welcome().heads[0].clone();
    assert_eq!(head.room_id, room);
    v1::Cursor { epoch: head.epoch, ..Person::cursor(room, head.seq) }
}

#[tokio::test]
async fn clients_start_over_after_parlance_restored_on_data_directory() {
    let mut server = Server::start_with(&["--user-rate", "0"]).await;
    let alice = server.person("alice").await;
    let room = alice.group(&[]).await;
    alice.say(&room, "hello").await;
    let before = held(&alice, &room).await;
    let data = server.data();
    let command = ["restored", "--data-dir", data.to_str().unwrap()];
    let running = run_to_end(&command).await;
    assert!(!running.status.success(), "not while the server has it");
    server.stop().await;
    let output = run_to_end(&command).await;
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    server.start_again().await;
    room_is_read_anew(&alice, &room, &before, raised(&said)).await;
}

#[tokio::test]
async fn clients_start_over_after_parlance_restored_on_tables() {
    let mut cluster = Cluster::start(1).await;
    let alice = cluster.person(0, "alice");
    alice.users().get_user(v1::GetUserRequest { user_id: "me".to_owned() }).await.unwrap();
    let room = alice.group(&[]).await;
    alice.say(&room, "hello").await;
    let before = held(&alice, &room).await;
    cluster.nodes[0].stop().await;
    let said = cluster.run(&["restored", "--store", "dynamodb"]).await;
    cluster.start_again(0).await;
    room_is_read_anew(&alice, &room, &before, raised(&said)).await;
}

#[tokio::test]
async fn events_ahead_of_the_head_are_an_empty_page() {
    let server = Server::start().await;
    let (alice, bob, room) = pair(&server).await;
    let head = alice.say(&room, "hello").await;
    for_each_door(async |door| {
        let mut at_bob = bob.connect(door).await;
        for from_seq in [head + 1, head + 1_000, u64::MAX] {
            let request = v1::ListEventsRequest { room_id: room.clone(), from_seq, ..Default::default() };
            let page = at_bob.call(request).await.unwrap();
            let empty = v1::ListEventsResponse { head_seq: head, ..Default::default() };
            assert_eq!(page, empty, "from {from_seq}");
        }
        // Nor does it wait for events beyond the upper bound.
        let request =
            v1::ListEventsRequest { room_id: room.clone(), from_seq: head, to_seq: u64::MAX, page_size: 0 };
        let page = at_bob.call(request).await.unwrap();
        assert_eq!((page.events.len(), page.head_seq, page.next_from_seq), (1, head, 0));
    })
    .await;
}
