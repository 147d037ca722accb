//! Application-provided parts of a session: tokens, cursors, listeners; and the session's reported state.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use parlance_client::transport::{Dialer, Door};
use parlance_client::{
    ClientError, Config, ConnectionState, CursorStore, Listener, Message, Session, TokenProvider, Update,
    async_trait,
};
use parlance_proto::v1;
use parlance_proto::v1::client_frame::Operation;
use parlance_proto::v1::reply::Result as Answer;
use parlance_proto::v1::server_frame::Frame;
use prost::Message as _;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tonic::Status;

use crate::fake::{DOORS, Fake, message_of, next, next_seq, within};

/// Provides the tokens "1", "2", ... and counts reported refusals.
#[derive(Clone, Default)]
struct Tokens {
    given: Arc<AtomicU32>,
    refused: Arc<AtomicU32>,
}

#[async_trait]
impl TokenProvider for Tokens {
    async fn token(&self, refused: bool) -> Result<String, String> {
        self.refused.fetch_add(refused.into(), Ordering::SeqCst);
        Ok(format!("{}", self.given.fetch_add(1, Ordering::SeqCst) + 1))
    }
}

#[tokio::test]
async fn fresh_token_resumes_after_an_expired_one() {
    let mut fake = Fake::start(Door::WebSocketJson).await;
    let tokens = Tokens::default();
    let config = Config::with_tokens(fake.dialer.clone(), tokens.clone());
    let (session, _updates) = Session::start(config);
    let peer = fake.accept_silently().await;
    peer.fail(Status::unauthenticated("expired")).await;
    let sending = tokio::spawn(async move { session.send_message(Message::to_room("r", "hi")).await });
    let (mut peer, _) = fake.accept().await;
    let (request_id, _) = message_of(peer.recv().await);
    peer.reply(request_id, Answer::SendMessage(v1::SendMessageResponse::default())).await;
    within(sending).await.unwrap().unwrap();
    assert_eq!((tokens.given.load(Ordering::SeqCst), tokens.refused.load(Ordering::SeqCst)), (2, 1));
}

#[tokio::test]
async fn an_answer_of_a_proxy_ends_no_session() {
    for status in ["401 Unauthorized", "403 Forbidden", "404 Not Found", "503 Service Unavailable"] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let dialer = Dialer::new(Door::WebSocketJson, listener.local_addr().unwrap().to_string());
        let (_session, mut updates) = Session::start(Config::new(dialer, "token"));
        for _ in 0..2 {
            let (mut socket, _) = within(listener.accept()).await.unwrap();
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            socket.write_all(answer.as_bytes()).await.unwrap();
            let Update::Disconnected { error: Some(error), .. } = next(&mut updates).await else { panic!() };
            assert_eq!(error, ClientError::Http { status: status[..3].parse().unwrap() });
        }
    }
}

#[tokio::test]
async fn a_server_that_welcomes_and_hangs_up_is_left_alone() {
    for door in DOORS {
        let mut fake = Fake::start(door).await;
        let (_session, mut updates) = fake.session();
        let mut delays = Vec::new();
        for _ in 0..5 {
            drop(fake.accept().await);
            delays.push(loop {
                if let Update::Disconnected { retry_in, .. } = next(&mut updates).await {
                    break retry_in;
                }
            });
        }
        // It has doubled four times.
        assert!(delays[4] >= Duration::from_millis(800), "{delays:?}");
    }
}

#[tokio::test]
async fn the_size_of_a_frame_is_that_in_its_encoding() {
    let quotes = || Message::to_room("r", "\"".repeat(700));
    for door in DOORS {
        let mut fake = Fake::start(door).await;
        let (session, _updates) = fake.session();
        let mut peer = fake.accept_silently().await;
        peer.recv().await;
        let limits = Some(v1::Limits { max_frame_bytes: 1_000, ..Default::default() });
        peer.send(Frame::Welcome(v1::Welcome { limits, ..Default::default() })).await;
        let sending = tokio::spawn(async move {
            let first = session.send_message(quotes()).await;
            (first, session.send_message(Message::to_room("r", "fits")).await)
        });
        let (mut request_id, mut request) = message_of(peer.recv().await);
        if door != Door::WebSocketJson {
            assert_eq!(request.text.len(), 700);
            peer.reply(request_id, Answer::SendMessage(v1::SendMessageResponse::default())).await;
            (request_id, request) = message_of(peer.recv().await);
        }
        // In JSON 700 quotes take 1,400 bytes.
        assert_eq!(request.text, "fits");
        peer.reply(request_id, Answer::SendMessage(v1::SendMessageResponse::default())).await;
        let (first, second) = within(sending).await.unwrap();
        second.unwrap();
        let refused = first.err().map(|error| error.failure().unwrap().reason.clone());
        assert_eq!(refused.as_deref(), (door == Door::WebSocketJson).then_some("frame_too_large"));
    }
}

#[tokio::test]
async fn a_hello_fits_into_a_frame_however_many_rooms_there_are() {
    for door in DOORS {
        let mut fake = Fake::start(door).await;
        let mut config = Config::new(fake.dialer.clone(), "token");
        let cursor = |room| v1::Cursor { room_id: format!("{room:040}"), seq: 1_000_000, epoch: 1 };
        config.cursors = (0..2_600).map(cursor).collect();
        let (_session, _updates) = Session::start(config);
        let (_peer, hello) = fake.accept().await;
        let hello = v1::ClientFrame {
            request_id: "hello".to_owned(),
            operation: Some(Operation::Hello(hello)),
            as_user: String::new(),
        };
        let json = parlance_proto::json::typed_to_json("parlance.v1.ClientFrame", &hello).unwrap();
        let (limit, size) =
            (128 * 1024, if door == Door::WebSocketJson { json.len() } else { hello.encoded_len() });
        assert!(size <= limit && size > limit / 2, "{size}");
    }
}

/// Keeps saved cursors.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<v1::Cursor>>>);

#[async_trait]
impl CursorStore for Memory {
    async fn load(&self) -> Vec<v1::Cursor> {
        self.0.lock().unwrap().clone()
    }

    async fn save(&self, moved: Vec<v1::Cursor>) {
        self.0.lock().unwrap().extend(moved);
    }
}

#[tokio::test]
async fn cursors_are_stored_once_an_event_is_processed_and_survive_a_restart() {
    let mut fake = Fake::start(Door::Grpc).await;
    let store = Memory::default();
    let mut config = Config::new(fake.dialer.clone(), "token");
    config.cursor_store = Some(Arc::new(store.clone()));
    let (session, mut updates) = Session::start(config.clone());
    let (peer, _) = fake.accept().await;
    peer.event(1).await;
    peer.event(2).await;
    assert_eq!(next_seq(&mut updates).await, 1);
    // The second one is still being processed: only the first one is stored.
    assert_eq!(next_seq(&mut updates).await, 2);
    within(session.close()).await;
    assert_eq!(next(&mut updates).await, Update::Stopped(ClientError::SessionEnded));
    let cursor = |seq| v1::Cursor { room_id: "r".to_owned(), seq, epoch: 0 };
    assert_eq!(*store.0.lock().unwrap(), [cursor(1)]);

    let (_session, _updates) = Session::start(config);
    let (_peer, hello) = fake.accept().await;
    assert_eq!(hello.cursors, [cursor(1)]);
}

#[tokio::test]
async fn closing_ends_calls_and_the_connection() {
    let mut fake = Fake::start(Door::WebSocketBinary).await;
    let (session, mut updates) = fake.session();
    let (mut peer, _) = fake.accept().await;
    let asking = session.clone();
    let sending = tokio::spawn(async move { asking.send_message(Message::to_room("r", "hi")).await });
    message_of(peer.recv().await);
    within(session.close()).await;
    assert_eq!(within(sending).await.unwrap(), Err(ClientError::SessionEnded));
    peer.closed().await;
    assert!(matches!(next(&mut updates).await, Update::Connected(_)));
    assert_eq!(next(&mut updates).await, Update::Stopped(ClientError::SessionEnded));
    within(session.close()).await;
}

struct Seqs(mpsc::UnboundedSender<u64>);

impl Listener for Seqs {
    fn event(&self, event: v1::Event) {
        self.0.send(event.seq).unwrap();
    }
}

#[tokio::test]
async fn a_listener_gets_what_the_stream_would() {
    let mut fake = Fake::start(Door::Grpc).await;
    let (seqs, mut heard) = mpsc::unbounded_channel();
    let _session = Session::start_with(Config::new(fake.dialer.clone(), "token"), Seqs(seqs));
    let (peer, _) = fake.accept().await;
    peer.event(1).await;
    peer.event(2).await;
    assert_eq!((within(heard.recv()).await, within(heard.recv()).await), (Some(1), Some(2)));
}

/// Panics at the second event.
struct Fails(mpsc::UnboundedSender<u64>);

impl Listener for Fails {
    fn event(&self, event: v1::Event) {
        assert!(event.seq < 2, "it fails on purpose");
        self.0.send(event.seq).unwrap();
    }
}

#[tokio::test]
async fn a_listener_that_fails_ends_the_session_and_what_it_failed_at_comes_again() {
    let mut fake = Fake::start(Door::Grpc).await;
    let store = Memory::default();
    let mut config = Config::new(fake.dialer.clone(), "token");
    config.cursor_store = Some(Arc::new(store.clone()));
    let (seqs, mut heard) = mpsc::unbounded_channel();
    let session = Session::start_with(config.clone(), Fails(seqs));
    let (peer, _) = fake.accept().await;
    peer.event(1).await;
    peer.event(2).await;
    assert_eq!(within(heard.recv()).await, Some(1));
    let is_online = |state: ConnectionState| state == ConnectionState::Ended;
    assert_eq!(within(session.state_is(is_online)).await, ConnectionState::Ended);
    let cursor = |seq| v1::Cursor { room_id: "r".to_owned(), seq, epoch: 0 };
    within(session.close()).await;
    assert_eq!(*store.0.lock().unwrap(), [cursor(1)]);

    let (seqs, mut heard) = mpsc::unbounded_channel();
    let _session = Session::start_with(config, Seqs(seqs));
    let (peer, hello) = fake.accept().await;
    assert_eq!(hello.cursors, [cursor(1)]);
    peer.event(2).await;
    assert_eq!(within(heard.recv()).await, Some(2));
}

/// Always fails.
struct NoTokens;

#[async_trait]
impl TokenProvider for NoTokens {
    async fn token(&self, _: bool) -> Result<String, String> {
        panic!("it fails on purpose")
    }
}

#[tokio::test]
async fn a_session_whose_task_has_failed_says_that_it_has_ended() {
    let fake = Fake::start(Door::Grpc).await;
    let (session, mut updates) = Session::start(Config::with_tokens(fake.dialer.clone(), NoTokens));
    assert_eq!(within(updates.recv()).await, None);
    assert_eq!(session.state(), ConnectionState::Ended);
}

#[tokio::test]
async fn only_processed_events_are_acknowledged() {
    let mut fake = Fake::start(Door::WebSocketBinary).await;
    let mut config = Config::new(fake.dialer.clone(), "token");
    config.acknowledge = true;
    let (_session, mut updates) = Session::start(config);
    let (mut peer, _) = fake.accept().await;
    for seq in 1..=3 {
        peer.event(seq).await;
        assert_eq!(next_seq(&mut updates).await, seq);
        assert_eq!(updates.cursor().unwrap().seq, seq);
    }
    // The third one is still being processed.
    let frame = peer.recv().await;
    let Some(Operation::AcknowledgeDelivery(request)) = frame.operation else { panic!("{frame:?}") };
    assert_eq!((request.room_id.as_str(), request.seq), ("r", 2));
}

#[tokio::test]
async fn a_dropped_session_closes_once_its_calls_are_answered() {
    for door in DOORS {
        let mut fake = Fake::start(door).await;
        let (session, mut updates) = fake.session();
        let (mut peer, _) = fake.accept().await;
        let sending = tokio::spawn(async move { session.send_message(Message::to_room("r", "hi")).await });
        let (request_id, _) = message_of(peer.recv().await);
        peer.reply(request_id, Answer::SendMessage(v1::SendMessageResponse::default())).await;
        within(sending).await.unwrap().unwrap();
        peer.closed().await;
        assert!(matches!(next(&mut updates).await, Update::Connected(_)));
        assert_eq!(next(&mut updates).await, Update::Stopped(ClientError::SessionEnded));
        assert_eq!(within(updates.recv()).await, None);
    }
}

#[tokio::test]
async fn a_session_says_where_it_stands() {
    for door in DOORS {
        let mut fake = Fake::start(door).await;
        let (session, _updates) = fake.session();
        let mut peer = fake.accept_silently().await;
        peer.recv().await;
        assert_eq!(session.state(), ConnectionState::Greeting);
        assert!(!session.state().is_online());
        peer.send(Frame::Welcome(v1::Welcome::default())).await;
        let is = |awaited| session.state_is(move |state| state == awaited);
        assert_eq!(within(is(ConnectionState::Online)).await, ConnectionState::Online);
        let reconnect_after = Some(Duration::from_secs(600).try_into().unwrap());
        peer.send(Frame::Draining(v1::Draining { reconnect_after })).await;
        assert_eq!(within(is(ConnectionState::Draining)).await, ConnectionState::Draining);
        drop(peer);
        // It stays disconnected for as long as it was asked to.
        assert_eq!(within(is(ConnectionState::Waiting)).await, ConnectionState::Waiting);
        within(session.close()).await;
        assert_eq!(within(is(ConnectionState::Online)).await, ConnectionState::Ended);
        assert_eq!(session.state(), ConnectionState::Ended);
    }
}
