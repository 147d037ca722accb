use std::time::Duration;

use futures::{SinkExt, StreamExt};
use parlance_bridge::Options;
use tokio_tungstenite::tungstenite::Message;

use crate::common::{Server, large, reply, within};

/// Far more than the sockets' buffers, which the tests keep small.
const BOUND: usize = 4 * 1024 * 1024;

#[tokio::test]
async fn peer_that_reads_nothing_is_dropped_and_uses_little_memory() {
    let options = Options { write_timeout: Duration::from_millis(300), ..Options::default() };
    let mut server = Server::start(options).await;
    let (mut client, mut session) = server.connect().await;
    // Traffic in the other direction must not hide the stall.
    let flooding = tokio::spawn(async move {
        while client.0.feed(Message::Ping("x".into())).await.is_ok() && client.0.flush().await.is_ok() {}
    });
    let frame = large(10_000);
    let mut pushed = 0;
    while within(session.outbound.send(Ok(frame.clone()))).await.is_ok() {
        pushed += frame.to_json().unwrap().len();
        assert!(pushed < BOUND, "the stream is polled although nobody reads");
    }
    assert!(within(session.inbound.next()).await.is_none());
    within(flooding).await.unwrap();
    within(server.bridge.finished()).await;
}

#[tokio::test]
async fn peer_that_pauses_reading_misses_nothing() {
    let mut server = Server::start(Options::default()).await;
    let (mut client, mut session) = server.connect().await;
    let outbound = session.outbound.clone();
    let pushing = tokio::spawn(async move {
        for number in 0..2000 {
            outbound.send(Ok(reply(&format!("{number:>1000}")))).await.unwrap();
        }
    });
    // The client reads nothing until the backend has received this: blocked writes must
    // not block reading.
    client.send(Message::text(r#"{"requestId":"1"}"#)).await;
    assert_eq!(session.next().await.request_id, "1");
    for number in 0..2000 {
        let answer = client.json().await;
        let id = answer["reply"]["requestId"].as_str().unwrap();
        assert_eq!(id.trim_start(), number.to_string());
    }
    within(pushing).await.unwrap();
}

#[tokio::test]
async fn slow_backend_gets_every_frame() {
    let mut server = Server::start(Options::default()).await;
    let (mut client, mut session) = server.connect().await;
    let sending = tokio::spawn(async move {
        for number in 0..2000 {
            let text = "x".repeat(1000);
            let frame = format!(r#"{{"requestId":"{number}","sendMessage":{{"text":"{text}"}}}}"#);
            client.0.feed(Message::text(frame)).await.unwrap();
        }
        client.0.flush().await.unwrap();
        client
    });
    for number in 0..2000 {
        assert_eq!(session.next().await.request_id, number.to_string());
    }
    within(sending).await.unwrap();
}
