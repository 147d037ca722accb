//! Two people chat.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use futures::StreamExt;
use parlance_client::Request;
use parlance_proto::v1;
use parlance_proto::v1::client_frame::Operation;
use parlance_proto::v1::reply::Result as Answer;
use parlance_proto::v1::send_message_request::Target;
use parlance_proto::v1::signal::Signal;
use parlance_tests::{DOORS, Person, Server, eventually, for_each_door, fresh, text_of, within};

fn to_user(user: &str, text: &str) -> v1::SendMessageRequest {
    v1::SendMessageRequest { target: Some(Target::ToUser(user.to_owned())), ..Person::message("", text) }
}

#[tokio::test]
async fn two_people_chat_over_any_two_transports() {
    let server = Server::start().await;
    let pairs = DOORS.into_iter().flat_map(|one| DOORS.map(|other| (one, other)));
    for (one, other) in pairs {
        println!("through {one} and {other}");
        let (alice, bob) = (server.person(&fresh("alice")).await, server.person(&fresh("bob")).await);
        let (mut at_alice, mut at_bob) = (alice.connect(one).await, bob.connect(other).await);

        let hello = at_alice.call(to_user(&bob.id, "hello")).await.unwrap();
        let room = hello.room_id;
        let answer = at_bob.call(Person::message(&room, "hello yourself")).await.unwrap();
        assert_eq!((answer.room_id, answer.seq, answer.message_count), (room.clone(), 5, 2));
        assert!(!answer.is_repeat);

        // Both see the room from its beginning on: created, two members, two messages.
        for conversation in [&mut at_alice, &mut at_bob] {
            let events = conversation.events_up_to(&room, 5).await;
            assert_eq!(events.iter().map(|event| event.seq).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
            let [.., first, second] = events.as_slice() else { panic!("{events:?}") };
            assert_eq!((text_of(first), text_of(second)), ("hello", "hello yourself"));
            assert_eq!((&first.actor_id, &second.actor_id), (&alice.id, &bob.id));
            assert_eq!((first.message_count, second.message_count), (1, 2));
            assert!(events.is_sorted_by_key(|event| event.at.map(|at| (at.seconds, at.nanos))));
        }
    }
}

#[tokio::test]
async fn direct_room_is_the_same_whichever_user_starts() {
    let server = Server::start().await;
    for_each_door(async |door| {
        let (alice, bob) = (server.person(&fresh("alice")).await, server.person(&fresh("bob")).await);
        let (mut at_alice, mut at_bob) = (alice.connect(door).await, bob.connect(door).await);
        let (one, other) = tokio::join!(
            at_alice.call(to_user(&bob.id, "are you there?")),
            at_bob.call(to_user(&alice.id, "are you there?")),
        );
        let (one, other) = (one.unwrap(), other.unwrap());
        assert_eq!(one.room_id, other.room_id);
        assert_eq!(one.seq.min(other.seq) + 1, one.seq.max(other.seq));

        let request = v1::CreateRoomRequest {
            kind: v1::RoomKind::Direct.into(),
            member_ids: vec![alice.id.clone()],
            ..Default::default()
        };
        let created = at_bob.call(request).await.unwrap();
        assert!(created.is_repeat);
        assert_eq!(created.room.unwrap().room_id, one.room_id);

        let inbox = at_alice.call(v1::ListInboxRequest::default()).await.unwrap().entries;
        assert_eq!(inbox.len(), 1);
        assert_eq!(inbox[0].peer_id, bob.id);
    })
    .await;
}

#[tokio::test]
async fn presence_typing_and_receipts_reach_the_others() {
    let server = Server::start().await;
    for_each_door(async |door| {
        let (alice, bob) = (server.person(&fresh("alice")).await, server.person(&fresh("bob")).await);
        let room = alice.group(&[&bob]).await;
        let seq = bob.say(&room, "hello").await;
        let mut at_bob = bob.connect(door).await;
        let mut at_alice = alice.connect(door).await;
        let presence = |online| Signal::Presence(v1::Presence { user_id: alice.id.clone(), online });
        assert_eq!(at_bob.signal().await, presence(true));

        at_alice.call(v1::SendTypingRequest { room_id: room.clone() }).await.unwrap();
        let Signal::Typing(typing) = at_bob.signal().await else { panic!("typing was due") };
        assert_eq!((typing.room_id, typing.user_id), (room.clone(), alice.id.clone()));
        assert!(typing.expires_after.is_some_and(|expires| expires.seconds > 0));

        let receipt = |delivered_seq, read_seq, message_count| {
            let (room_id, user_id) = (room.clone(), alice.id.clone());
            Signal::Receipt(v1::Receipt { room_id, user_id, delivered_seq, read_seq, message_count })
        };
        let (room_id, request_id) = (room.clone(), fresh("mark"));
        let delivered = v1::AcknowledgeDeliveryRequest { room_id, seq, request_id };
        assert_eq!(at_alice.call(delivered).await.unwrap().delivered_seq, seq);
        assert_eq!(at_bob.signal().await, receipt(seq, 0, None));

        let (room_id, request_id) = (room.clone(), fresh("mark"));
        let read = at_alice.call(v1::MarkReadRequest { room_id, seq, request_id }).await.unwrap();
        assert_eq!(read.read, Some(v1::ReadMark { seq, message_count: 1 }));
        assert_eq!(read.unread_count, 0);
        assert_eq!(at_bob.signal().await, receipt(0, seq, Some(1)));

        drop(at_alice);
        assert_eq!(at_bob.signal().await, presence(false));
        let asked = v1::GetPresenceRequest { user_ids: vec![bob.id.clone(), alice.id.clone()] };
        let answer = at_bob.call(asked).await.unwrap().presences;
        assert_eq!(answer.iter().map(|presence| presence.online).collect::<Vec<_>>(), [true, false]);
    })
    .await;
}

/// Reading on a phone lowers the badge on a laptop, even in rooms too large for other signals.
#[tokio::test]
async fn read_marks_reach_the_users_other_devices() {
    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let small = alice.group(&[&bob]).await;
    let large = alice.group(&[&bob]).await;
    let others = (0..parlance_core::limits::MAX_SIGNAL_MEMBERS).map(|number| format!("other-{number}"));
    let others: Vec<String> = others.collect();
    for id in &others {
        server.person(id).await;
    }
    for user_ids in others.chunks(40) {
        let request = v1::AddMembersRequest {
            room_id: large.clone(),
            user_ids: user_ids.to_vec(),
            request_id: fresh("add"),
            ..Default::default()
        };
        alice.rooms().add_members(request).await.unwrap();
    }
    for_each_door(async |door| {
        for room in [&small, &large] {
            let seq = alice.say(room, "news").await;
            let (mut phone, mut laptop) = (bob.connect(DOORS[0]).await, bob.connect(door).await);
            let (room_id, request_id) = (room.clone(), fresh("mark"));
            let answer = phone.call(v1::MarkReadRequest { room_id, seq, request_id }).await.unwrap();
            let (room_id, user_id) = (room.clone(), bob.id.clone());
            let message_count = Some(answer.read.unwrap().message_count);
            let receipt = v1::Receipt { room_id, user_id, delivered_seq: 0, read_seq: seq, message_count };
            assert_eq!(laptop.signal().await, Signal::Receipt(receipt));
        }
    })
    .await;
}

#[tokio::test]
async fn someone_is_online_until_their_last_session_ends() {
    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    alice.group(&[&bob]).await;
    let sessions = [alice.connect(DOORS[0]).await, alice.connect(DOORS[1]).await];
    let online = async || {
        let asked = v1::GetPresenceRequest { user_ids: vec!["alice".to_owned()] };
        bob.users().get_presence(asked).await.unwrap().into_inner().presences[0].online
    };
    let [first, second] = sessions;
    drop(first);
    assert!(online().await);
    drop(second);
    eventually("alice is offline", async || (!online().await).then_some(())).await;
}

#[tokio::test]
async fn reloading_a_page_signals_no_presence() {
    let server = Server::start().await;
    for_each_door(async |door| {
        let (alice, bob) = (server.person(&fresh("alice")).await, server.person(&fresh("bob")).await);
        let room = alice.group(&[&bob]).await;
        let mut at_alice = alice.connect(door).await;
        let mut at_bob = bob.connect(door).await;
        let presence = |online| Signal::Presence(v1::Presence { user_id: bob.id.clone(), online });
        assert_eq!(at_alice.signal().await, presence(true));
        for _ in 0..3 {
            drop(at_bob);
            at_bob = bob.connect(door).await;
        }
        at_bob.call(v1::SendTypingRequest { room_id: room }).await.unwrap();
        let next = at_alice.signal().await;
        assert!(matches!(&next, Signal::Typing(typing) if typing.user_id == bob.id), "{next:?}");
        drop(at_bob);
        assert_eq!(at_alice.signal().await, presence(false));
    })
    .await;
}

#[tokio::test]
async fn half_closed_client_still_gets_its_answers() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    let room = alice.group(&[]).await;
    let hello = v1::Hello { device_id: String::new(), cursors: vec![Person::cursor(&room, 2)] };
    let mut operations = vec![Operation::Hello(hello)];
    operations.extend((0..10).map(|_| Person::message(&room, "x").into_operation()));
    let frames = operations.into_iter().zip(0..).map(|(operation, id)| v1::ClientFrame {
        request_id: format!("{id}"),
        operation: Some(operation),
        as_user: String::new(),
    });
    let frames = alice.chat().chat(futures::stream::iter(frames.collect::<Vec<_>>())).await.unwrap();
    let frames: Vec<_> = within("the stream ends", frames.into_inner().collect()).await;
    let answered = frames.iter().filter(|frame| format!("{frame:?}").contains("Reply"));
    assert_eq!(answered.count(), 10);
    assert!(frames.iter().all(Result::is_ok), "it ends in good order");
}

/// Pipelined sends of one connection are decided in order: fast typing on a slow connection is
/// not shuffled.
#[tokio::test]
async fn pipelined_sends_keep_their_order() {
    let server = Server::start().await;
    for_each_door(async |door| {
        let (alice, bob) = (server.person(&fresh("alice")).await, server.person(&fresh("bob")).await);
        let room = alice.group(&[&bob]).await;
        let mut at_alice = alice.connect(door).await;
        let in_flight = at_alice.welcome().limits.as_ref().unwrap().max_in_flight;
        assert_eq!(in_flight, 64);

        for target in [Target::RoomId(room), Target::ToUser(bob.id.clone())] {
            let mut ids = Vec::new();
            for number in 0..3 * in_flight {
                let target = Some(target.clone());
                let message = v1::SendMessageRequest { target, ..Person::message("", &number.to_string()) };
                ids.push(at_alice.send(message.into_operation()).await);
            }
            let mut seqs = Vec::new();
            for id in ids {
                match at_alice.reply(&id).await.unwrap() {
                    Answer::SendMessage(sent) => seqs.push(sent.seq),
                    other => panic!("{other:?}"),
                }
            }
            assert!(seqs.is_sorted_by(|one, next| one < next), "to {target:?}: {seqs:?}");
        }
    })
    .await;
}
