use parlance_bridge::Options;
use parlance_proto::v1::client_frame::Operation;
use parlance_proto::v1::{ClientFrame, SendMessageRequest, ServerFrame};
use prost::Message as _;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::common::{Server, reply};

#[tokio::test]
async fn frames_are_answered_in_kind() {
    let mut server = Server::start(Options::default()).await;
    let (mut client, mut session) = server.connect().await;

    let text = r#"{"requestId":"1","sendMessage":{"roomId":"r","clientMessageId":"c","text":"hi"}}"#;
    client.send(Message::text(text)).await;
    let frame = session.next().await;
    let Some(Operation::SendMessage(SendMessageRequest { text, .. })) = frame.operation else { panic!() };
    assert_eq!((frame.request_id.as_str(), text.as_str()), ("1", "hi"));
    session.push(reply("1")).await;
    assert_eq!(client.json().await, json!({"reply": {"requestId": "1"}}));

    let frame = ClientFrame { request_id: "2".to_owned(), operation: None, as_user: String::new() };
    client.send(Message::binary(frame.encode_to_vec())).await;
    assert_eq!(session.next().await, frame, "a frame without operation is the backend's to answer");
    session.push(reply("2")).await;
    let Message::Binary(bytes) = client.next().await else { panic!() };
    assert_eq!(bytes, *reply("2").proto());

    client.send(Message::text("{}")).await;
    assert_eq!(session.next().await, ClientFrame::default());
    session.push(reply("3")).await;
    assert!(client.next().await.is_text(), "the most recent message decides");
}

#[tokio::test]
async fn before_a_message_frames_are_json() {
    let mut server = Server::start(Options::default()).await;
    let (mut client, session) = server.connect().await;
    session.push(reply("1")).await;
    assert_eq!(client.json().await, json!({"reply": {"requestId": "1"}}));
}

#[tokio::test]
async fn a_bad_frame_is_answered_and_survived() {
    let mut server = Server::start(Options::default()).await;
    let (mut client, mut session) = server.connect().await;

    client.send(Message::text(r#"{"requestId":"7","sendMessage":{"text":5}}"#)).await;
    let answer = client.json().await;
    assert_eq!(answer["reply"]["requestId"], "7");
    let error = &answer["reply"]["error"];
    assert_eq!((&error["code"], &error["reason"]), (&json!(3), &json!("malformed_json")));
    assert_eq!(error["fieldViolations"][0]["field"], "sendMessage.text");

    client.send(Message::text("nonsense")).await;
    assert_eq!(client.json().await["reply"]["error"]["reason"], "malformed_json");

    client.send(Message::binary(&b"\x0a\x018\x12\xff"[..])).await;
    let Message::Binary(answer) = client.next().await else { panic!() };
    let answer = format!("{:?}", ServerFrame::decode(answer).unwrap());
    assert!(answer.contains(r#"request_id: "8""#) && answer.contains("malformed_frame"), "{answer}");

    client.send(Message::text(r#"{"requestId":"9"}"#)).await;
    assert_eq!(session.next().await.request_id, "9", "the backend saw none of them, and this one");
}

#[tokio::test]
async fn one_frame_reaches_many_sessions() {
    let mut server = Server::start(Options::default()).await;
    let frame = reply("all");
    let mut opened = Vec::new();
    for _ in 0..20 {
        opened.push(server.connect().await);
    }
    for (_, session) in &opened {
        session.push(frame.clone()).await;
    }
    for (client, _) in &mut opened {
        assert_eq!(client.next().await.into_data(), *frame.to_json().unwrap());
    }
}

#[tokio::test]
async fn pings_are_answered_while_nothing_else_happens() {
    let mut server = Server::start(Options::default()).await;
    let (mut client, _session) = server.connect().await;
    client.send(Message::Ping("a".into())).await;
    let pong = crate::common::within(futures::StreamExt::next(&mut client.0)).await.unwrap().unwrap();
    assert_eq!(pong, Message::Pong("a".into()));
}
