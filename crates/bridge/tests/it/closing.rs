use std::time::Duration;

use futures::{SinkExt, StreamExt};
use parlance_bridge::Options;
use parlance_proto::error::Failure;
use parlance_proto::v1::{Draining, server_frame};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tonic::{Code, Status};

use crate::common::{Server, large, within};

#[tokio::test]
async fn each_status_has_its_close_code() {
    let mut server = Server::start(Options::default()).await;
    let expected = [
        (Code::Unauthenticated, 1008),
        (Code::PermissionDenied, 1008),
        (Code::ResourceExhausted, 1008),
        (Code::DeadlineExceeded, 1008),
        (Code::InvalidArgument, 1008),
        (Code::OutOfRange, 1008),
        (Code::Unavailable, 1001),
        (Code::Internal, 1011),
        (Code::Unknown, 1011),
        (Code::DataLoss, 1011),
    ];
    for (code, close) in expected {
        let (mut client, session) = server.connect().await;
        let status: Status = Failure::new(code, "some_reason", "some message").into();
        within(session.outbound.send(Err(status))).await.unwrap();
        let last = client.json().await;
        assert_eq!(last["reply"]["requestId"], serde_json::Value::Null, "no operation's answer");
        assert_eq!(last["reply"]["error"]["code"], i32::from(code));
        assert_eq!(last["reply"]["error"]["reason"], "some_reason");
        assert_eq!(client.closed().await, (close, "some_reason".to_owned()), "{code:?}");
    }
}

#[tokio::test]
async fn clean_end_closes_with_1000_and_with_1001_after_draining() {
    let mut server = Server::start(Options::default()).await;
    let (mut client, session) = server.connect().await;
    drop(session);
    assert_eq!(client.closed().await, (1000, String::new()));

    let (mut client, session) = server.connect().await;
    session.push(server_frame::Frame::Draining(Draining::default())).await;
    drop(session);
    assert!(client.json().await.get("draining").is_some());
    assert_eq!(client.closed().await, (1001, "draining".to_owned()));
}

#[tokio::test]
async fn the_last_frame_is_in_the_clients_form() {
    let mut server = Server::start(Options::default()).await;
    let (mut client, mut session) = server.connect().await;
    client.send(Message::binary(Vec::new())).await;
    session.next().await;
    within(session.outbound.send(Err(Status::internal("broken")))).await.unwrap();
    assert!(client.next().await.is_binary());
    assert_eq!(client.closed().await, (1011, "internal".to_owned()));
}

#[tokio::test]
async fn an_abusive_peer_is_closed() {
    let mut server = Server::start(Options::default()).await;
    let (mut client, mut session) = server.connect().await;
    // Plus those allowed while the test runs.
    let (mut bad, mut sent) = (0, 0);
    while sent < 40 {
        client.0.feed(Message::text("{")).await.unwrap();
        sent += 1;
    }
    within(client.0.flush()).await.unwrap();
    let last = loop {
        let answer = client.json().await;
        if answer["reply"]["error"]["reason"] == "too_many_bad_frames" {
            break answer;
        }
        bad += 1;
    };
    assert!((20..40).contains(&bad), "{bad} were answered");
    assert_eq!(last["reply"]["error"]["code"], 8);
    assert_eq!(client.closed().await, (1008, "too_many_bad_frames".to_owned()));
    assert!(within(session.inbound.next()).await.is_none(), "the backend is told");
}

#[tokio::test]
async fn invalid_websocket_messages_are_named_in_the_close() {
    let mut server = Server::start(Options::default()).await;
    let raw =
        |bytes: &'static [u8], opcode| Message::Frame(Frame::message(bytes, OpCode::Data(opcode), true));
    let text = "x".repeat(128 * 1024 + 1);
    let cases = [
        (Message::text(text.clone()), 1009, "frame_too_large"),
        (Message::text(text.repeat(20)), 1009, "frame_too_large"),
        (raw(b"{\"a\xff\":1}", Data::Text), 1007, "not_utf8"),
        (raw(b"a", Data::Continue), 1002, "protocol_error"),
        (raw(b"a", Data::Reserved(3)), 1002, "protocol_error"),
    ];
    for (message, code, reason) in cases {
        let (client, mut session) = server.connect().await;
        let (mut sink, mut reader) = client.0.split();
        let sending = tokio::spawn(async move { sink.send(message).await });
        let last = within(reader.next()).await.unwrap().unwrap().into_text().unwrap();
        assert!(last.contains(reason), "{last}");
        let Message::Close(Some(close)) = within(reader.next()).await.unwrap().unwrap() else { panic!() };
        assert_eq!((u16::from(close.code), close.reason.as_str()), (code, reason));
        assert!(within(session.inbound.next()).await.is_none());
        // A reset would overtake the close: the remaining input is read before the
        // connection ends.
        within(sending).await.unwrap().unwrap();
        assert!(within(reader.next()).await.is_none());
    }
}

#[tokio::test]
async fn message_of_maximum_size_is_accepted() {
    let mut server = Server::start(Options::default()).await;
    let (mut client, mut session) = server.connect().await;
    let mut text = format!(r#"{{"requestId":"1","sendMessage":{{"text":"{}"#, "x".repeat(128 * 1024));
    text.truncate(128 * 1024 - 3);
    client.send(Message::text(text + "\"}}")).await;
    assert_eq!(session.next().await.request_id, "1");
}

#[tokio::test]
async fn a_peers_close_is_answered_and_ends_both_halves() {
    let mut server = Server::start(Options::default()).await;
    let (mut client, mut session) = server.connect().await;
    session.push(large(100_000)).await;
    client.send(Message::Close(None)).await;
    assert!(within(session.inbound.next()).await.is_none());
    within(session.outbound.closed()).await;
    within(async { while let Some(Ok(_)) = client.0.next().await {} }).await;
    within(server.bridge.finished()).await;
}

#[tokio::test]
async fn a_peer_that_vanishes_ends_both_halves() {
    let mut server = Server::start(Options::default()).await;
    let (client, mut session) = server.connect().await;
    drop(client);
    assert!(within(session.inbound.next()).await.is_none());
    within(session.outbound.closed()).await;
    within(server.bridge.finished()).await;
}

#[tokio::test]
async fn a_silent_peer_is_closed_and_one_that_answers_pings_is_not() {
    let options = Options {
        ping_every: Duration::from_millis(50),
        idle_timeout: Duration::from_millis(400),
        close_timeout: Duration::from_millis(200),
        ..Options::default()
    };
    let mut server = Server::start(options).await;
    let (_silent, mut ended) = server.connect().await;
    let (mut answering, session) = server.connect().await;
    let mut pings = 0;
    let first = within(async {
        loop {
            tokio::select! {
                frame = ended.inbound.next() => break frame,
                Some(Ok(message)) = answering.0.next() => pings += usize::from(message.is_ping()),
            }
        }
    });
    assert!(first.await.is_none(), "the silent one is let go");
    assert!(pings >= 3, "{pings}");
    session.push(large(1)).await;
    assert!(answering.next().await.is_text(), "the other one lives on");
}

#[tokio::test]
async fn shutdown_ends_everything_within_the_grace() {
    let grace = Duration::from_millis(100);
    let mut server = Server::start(Options { shutdown_grace: grace, ..Options::default() }).await;
    let (mut client, session) = server.connect().await;
    server.shutdown.cancel();
    assert_eq!(client.json().await["reply"]["error"]["reason"], "shutting_down");
    assert_eq!(client.closed().await, (1001, "shutting_down".to_owned()));
    within(session.outbound.closed()).await;
    within(server.bridge.finished()).await;

    let refused = server.open(&[]).await.err().expect("no new streams");
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
}
