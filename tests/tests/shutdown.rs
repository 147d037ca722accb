//! Graceful shutdown, without losses.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use std::time::Duration;

use parlance_proto::v1::client_frame::Operation;
use parlance_proto::v1::reply::Result as Answer;
use parlance_tests::{
    DEADLINE, DOORS, Http, Person, RawWebSocket, Server, eventually, for_each_door, run_to_end, text_of,
    within,
};

/// In-flight sends of one session when the signal arrives.
const SENDS: usize = 40;

#[tokio::test]
async fn draining_server_sends_reconnect_delay_and_exits_0() {
    for signal in ["TERM", "INT"] {
        let mut server = Server::start().await;
        let alice = server.person("alice").await;
        let mut conversations = Vec::new();
        for door in DOORS {
            conversations.push((door, alice.connect(door).await));
        }
        server.signal(signal).await;
        for (door, conversation) in &mut conversations {
            let draining = conversation.draining().await;
            let delay: Duration =
                draining.reconnect_after.expect("a delay").try_into().expect("a positive one");
            assert!(delay < DEADLINE, "{door}: {delay:?}");
            conversation.end().await;
        }
        assert_eq!(server.exited().await.code(), Some(0), "after SIG{signal}");
    }
}

#[tokio::test]
async fn operations_in_flight_are_answered_or_retryable() {
    for_each_door(async |door| {
        let mut server = Server::start().await;
        let alice = server.person("alice").await;
        let room = alice.channel().await;
        let mut conversation = alice.connect(door).await;
        let mut sent = Vec::new();
        for n in 0..SENDS {
            let request = Person::message(&room, &format!("message {n}"));
            let id = conversation.send(Operation::SendMessage(request.clone())).await;
            sent.push((id, request));
        }
        server.signal("TERM").await;
        conversation.end().await;
        // Answers before the end are kept by the conversation.
        let mut answered = Vec::new();
        for (id, request) in &sent {
            match conversation.answered(id) {
                Some(Ok(Answer::SendMessage(reply))) => {
                    answered.push((request.client_message_id.clone(), reply.seq));
                }
                // Arrived too late: to be sent again elsewhere.
                Some(Err(failure)) => assert_eq!(failure.reason, "draining", "{door}"),
                None => {}
                other => panic!("{door}: {other:?}"),
            }
        }
        assert_eq!(server.exited().await.code(), Some(0));
        server.start_again().await;
        for (_, request) in sent {
            let again =
                alice.chat().send_message(request.clone()).await.expect("it can be sent again").into_inner();
            if let Some((_, seq)) = answered.iter().find(|(id, _)| *id == request.client_message_id) {
                assert_eq!((again.seq, again.is_repeat), (*seq, true), "{door}: {}", request.text);
            }
        }
        let texts: Vec<_> = messages(&alice, &room).await;
        assert_eq!(texts.len(), SENDS, "{door}: each is there once");
    })
    .await;
}

#[tokio::test]
async fn sessions_are_served_until_the_draining_notice() {
    // Half of it is for leaving.
    let mut server = Server::start_with(&["--user-rate", "0", "--drain-seconds", "10"]).await;
    let alice = server.person("alice").await;
    let room = alice.channel().await;
    let mut conversations = Vec::new();
    for number in 0..30 {
        conversations.push(alice.connect(DOORS[number % 3]).await);
    }
    server.signal("TERM").await;
    let mut latest: Option<(Duration, usize)> = None;
    let mut delays = Vec::new();
    for (number, conversation) in conversations.iter_mut().enumerate() {
        let draining = conversation.draining().await;
        let delay: Duration = draining.reconnect_after.unwrap().try_into().unwrap();
        assert!(delay < Duration::from_secs(5), "{delay:?}");
        delays.push(delay);
        latest = latest.max(Some((delay, number)));
    }
    delays.sort();
    // Spread: at most a third of them reconnect within any half second.
    let most = delays.iter().map(|start| {
        let end = *start + Duration::from_millis(500);
        delays.iter().filter(|delay| (start..&end).contains(delay)).count()
    });
    assert!(most.max() <= Some(10), "{delays:?}");
    // The client with the longest delay keeps sending and receiving.
    let (_, number) = latest.unwrap();
    let mut staying = conversations.swap_remove(number);
    let sent = staying.call(Person::message(&room, "still here")).await.expect("it is served on");
    let events = staying.events_up_to(&room, sent.seq).await;
    assert_eq!(text_of(events.last().unwrap()), "still here");
    // Clients that leave on time do not delay it, and the others are disconnected.
    drop(conversations);
    staying.end().await;
    assert_eq!(server.exited().await.code(), Some(0));
}

#[tokio::test]
async fn readiness_goes_red_while_health_stays_green() {
    let mut server = Server::start().await;
    let alice = server.person("alice").await;
    // A peer that does not answer the close keeps the server draining for a while.
    let mut lingering = RawWebSocket::signed_in(&server.address(), &alice.token).await;
    lingering.hello().await;
    let http = Http::new(server.admin());
    assert_eq!(http.get("/readyz").answer().await.status, 200);
    server.signal("TERM").await;
    eventually("readiness is red", async || (http.get("/readyz").answer().await.status == 503).then_some(()))
        .await;
    assert_eq!(http.get("/healthz").answer().await.status, 200);
    assert!(server.http().get("/readyz").send().await.is_err(), "nobody new comes in");
    assert_eq!(lingering.closed().await, (1001, "draining".to_owned()));
    assert_eq!(server.exited().await.code(), Some(0));
}

#[tokio::test]
async fn peers_that_do_not_read_do_not_keep_it_from_ending() {
    let mut server = Server::start().await;
    let alice = server.person("alice").await;
    let room = alice.group(&[]).await;
    let mut stuck = Vec::new();
    for door in DOORS {
        stuck.push(alice.connect(door).await);
    }
    let mut at_alice = alice.connect(DOORS[0]).await;
    at_alice.flood(&room, 10_000, |number| format!("{number:01000}")).await;
    server.signal("TERM").await;
    let (status, _) = tokio::join!(server.exited(), at_alice.end());
    assert_eq!(status.code(), Some(0));
}

#[tokio::test]
async fn kill_right_after_acknowledgement_loses_nothing() {
    let mut server = Server::start().await;
    let alice = server.person("alice").await;
    let room = alice.channel().await;
    let mut expected = Vec::new();
    for round in 0..10 {
        let door = DOORS[round % DOORS.len()];
        let mut conversation = alice.connect(door).await;
        for n in 0..=round {
            let text = format!("round {round}, message {n}");
            conversation.call(Person::message(&room, &text)).await.expect("a member may send");
            expected.push(text);
        }
        server.kill().await;
        server.start_again().await;
        assert_eq!(messages(&alice, &room).await, expected, "after kill {round}");
    }
}

#[tokio::test]
async fn clients_go_on_where_they_were_after_a_restart() {
    for_each_door(async |door| {
        let mut server = Server::start().await;
        let (alice, bob) = (server.person("alice").await, server.person("bob").await);
        let room = alice.group(&[&bob]).await;
        let first = alice.say(&room, "before").await;
        let mut conversation = bob.connect(door).await;
        conversation.events_up_to(&room, first).await;
        tokio::join!(server.stop(), conversation.end());
        server.start_again().await;
        let missed = alice.say(&room, "while bob was away").await;
        let mut conversation = bob.resume(door, &[Person::cursor(&room, first)]).await;
        let events = conversation.events_up_to(&room, missed).await;
        assert_eq!(events.iter().map(text_of).collect::<Vec<_>>(), ["while bob was away"]);
    })
    .await;
}

#[tokio::test]
async fn startup_errors_are_readable() {
    let server = Server::start().await;
    let data = server.data();
    let data = data.to_str().expect("a path of letters");
    let check = async |arguments: &[&str], expected: &str| {
        let listeners = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
        let output = run_to_end(&[&["serve"], arguments, &listeners[..]].concat()).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{arguments:?} was accepted");
        assert!(said.contains(expected), "{arguments:?}: {said}");
    };
    check(&["--data-dir", data], "in use by another process").await;
    check(&["--config", "/nonexistent.toml"], "/nonexistent.toml").await;
    check(&["--sync", "sometimes"], "--sync").await;
    check(&["--no-such-flag"], "--no-such-flag").await;
    check(&["--jwt-secret-file", "/nonexistent"], "/nonexistent").await;
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "user-rat = 5").expect("it can be written");
    check(&["--config", file.path().to_str().expect("letters")], "user-rat").await;
    for (line, word) in
        [("listen = 5", "listen"), ("user-rate = \"many\"", "user-rate"), ("sync = true", "sync")]
    {
        std::fs::write(file.path(), line).expect("it can be written");
        check(&["--config", file.path().to_str().expect("letters")], word).await;
    }
    check(&["--listen", "nowhere"], "--listen").await;
    check(&["--user-rate=-1"], "--user-rate").await;
    let address = server.address();
    let taken = within("it ends", run_to_end(&["serve", "--data-dir", data, "--listen", &address])).await;
    assert!(String::from_utf8_lossy(&taken.stderr).contains(&address));
}

/// The texts of a room, in ascending order.
async fn messages(person: &Person, room: &str) -> Vec<String> {
    let log = person.log(room).await;
    log.iter()
        .filter(|event| matches!(event.body, Some(parlance_proto::v1::event::Body::Message(_))))
        .map(|event| text_of(event).to_owned())
        .collect()
}
