//! Hostile peers: the server survives, holds little for them, disconnects them, and keeps serving
//! others. Each attack uses its own server; `make attack` runs only these.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may give up, and say what it found")]

use std::time::Duration;

use parlance_proto::v1::{self, client_frame::Operation};
use parlance_tests::{
    DOORS, Door, Http, Person, RawWebSocket, Server, Signer, claims, eventually, now, refused, text_of,
};
use serde_json::json;
use tempfile::NamedTempFile;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tonic::Code;

use crate::http2_rules::wire::{
    GOAWAY, INITIAL_WINDOW_SIZE, PREFACE, RST_STREAM, frame, get_block, settings, whole,
};

mod memory;
mod proxied;

/// Longer than any timeout for unauthenticated peers, on a busy machine.
const SENT_AWAY: Duration = Duration::from_secs(60);

/// What one attacker may make the server hold, bytes. Without limits, each of these attacks took
/// hundreds of megabytes.
const BUDGET: u64 = 64 << 20;

/// An HTTP/2 connection whose streams have an empty window.
async fn connect(server: &Server) -> TcpStream {
    let mut io = TcpStream::connect(server.address()).await.unwrap();
    // It may be refused already.
    let _ = io.write_all(&[PREFACE, &settings(&[(INITIAL_WINDOW_SIZE, 0)])].concat()).await;
    io
}

/// Reads until the server resets the stream, sends GOAWAY, or closes the connection.
async fn is_sent_away(io: &mut TcpStream) {
    let reading = async {
        let mut header = [0; 9];
        while io.read_exact(&mut header).await.is_ok() {
            let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
            if matches!(header[3], RST_STREAM | GOAWAY) {
                return;
            }
            if io.read_exact(&mut vec![0; length]).await.is_err() {
                return;
            }
        }
    };
    timeout(SENT_AWAY, reading).await.expect("the attacker is sent away");
}

struct Pair {
    alice: Person,
    bob: Person,
    /// Another member of their room, who attacks: limits of a user are not theirs.
    eve: Person,
    room: String,
}

impl Pair {
    async fn of(server: &Server) -> Self {
        let (alice, bob) = (server.person("alice").await, server.person("bob").await);
        let eve = server.person("eve").await;
        let room = alice.group(&[&bob, &eve]).await;
        Self { alice, bob, eve, room }
    }

    /// Messages are delivered over every transport.
    async fn talk(&self) {
        for door in DOORS {
            let sent = self.alice.say(&self.room, "still here").await;
            let mut conversation = self.bob.resume(door, &[Person::cursor(&self.room, sent - 1)]).await;
            let events = conversation.events_up_to(&self.room, sent).await;
            assert_eq!(events.last().map(text_of), Some("still here"));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn responses_that_nobody_reads_are_given_up() {
    let server = Server::start().await;
    let pair = Pair::of(&server).await;
    let before = server.resident_bytes();
    let mut attackers = Vec::new();
    for _ in 0..10 {
        let mut io = connect(&server).await;
        for stream in 0..500 {
            // A refusal or a closed connection is acceptable, too.
            let _ = io.write_all(&whole(1 + 2 * stream, &get_block("/openapi.json"))).await;
        }
        attackers.push(io);
    }
    pair.talk().await;
    let held = server.resident_bytes().saturating_sub(before);
    assert!(held < BUDGET, "{} MB are held", held >> 20);
    for io in &mut attackers {
        is_sent_away(io).await;
    }
    pair.talk().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_achieve_nothing_end_the_connection() {
    let server = Server::start().await;
    let pair = Pair::of(&server).await;
    for nothing in [
        frame(0x55, 0, 0, b""),
        frame(6, 0, 0, b"12345678"),
        frame(2, 0, 1, &[0; 5]),
        frame(8, 0, 0, &[0, 0, 0, 1]),
        frame(4, 0, 0, b""),
    ] {
        let (mut reading, mut writing) = connect(&server).await.into_split();
        let flood = nothing.repeat(10_000);
        let flooding = async { while writing.write_all(&flood).await.is_ok() {} };
        // Answers are read, so that they are not what stops the attacker.
        let answers = async { while reading.read(&mut [0; 4096]).await.is_ok_and(|read| read > 0) {} };
        timeout(SENT_AWAY, Box::pin(async { tokio::join!(flooding, answers) }))
            .await
            .expect("it is sent away");
    }
    pair.talk().await;
}

/// Each costs the server a hundred times as much as the peer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fields_that_no_request_may_have_end_the_connection() {
    let server = Server::start().await;
    let pair = Pair::of(&server).await;
    // A field of the static table, without its name and value.
    let block = [get_block("/healthz"), vec![0x90; 400]].concat();
    let mut io = connect(&server).await;
    let requests: Vec<u8> = (0..50).flat_map(|number| whole(1 + 2 * number, &block)).collect();
    let _ = io.write_all(&requests).await;
    timeout(SENT_AWAY / 2, is_sent_away(&mut io))
        .await
        .expect("long before one that nobody has signed in on");
    pair.talk().await;
}

/// Of fragments without content the library returns none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_of_websockets_that_achieve_nothing_end_the_connection() {
    let server = Server::start().await;
    let pair = Pair::of(&server).await;
    let fragment = || Frame::message(Vec::new(), OpCode::Data(Data::Continue), false);
    let begun = Frame::message(b"{".to_vec(), OpCode::Data(Data::Text), false);
    for (first, nothing) in [
        (Message::Pong(Vec::new().into()), &(|| Message::Pong(Vec::new().into())) as &dyn Fn() -> Message),
        (Message::Frame(begun), &|| Message::Frame(fragment())),
    ] {
        let mut socket = RawWebSocket::signed_in(&server.address(), &pair.bob.token).await;
        socket.hello().await;
        socket.send(first).await;
        // With those that are allowed while they are sent.
        for _ in 0..6_000 {
            socket.send(nothing()).await;
        }
        assert_eq!(socket.closed().await, (1008, "too_many_bad_frames".to_owned()));
    }
    pair.talk().await;
}

/// A proxy could look at one of two tokens, and the server at the other.
#[tokio::test]
async fn a_second_token_is_refused() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    let token = format!("Bearer {}", alice.token);
    let http = server.http();
    let asked = http.get("/v1/users/me").header("authorization", &token);
    let refused = asked.header("authorization", &token).answer().await;
    assert_eq!(refused.refused(), (400, "invalid_field".to_owned()));
}

#[tokio::test]
async fn unauthenticated_call_is_refused_before_body_is_read() {
    let server = Server::start().await;
    let pair = Pair::of(&server).await;
    for (kind, path, expected) in [
        ("application/grpc-web", "/parlance.v1.ChatService/SendMessage", "grpc-status: 16"),
        ("application/grpc-web", "/parlance.v1.ChatService/Subscribe", "grpc-status: 16"),
        ("application/json", "/v1/rooms", "HTTP/1.1 401"),
    ] {
        let mut io = TcpStream::connect(server.address()).await.unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: 100000\r\n\r\n"
        );
        io.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let answered = async {
            while !String::from_utf8_lossy(&answer).contains(expected) {
                assert!(io.read_buf(&mut answer).await.unwrap() > 0, "{}", String::from_utf8_lossy(&answer));
            }
        };
        timeout(SENT_AWAY, answered).await.expect("it is refused");
    }
    pair.talk().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_leave_capacity_for_others() {
    let server = Server::start_with(&["--user-rate", "0", "--max-connections", "80"]).await;
    let pair = Pair::of(&server).await;
    let mut idle = Vec::new();
    for _ in 0..100 {
        idle.push(connect(&server).await);
    }
    // An address may have a quarter of all connections without an identity.
    let mut refused = 0;
    for io in &mut idle[40..] {
        let ended = async { while io.read(&mut [0; 256]).await.is_ok_and(|read| read > 0) {} };
        refused += usize::from(timeout(SENT_AWAY, ended).await.is_ok());
    }
    assert_eq!(refused, 60);
    drop(idle);
    pair.talk().await;
}

/// Tokens of an app: without, everyone has the scope of its backend.
struct Tokens {
    key: NamedTempFile,
    secret: Vec<u8>,
}

impl Tokens {
    fn new() -> Self {
        let secret = b"a secret of more than 32 bytes: 0123456789".to_vec();
        let key = NamedTempFile::new().unwrap();
        std::fs::write(key.path(), &secret).unwrap();
        Self { key, secret }
    }

    fn options(&self) -> [&str; 2] {
        ["--jwt-secret-file", self.key.path().to_str().unwrap()]
    }

    fn person(&self, server: &Server, name: &str) -> Person {
        server.person_with(name, &Signer::Hs256(self.secret.clone()).token(&claims(name, now() + 3600)))
    }
}

/// A quarter of all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_user_does_not_have_all_connections() {
    let tokens = Tokens::new();
    let server = Server::start_with(
        &[&tokens.options()[..], &["--user-rate", "0", "--max-connections", "80"]].concat(),
    )
    .await;
    let [eve, alice] = ["eve", "alice"].map(|name| tokens.person(&server, name));
    let mut open = Vec::new();
    for _ in 0..20 {
        open.push(RawWebSocket::signed_in(&server.address(), &eve.token).await);
    }
    let asked =
        async |person: &Person| server.http().get("/v1/users/me").bearer(&person.token).answer().await;
    let refused = asked(&eve).await;
    assert_eq!(refused.refused(), (429, "too_many_connections".to_owned()));
    assert_eq!(asked(&alice).await.status, 200);
    drop(open);
    eventually("her connections have ended", async || (asked(&eve).await.status == 200).then_some(())).await;
}

/// The same of a bridge of its own, which learns from its node whose connections they are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_user_does_not_have_all_connections_of_a_bridge() {
    let tokens = Tokens::new();
    let for_bridges = ["--user-rate", "0", "--role", "api", "--edge-listen", "127.0.0.1:0"];
    let node = Server::start_with(&[&tokens.options()[..], &for_bridges].concat()).await;
    let bridge = Server::start_bridge_with(&[&node.bridges()], &["--max-connections", "80"]).await;
    let [eve, alice] = ["eve", "alice"].map(|name| tokens.person(&node, name));
    let connect = async |person: &Person| {
        let authorization = format!("Bearer {}", person.token);
        RawWebSocket::connect(&bridge.address(), &[("authorization", &authorization)]).await
    };
    let mut open = Vec::new();
    for _ in 0..20 {
        open.push(connect(&eve).await.map_err(|refused| refused.1).unwrap());
    }
    assert_eq!(connect(&eve).await.err(), Some((429, "too_many_connections".to_owned())));
    assert!(connect(&alice).await.is_ok());
    let me = bridge.http().get("/v1/users/me").bearer(&eve.token).answer().await;
    assert_eq!(me.status, 200, "what was carried out is answered");
    drop(open);
    eventually("her connections have ended", async || connect(&eve).await.ok()).await;
}

/// By their number within the rate of their user, but 120 KB of JSON each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_frames_count_by_their_size() {
    let tokens = Tokens::new();
    let server = Server::start_with(&[&tokens.options()[..], &["--user-rate", "1"]].concat()).await;
    let [eve, alice] = ["eve", "alice"].map(|name| tokens.person(&server, name));
    let status =
        async |person: &Person| server.http().get("/v1/users/me").bearer(&person.token).answer().await.status;
    assert_eq!(status(&alice).await, 200);
    let mut socket = RawWebSocket::signed_in(&server.address(), &eve.token).await;
    socket.hello().await;
    let message = |id: &str, bytes: usize| {
        json!({"requestId": id, "sendMessage":
            {"toUser": "alice", "clientMessageId": id, "text": "x".repeat(bytes)}})
        .to_string()
    };
    socket.text(&message("large", 120_000)).await;
    assert_eq!(socket.refused().await.2, "invalid_field", "it is not refused for its size alone");
    eventually("it counts", async || {
        let page = Http::new(server.admin()).get("/metrics").answer().await;
        let page = String::from_utf8_lossy(&page.body).into_owned();
        page.contains("parlance_limited_total{limit=\"bytes\"} 1").then_some(())
    })
    .await;
    // What she does elsewhere is refused meanwhile, and the session is not read: what it sends then is not refused.
    assert_eq!((status(&eve).await, status(&alice).await), (429, 200));
    socket.text(&message("legal", 16 * 1024)).await;
    let sent = loop {
        let mut frame = socket.json().await;
        let reply = frame["reply"].take();
        if reply.is_object() {
            break reply;
        }
    };
    assert_eq!((&sent["requestId"], sent["sendMessage"].is_object()), (&json!("legal"), true), "{sent}");
}

/// An element of two bytes becomes one of hundreds: in frames of all forms.
#[tokio::test]
async fn frames_with_elements_without_content_are_refused_undecoded() {
    let server = Server::start().await;
    let pair = Pair::of(&server).await;
    let wide = v1::ImportMessagesRequest {
        room_id: pair.room.clone(),
        messages: vec![v1::ImportedMessage::default(); 40_000],
        ..Default::default()
    };
    for (door, reason) in
        [(Door::WebSocketBinary, "malformed_frame"), (Door::WebSocketJson, "malformed_json")]
    {
        let mut conversation = pair.alice.connect(door).await;
        let id = conversation.send(Operation::ImportMessages(wide.clone())).await;
        assert_eq!(refused(conversation.reply(&id).await), (Code::InvalidArgument, reason.to_owned()));
    }
    let refusal = pair.alice.rooms().import_messages(wide).await.unwrap_err();
    assert_eq!(refusal.code(), Code::InvalidArgument);
    pair.talk().await;
}
