//! Other services get every event of every room, in order, from a cursor on.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use std::collections::BTreeMap;

use parlance_faults::kafka::tools;
use parlance_proto::error::Failure;
use parlance_proto::events::v1::event_service_client::EventServiceClient;
use parlance_proto::events::v1::{
    EventContent, RoomEvent, StreamEventsRequest, StreamEventsResponse, StreamStart,
};
use parlance_proto::v1;
use parlance_proto::v1::event::Body;
use parlance_tests::{Person, Server, Signer, claims, deploy, eventually, fresh, now, within};
use tempfile::TempDir;
use tonic::transport::Endpoint;
use tonic::{Code, Request, Status, Streaming};

const SECRET: &[u8] = b"a secret of more than 32 bytes: 0123456789";

pub(super) async fn open(
    address: &str,
    token: &str,
    request: StreamEventsRequest,
) -> Result<Streaming<StreamEventsResponse>, Status> {
    let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect_lazy();
    let mut request = Request::new(request);
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    Ok(EventServiceClient::new(channel).stream_events(request).await?.into_inner())
}

pub(super) fn from_beginning() -> StreamEventsRequest {
    StreamEventsRequest { start: StreamStart::Beginning.into(), ..Default::default() }
}

fn from_cursor(cursor: &str) -> StreamEventsRequest {
    StreamEventsRequest { cursor: cursor.to_owned(), ..Default::default() }
}

/// A consumer as described in docs/events.md: it drops duplicates, and rejects
/// gaps.
#[derive(Default)]
pub(super) struct Consumer {
    last: BTreeMap<String, (u64, u64)>,
    events: Vec<RoomEvent>,
    cursor: String,
    repeats: usize,
}

impl Consumer {
    fn take(&mut self, response: StreamEventsResponse) {
        for event in response.events {
            let last = self.last.entry(event.room_id.clone()).or_insert((event.epoch, 0));
            if (event.epoch, event.seq) <= *last {
                self.repeats += 1;
                continue;
            }
            let next = if event.epoch == last.0 { last.1 + 1 } else { 1 };
            assert_eq!(event.seq, next, "in room {} after {last:?}", event.room_id);
            assert_eq!(event.id, format!("{}:{}:{}", event.room_id, event.epoch, event.seq));
            *last = (event.epoch, event.seq);
            self.events.push(event);
        }
        self.cursor = response.cursor;
    }

    pub(super) async fn read_to(
        &mut self,
        stream: &mut Streaming<StreamEventsResponse>,
        room: &str,
        seq: u64,
    ) {
        let reading = async {
            while self.last.get(room).is_none_or(|(_, last)| *last < seq) {
                self.take(stream.message().await.unwrap().expect("the stream goes on"));
            }
        };
        within("the events arrive", reading).await;
    }

    /// The types of a room's events.
    pub(super) fn types(&self, room: &str) -> Vec<&str> {
        self.events.iter().filter(|event| event.room_id == room).map(|event| event.r#type.as_str()).collect()
    }

    pub(super) fn texts(&self, room: &str) -> Vec<&str> {
        let events = self.events.iter().filter(|event| event.room_id == room);
        let events = events.filter_map(|event| event.event.as_ref());
        let messages = events.filter(|event| matches!(event.body, Some(Body::Message(_))));
        messages.map(parlance_tests::text_of).collect()
    }
}

#[tokio::test]
async fn all_events_of_all_rooms_arrive_in_order_and_go_on_as_they_happen() {
    let server = Server::start_with(&["--user-rate", "0"]).await;
    let (alice, bob) = (server.person(&fresh("alice")).await, server.person(&fresh("bob")).await);
    let rooms = [alice.group(&[&bob]).await, alice.group(&[]).await, bob.channel().await];
    for number in 0..20 {
        let sender = if number % 3 == 2 { &bob } else { &alice };
        sender.say(&rooms[number % 3], &format!("message {number}")).await;
    }
    let mut consumer = Consumer::default();
    let mut stream = open(&server.address(), &alice.token, from_beginning()).await.unwrap();
    let first = within("the walk begins", stream.message()).await.unwrap().unwrap();
    assert!(first.resync);
    consumer.take(first);
    let heads = [alice.say(&rooms[0], "and on").await, alice.say(&rooms[1], "and on").await];
    consumer.read_to(&mut stream, &rooms[0], heads[0]).await;
    consumer.read_to(&mut stream, &rooms[1], heads[1]).await;
    // Rooms have no order among each other.
    consumer.read_to(&mut stream, &rooms[2], 1).await;
    assert_eq!(consumer.texts(&rooms[0]).len(), 8);
    let created = &consumer.events.iter().find(|event| event.room_id == rooms[2]).unwrap();
    assert_eq!((created.r#type.as_str(), created.seq), ("parlance.room.created.v1", 1));
}

#[tokio::test]
async fn a_killed_server_loses_nothing_of_a_stream() {
    let mut server = Server::start_with(&["--user-rate", "0"]).await;
    let alice = server.person(&fresh("alice")).await;
    let room = alice.group(&[]).await;
    let mut consumer = Consumer::default();
    let mut stream = open(&server.address(), &alice.token, from_beginning()).await.unwrap();
    let seq = alice.say(&room, "before").await;
    consumer.read_to(&mut stream, &room, seq).await;
    let mut head = 0;
    for number in 0..3 {
        // Not read before the consumer is killed.
        for text in ["one", "two", "three"] {
            head = alice.say(&room, &format!("{text} {number}")).await;
        }
        server.kill().await;
        server.start_again().await;
        let mut stream = open(&server.address(), &alice.token, from_cursor(&consumer.cursor)).await.unwrap();
        consumer.read_to(&mut stream, &room, head).await;
    }
    assert_eq!(consumer.last[&room].1, head);
    assert_eq!(consumer.texts(&room).len(), 10);
}

#[tokio::test]
async fn deleted_text_is_not_sent() {
    let server = Server::start_with(&["--user-rate", "0"]).await;
    let alice = server.person(&fresh("alice")).await;
    let room = alice.group(&[]).await;
    let secret = alice.say(&room, "a secret").await;
    let request = v1::DeleteMessageRequest {
        room_id: room.clone(),
        seq: secret,
        request_id: fresh("delete"),
        ..Default::default()
    };
    alice.chat().delete_message(request).await.unwrap();
    let last = alice.say(&room, "said").await;
    let mut consumer = Consumer::default();
    let mut stream = open(&server.address(), &alice.token, from_beginning()).await.unwrap();
    consumer.read_to(&mut stream, &room, last).await;
    assert_eq!(consumer.texts(&room), ["", "said"]);

    let ids = StreamEventsRequest { content: EventContent::Ids.into(), ..from_beginning() };
    let mut stream = open(&server.address(), &alice.token, ids).await.unwrap();
    let mut consumer = Consumer::default();
    consumer.read_to(&mut stream, &room, last).await;
    let event = consumer.events.last().unwrap();
    assert_eq!(event.r#type, "parlance.message.sent.v1");
    let content = event.event.as_ref().unwrap();
    assert_eq!((content.body.as_ref(), content.actor_id.as_str()), (None, alice.id.as_str()));
}

#[tokio::test]
async fn unusable_cursor_is_refused_or_restarts() {
    let server = Server::start_with(&["--user-rate", "0"]).await;
    let alice = server.person(&fresh("alice")).await;
    let room = alice.group(&[]).await;
    let seq = alice.say(&room, "hello").await;
    let other = |length: usize| format!("{}.7", "0".repeat(length));
    // The longer one is like those of a feed with thousands of shards.
    for length in [32, 200 * 1024] {
        let mut stream = open(&server.address(), &alice.token, from_cursor(&other(length))).await.unwrap();
        let refused = within("it is refused", stream.message()).await.unwrap_err();
        assert_eq!(
            (refused.code(), Failure::from_status(&refused).reason.as_str()),
            (Code::OutOfRange, "cursor_expired")
        );
    }

    let anew = StreamEventsRequest { cursor: other(32), ..from_beginning() };
    let mut stream = open(&server.address(), &alice.token, anew).await.unwrap();
    let mut consumer = Consumer::default();
    let first = within("the walk begins", stream.message()).await.unwrap().unwrap();
    assert!(first.resync);
    consumer.take(first);
    consumer.read_to(&mut stream, &room, seq).await;

    let wrong = open(&server.address(), &alice.token, from_cursor("what?")).await.unwrap_err();
    assert_eq!(
        (wrong.code(), Failure::from_status(&wrong).reason.as_str()),
        (Code::InvalidArgument, "invalid_field")
    );
}

/// A reader that reconnects before the first event goes on where it began.
#[tokio::test]
async fn a_new_stream_has_a_cursor_at_once() {
    let server = Server::start_with(&["--user-rate", "0"]).await;
    let alice = server.person(&fresh("alice")).await;
    let room = alice.group(&[]).await;
    let before = alice.say(&room, "before").await;
    let mut stream = open(&server.address(), &alice.token, from_cursor("")).await.unwrap();
    let first = within("a response", stream.message()).await.unwrap().unwrap();
    assert!(first.events.is_empty() && !first.cursor.is_empty(), "{first:?}");
    drop(stream);
    let head = alice.say(&room, "meanwhile").await;
    let mut stream = open(&server.address(), &alice.token, from_cursor(&first.cursor)).await.unwrap();
    let next = within("an event", stream.message()).await.unwrap().unwrap();
    assert_eq!((next.events[0].seq, next.events[0].room_id.as_str()), (head, room.as_str()), "{before}");
}

/// The default is the widest, and a value of a later version may mean less.
#[tokio::test]
async fn unknown_values_are_refused() {
    let server = Server::start().await;
    let alice = server.person(&fresh("alice")).await;
    for (request, field) in [
        (StreamEventsRequest { content: 9, ..Default::default() }, "content"),
        (StreamEventsRequest { start: 7, ..Default::default() }, "start"),
    ] {
        let refused = open(&server.address(), &alice.token, request).await.unwrap_err();
        let failure = Failure::from_status(&refused);
        assert_eq!((refused.code(), failure.reason.as_str()), (Code::InvalidArgument, "invalid_field"));
        assert!(refused.message().contains(field), "{refused:?}");
    }
}

#[tokio::test]
async fn a_user_has_so_many_streams_and_no_more() {
    let server = Server::start_with(&["--user-rate", "0"]).await;
    let (alice, bob) = (server.person(&fresh("alice")).await, server.person(&fresh("bob")).await);
    let open_one = async |person: &Person| open(&server.address(), &person.token, from_cursor("")).await;
    let mut streams = Vec::new();
    let refused = loop {
        match open_one(&alice).await {
            Ok(stream) => streams.push(stream),
            Err(refused) => break refused,
        }
        assert!(streams.len() <= 32);
    };
    assert_eq!((streams.len(), Failure::from_status(&refused).reason.as_str()), (32, "too_many_sessions"));
    open_one(&bob).await.unwrap();
    // The place of one that has ended is free.
    streams.pop();
    let opened = async || open_one(&alice).await.ok();
    streams.push(eventually("another one is opened", opened).await);
}

#[tokio::test]
async fn stream_requires_service_scope() {
    let dir = TempDir::new().unwrap();
    let key = dir.path().join("key");
    std::fs::write(&key, SECRET).unwrap();
    let server = Server::start_with(&["--user-rate", "0", "--jwt-secret-file", key.to_str().unwrap()]).await;
    let signer = Signer::Hs256(SECRET.to_vec());
    let person = |scope: &str| -> Person {
        let mut claims = claims("alice", now() + 3600);
        claims["scope"] = scope.into();
        server.person_with("alice", &signer.token(&claims))
    };
    let refused = open(&server.address(), &person("").token, from_beginning()).await.unwrap_err();
    assert_eq!(
        (refused.code(), Failure::from_status(&refused).reason.as_str()),
        (Code::PermissionDenied, "needs_scope")
    );
    let refused = open(&server.address(), "nonsense", from_beginning()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    let service = person("service");
    let room = service.group(&[]).await;
    let mut stream = open(&server.address(), &service.token, from_beginning()).await.unwrap();
    Consumer::default().read_to(&mut stream, &room, 1).await;
}

#[tokio::test]
async fn stopping_server_moves_its_streams() {
    let mut server = Server::start_with(&["--user-rate", "0"]).await;
    let alice = server.person(&fresh("alice")).await;
    let mut stream = open(&server.address(), &alice.token, from_cursor("")).await.unwrap();
    server.signal("TERM").await;
    let ended = within("the stream ends", async {
        loop {
            match stream.message().await {
                Ok(Some(_)) => {}
                other => return other,
            }
        }
    });
    let ended = ended.await.unwrap_err();
    assert_eq!(Failure::from_status(&ended).reason, "draining");
    assert_eq!(server.exited().await.code(), Some(0));
}

#[tokio::test]
async fn the_command_prints_events_as_they_happen() {
    use tokio::io::{AsyncBufReadExt, BufReader};

    let server = Server::start().await;
    let alice = server.person(&fresh("alice")).await;
    let room = alice.group(&[]).await;
    let mut command = tokio::process::Command::new(parlance_tests::parlance());
    command.args(["events", "--beginning", "--server", &server.address()]);
    command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let reading = async {
        let mut next = 1;
        let mut head = alice.say(&room, "hello").await;
        while next <= head {
            let line = lines.next_line().await.unwrap().expect("it goes on");
            let event: serde_json::Value = serde_json::from_str(&line).unwrap();
            if event["roomId"] == room {
                assert_eq!(event["seq"], next.to_string());
                if next == 1 {
                    head = alice.say(&room, "live").await;
                }
                next += 1;
            }
        }
    };
    within("all events are printed", reading).await;
}

/// It fails at a hole, and an event that it already has would break its database.
#[tokio::test]
async fn the_python_example_has_every_event_once_though_the_server_is_killed() {
    let dir = TempDir::new().unwrap();
    let python = tools().join("venv/bin/python");
    let stubs = dir.path().join("gen");
    let mut generate = tokio::process::Command::new(deploy().join("../clients/python/generate"));
    generate.env("GEN", &stubs).env("PYTHON", &python);
    assert!(within("the stubs are generated", generate.status()).await.unwrap().success());
    let mut server = Server::start_with(&["--user-rate", "0"]).await;
    let alice = server.person(&fresh("alice")).await;
    std::fs::write(dir.path().join("token"), &alice.token).unwrap();
    let rooms = [alice.group(&[]).await, alice.group(&[]).await];
    let run = async |server: &Server, until: u64| {
        let mut example = tokio::process::Command::new(&python);
        example.arg(deploy().join("../clients/python/events/from_stream.py"));
        example.args(["--server", &server.address(), "--until", &until.to_string()]);
        example.arg("--token-file").arg(dir.path().join("token"));
        example.arg("--database").arg(dir.path().join("seen.db"));
        example.env("PYTHONPATH", &stubs).kill_on_drop(true);
        assert!(within("it has all events", example.status()).await.unwrap().success(), "it found a hole");
    };
    for _ in 0..2 {
        let mut all = 0;
        for room in &rooms {
            alice.say(room, "hello").await;
            all += alice.say(room, "and more").await;
        }
        run(&server, all).await;
        server.kill().await;
        server.start_again().await;
        // Nothing is new.
        run(&server, all).await;
    }
}

#[tokio::test]
async fn the_command_ends_quietly_with_its_reader_and_goes_on_after_a_restart() {
    use tokio::io::{AsyncBufReadExt, BufReader};

    let mut server = Server::start_with(&["--user-rate", "0"]).await;
    let alice = server.person(&fresh("alice")).await;
    let room = alice.group(&[]).await;
    let mut command = tokio::process::Command::new(parlance_tests::parlance());
    command.args(["events", "--beginning", "--server", &server.address()]);
    command.stdin(std::process::Stdio::null()).kill_on_drop(true);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut read_to = async |seq: u64| {
        let id = format!("{room}:1:{seq}");
        loop {
            let line = within("it goes on", lines.next_line()).await.unwrap().expect("it goes on");
            let event: serde_json::Value = serde_json::from_str(&line).unwrap();
            if event["id"] == id {
                return;
            }
        }
    };
    read_to(alice.say(&room, "before").await).await;
    server.stop().await;
    server.start_again().await;
    read_to(alice.say(&room, "after").await).await;
    // Like `head`.
    drop(lines);
    alice.say(&room, "nobody reads it").await;
    let ended = within("it ends", child.wait_with_output()).await.unwrap();
    assert!(ended.status.success() && ended.stderr.is_empty(), "{ended:?}");
}
