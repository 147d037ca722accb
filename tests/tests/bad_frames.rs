//! Frames out of order, malformed frames, and peers that do not stop sending them.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use std::time::Duration;

use tokio::time::Instant;

use parlance_proto::v1::client_frame::Operation as Asked;
use parlance_proto::v1::{self, ClientFrame, Hello};
use parlance_tests::{
    DOORS, Door, Http, Person, RawGrpc, RawWebSocket, Server, eventually, for_each_door, fresh, refused,
    within,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Code;

/// How long a connection may be silent, plus slack for a busy machine.
const SILENCE: Duration = Duration::from_secs(10);
const AND_SOME: Duration = Duration::from_secs(8);

fn reason(code: Code, reason: &str) -> (Code, String) {
    (code, reason.to_owned())
}

#[tokio::test]
async fn a_frame_before_hello_and_hello_twice() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    let room = alice.group(&[]).await;
    for_each_door(async |door| {
        let mut conversation = alice.connect_silently(door).await;
        let early = conversation.call(Person::message(&room, "early")).await;
        assert_eq!(refused(early), reason(Code::FailedPrecondition, "hello_required"));
        // A refused hello does not count: another may follow.
        let bad = Hello { device_id: "a b".to_owned(), cursors: Vec::new() };
        let id = conversation.send(Asked::Hello(bad)).await;
        let refusal = conversation.reply(&id).await;
        assert_eq!(refused(refusal), reason(Code::InvalidArgument, "invalid_field"));
        conversation.say_hello(&[]).await.unwrap();
        let id = conversation.send(Asked::Hello(Hello::default())).await;
        let again = conversation.reply(&id).await;
        assert_eq!(refused(again), reason(Code::FailedPrecondition, "hello_repeated"));
        assert_eq!(conversation.call(v1::ListRoomsRequest::default()).await.unwrap().rooms.len(), 1);
    })
    .await;
    assert_eq!(alice.log(&room).await.len(), 2);
}

/// Who sends a token is who it was issued for.
#[tokio::test]
async fn sessions_are_opened_and_refreshed_as_nobody_else() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    for_each_door(async |door| {
        let mut conversation = alice.connect_silently(door).await;
        let as_bob = |id: &str, operation| ClientFrame {
            request_id: id.to_owned(),
            operation: Some(operation),
            as_user: "bob".to_owned(),
        };
        conversation.send_frame(as_bob("hello", Asked::Hello(Hello::default()))).await;
        let refusal = conversation.reply("hello").await;
        assert_eq!(refused(refusal), reason(Code::InvalidArgument, "invalid_field"));
        conversation.say_hello(&[]).await.unwrap();
        let refresh = Asked::Refresh(v1::Refresh { token: alice.token.clone() });
        conversation.send_frame(as_bob("refresh", refresh)).await;
        let refusal = conversation.reply("refresh").await;
        assert_eq!(refused(refusal), reason(Code::InvalidArgument, "invalid_field"));
        conversation.refresh(&alice.token).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn operations_that_do_not_exist() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    for_each_door(async |door| {
        let mut conversation = alice.connect(door).await;
        conversation
            .send_frame(ClientFrame { request_id: "7".to_owned(), operation: None, as_user: String::new() })
            .await;
        let refusal = conversation.reply("7").await;
        assert_eq!(refused(refusal), reason(Code::InvalidArgument, "unknown_operation"));
        conversation.call(v1::ListRoomsRequest::default()).await.unwrap();
    })
    .await;
    // A frame of a later version.
    let mut socket = RawWebSocket::signed_in(&server.address(), &alice.token).await;
    socket.hello().await;
    socket.text(r#"{"requestId": "8", "foretell": {"what": "rain"}}"#).await;
    assert_eq!(socket.refused().await, ("8".to_owned(), 3, "unknown_operation".to_owned()));

    let grpc = RawGrpc::new(&server.address(), Some(&format!("Bearer {}", alice.token)));
    for path in ["/parlance.v1.ChatService/Foretell", "/parlance.v2.ChatService/Chat", "/x"] {
        let answer = grpc.unary(path, Vec::new()).await;
        assert_eq!(answer.unwrap_err().code(), Code::Unimplemented, "{path}");
    }
    let answer = server.http().get("/v1/foretell").bearer(&alice.token).answer().await;
    assert_eq!(answer.refused(), (404, "unknown_path".to_owned()));
}

#[tokio::test]
async fn json_that_is_none() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    let mut socket = RawWebSocket::signed_in(&server.address(), &alice.token).await;
    socket.hello().await;
    let deep = r#"{"hello": "#.repeat(10_000);
    let bad = [
        ("", ""),
        ("{", ""),
        ("[]", ""),
        ("null", ""),
        (r#"{"requestId": "9", "sendMessage": {"text": 5}}"#, "9"),
        (r#"{"requestId": "9", "sendMessage": 5}"#, "9"),
        (r#"{"requestId": "9", "hello": {"cursors": [{"seq": -1}]}}"#, "9"),
        (r#"{"requestId": "9", "hello": {"cursors": [{"seq": "x"}]}}"#, "9"),
        (r#"{"requestId": "9", "hello": {}} and more"#, ""),
        (r#"{"requestId": "9", "sendMessage": {"text": "a", "text": "b"}}"#, "9"),
        (r#"{"requestId": "9", "sendMessage": {"data": {"a": 1, "a": 2}}}"#, "9"),
        (&deep, ""),
    ];
    for (text, id) in bad {
        socket.text(text).await;
        assert_eq!(socket.refused().await, (id.to_owned(), 3, "malformed_json".to_owned()), "{text:.60}");
    }
    // The connection stays open, in either encoding.
    socket.text(r#"{"requestId": "10", "listRooms": {}}"#).await;
    assert_eq!(socket.json().await["reply"]["requestId"], "10");
}

#[tokio::test]
async fn peers_that_do_not_stop_are_closed() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    for_each_door(async |door| {
        let mut conversation = alice.connect(door).await;
        for _ in 0..60 {
            conversation
                .send_frame(ClientFrame {
                    request_id: "x".to_owned(),
                    operation: None,
                    as_user: String::new(),
                })
                .await;
        }
        let end = conversation.end().await;
        let failure = end.failure.unwrap();
        assert_eq!((failure.code, failure.reason.as_str()), (Code::ResourceExhausted, "too_many_bad_frames"));
        assert_eq!(end.close, (door != Door::Grpc).then_some(1008));
    })
    .await;
    let mut socket = RawWebSocket::signed_in(&server.address(), &alice.token).await;
    for _ in 0..40 {
        socket.text("{").await;
    }
    assert_eq!(socket.closed().await, (1008, "too_many_bad_frames".to_owned()));
}

#[tokio::test]
async fn exceeded_rate_is_refused_with_a_retry_delay() {
    let server = Server::start_with(&["--user-rate", "2"]).await;
    for_each_door(async |door| {
        let person = server.person(&fresh("hasty")).await;
        let mut conversation = person.connect(door).await;
        let mut answers = Vec::new();
        for _ in 0..8 {
            answers.push(conversation.call(v1::ListRoomsRequest::default()).await);
        }
        let (good, refusals): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
        assert!(good.len() >= 4, "a burst of twice the rate");
        let failure = refusals.into_iter().next().unwrap().unwrap_err();
        assert_eq!((failure.code, failure.reason.as_str()), (Code::ResourceExhausted, "rate_limited"));
        assert!(failure.retry_after.is_some_and(|delay| delay <= Duration::from_millis(500)));
        let answer = server.http().get("/v1/rooms").bearer(&person.token).answer().await;
        assert_eq!(answer.refused(), (429, "rate_limited".to_owned()));
        assert_eq!(answer.headers["retry-after"], "1");
        // Others are not affected.
        server.person(&fresh("patient")).await.channel().await;
    })
    .await;
}

/// Silent peers are disconnected, at whatever point they fall silent.
#[tokio::test]
async fn peers_that_say_nothing_are_dropped() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    let (address, start) = (server.address(), Instant::now());
    let silent_session = async |door| {
        let mut conversation = alice.connect_silently(door).await;
        let end = conversation.end().await;
        let failure = end.failure.unwrap();
        assert_eq!((failure.code, failure.reason.as_str()), (Code::DeadlineExceeded, "hello_timeout"));
        assert_eq!(end.close, (door != Door::Grpc).then_some(1008));
    };
    // Nothing; half of the HTTP/2 preface; half a request.
    let silent_socket = async |begun: &str| {
        let mut socket = TcpStream::connect(&address).await.unwrap();
        socket.write_all(begun.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        within(&format!("dropped after {begun:?}"), socket.read_to_end(&mut rest)).await.ok();
    };
    tokio::join!(
        silent_session(DOORS[0]),
        silent_session(DOORS[1]),
        silent_session(DOORS[2]),
        silent_socket(""),
        silent_socket("P"),
        silent_socket("PRI * HTTP/2.0\r\n"),
        silent_socket("GET /healthz HTTP/1.1\r\nhost: localhost\r\n"),
    );
    let took = start.elapsed();
    assert!(took >= SILENCE && took < SILENCE + AND_SOME, "{took:?}");
    assert_eq!(server.http().get("/healthz").answer().await.status, 200);
}

/// How much more memory the server may hold after a storm than before: allocators
/// keep some.
const MAX_GROWTH: u64 = 48 * 1024 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_storm_of_bad_peers_the_server_serves_in_little_memory() {
    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let mut rooms = Vec::new();
    for _ in 0..20 {
        rooms.push(alice.group(&[&bob]).await);
    }
    let storm = async |times: usize| {
        for number in 0..times {
            let door = DOORS[number % 3];
            // Disconnects before the welcome; right after it; in the middle of a
            // frame.
            let mut early = bob.connect_silently(door).await;
            early.send(Asked::Hello(Hello::default())).await;
            drop(early);
            drop(bob.connect(door).await);
            let mut socket = TcpStream::connect(server.address()).await.unwrap();
            socket.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x10").await.unwrap();
            // Too large, not a frame, no token.
            let mut socket = RawWebSocket::signed_in(&server.address(), &bob.token).await;
            socket.text("{").await;
            socket.binary(vec![0xff; 200_000]).await;
            assert_eq!(socket.closed().await.0, 1009);
            let bearer = [("authorization", "Bearer none")];
            assert_eq!(RawWebSocket::connect(&server.address(), &bearer).await.err().unwrap().0, 401);
        }
    };
    storm(50).await;
    let before = server.resident_bytes();
    storm(400).await;
    let after = server.resident_bytes();
    println!("{} MB, then {} MB", before >> 20, after >> 20);
    assert!(after < before + MAX_GROWTH, "{} MB, then {} MB", before >> 20, after >> 20);
    let admin = Http::new(server.admin());
    eventually("every session has ended", async || {
        let metrics = admin.get("/metrics").answer().await;
        let text = String::from_utf8_lossy(&metrics.body).into_owned();
        text.lines().any(|line| line == "parlance_sessions 0").then_some(())
    })
    .await;
    // After the grace period.
    eventually("bob is offline", async || {
        let asked = v1::GetPresenceRequest { user_ids: vec!["bob".to_owned()] };
        let presence = alice.users().get_presence(asked).await.unwrap().into_inner().presences.remove(0);
        (!presence.online).then_some(())
    })
    .await;
    for_each_door(async |door| {
        let mut conversation = bob.connect(door).await;
        let sent = alice.say(&rooms[0], "still here").await;
        conversation.events_up_to(&rooms[0], sent).await;
    })
    .await;
}
