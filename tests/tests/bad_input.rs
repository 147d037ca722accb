//! Invalid input: each kind gets its own error, changes nothing, and leaves the
//! connection open if possible.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use futures::StreamExt;
use http::Method;
use parlance_proto::error::Failure;
use parlance_proto::v1::client_frame::Operation as Asked;
use parlance_proto::v1::reply::Result as Answer;
use parlance_proto::v1::server_frame::Frame;
use parlance_proto::v1::{self, ClientFrame, Hello};
use parlance_tests::{
    DOORS, Door, Http, Person, RawGrpc, RawWebSocket, Server, for_each_door, fresh, refused, within,
};
use prost::Message as _;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;
use tonic::Code;

const MAX_TEXT: usize = 16 * 1024;
const MAX_FRAME: usize = 128 * 1024;

fn reason(code: Code, reason: &str) -> (Code, String) {
    (code, reason.to_owned())
}

fn invalid(field: &str) -> (Code, String, Vec<String>) {
    (Code::InvalidArgument, "invalid_field".to_owned(), vec![field.to_owned()])
}

fn fields<T: std::fmt::Debug>(result: Result<T, Failure>) -> (Code, String, Vec<String>) {
    let failure = result.unwrap_err();
    (failure.code, failure.reason, failure.fields.into_iter().map(|(field, _)| field).collect())
}

/// A frame with these bytes in place of one letter of the text.
fn frame_with(bytes: &[u8], room: &str) -> Vec<u8> {
    let message = Person::message(room, "@");
    let frame = ClientFrame {
        request_id: "7".to_owned(),
        operation: Some(Asked::SendMessage(message)),
        as_user: String::new(),
    };
    let mut encoded = frame.encode_to_vec();
    let at = encoded.iter().position(|byte| *byte == b'@').unwrap();
    encoded.splice(at..=at, bytes.iter().copied());
    encoded
}

#[tokio::test]
async fn text_that_is_not_utf8() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    let room = alice.group(&[]).await;
    let bytes = frame_with(b"\xff", &room);

    let grpc = RawGrpc::new(&server.address(), Some(&format!("Bearer {}", alice.token)));
    let hello = ClientFrame {
        request_id: String::new(),
        operation: Some(Asked::Hello(Hello::default())),
        as_user: String::new(),
    };
    let frames =
        futures::stream::iter([hello.encode_to_vec(), bytes.clone()]).chain(futures::stream::pending());
    let mut answers = grpc.chat(frames).await.unwrap();
    let end = loop {
        if let Err(status) = within("the stream ends", answers.next()).await.unwrap() {
            break status;
        }
    };
    assert_eq!(refused::<(), _>(Err(end)), reason(Code::InvalidArgument, "malformed_frame"));
    // Likewise as a unary call: the request is the frame's second field.
    let message = ClientFrame::decode(&*frame_with(b"?", &room)).unwrap();
    let Some(Asked::SendMessage(message)) = message.operation else { panic!() };
    let mut encoded = message.encode_to_vec();
    *encoded.iter_mut().find(|byte| **byte == b'?').unwrap() = 0xff;
    let answer = grpc.unary("/parlance.v1.ChatService/SendMessage", encoded).await;
    assert_eq!(refused(answer), reason(Code::InvalidArgument, "malformed_frame"));

    // A binary message is one frame: the next one may be valid.
    let mut socket = RawWebSocket::signed_in(&server.address(), &alice.token).await;
    socket.hello().await;
    socket.binary(bytes).await;
    socket.text(r#"{"requestId": "8", "listRooms": {}}"#).await;
    let mut refusal = None;
    let answer = loop {
        match socket.next().await.unwrap() {
            // Answered in the same encoding; events of the room may arrive in between.
            Message::Binary(bytes) => match v1::ServerFrame::decode(bytes).unwrap().frame {
                Some(Frame::Reply(reply)) => refusal = Some(reply),
                other => assert!(matches!(other, Some(Frame::Event(_))), "{other:?}"),
            },
            Message::Text(text) if text.contains("reply") => break text,
            other => assert!(other.to_text().unwrap().starts_with(r#"{"event""#), "{other:?}"),
        }
    };
    assert!(answer.contains(r#""requestId":"8","listRooms""#), "{answer}");
    let reply = refusal.unwrap();
    let Some(Answer::Error(error)) = reply.result else { panic!("no refusal: {reply:?}") };
    assert_eq!((&*reply.request_id, error.code, &*error.reason), ("7", 3, "malformed_frame"));
    // The WebSocket protocol requires UTF-8 in text messages.
    socket.text_of_bytes(b"{\"requestId\": \"\xff\"}".to_vec()).await;
    assert_eq!(socket.closed().await, (1007, "not_utf8".to_owned()));

    let path = format!("/v1/rooms/{room}/messages");
    let body = b"{\"text\": \"\xff\"}".to_vec();
    let call = server.http().call(http::Method::POST, &path).bearer(&alice.token).body(body).answer().await;
    assert_eq!(call.refused(), (400, "malformed_json".to_owned()));
    assert_eq!(alice.log(&room).await.len(), 2);
}

#[tokio::test]
async fn a_frame_that_is_too_large() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    let room = alice.group(&[]).await;
    let large = "x".repeat(MAX_FRAME);

    let too_large = reason(Code::OutOfRange, "out_of_range");
    let answer = alice.chat().send_message(Person::message(&room, &large)).await;
    assert_eq!(refused(answer), too_large);
    let mut conversation = alice.connect(Door::Grpc).await;
    conversation.send(Asked::SendMessage(Person::message(&room, &large))).await;
    let failure = conversation.end().await.failure.unwrap();
    assert_eq!((failure.code, failure.reason), too_large);

    for door in [Door::WebSocketJson, Door::WebSocketBinary] {
        let mut conversation = alice.connect(door).await;
        conversation.send(Asked::SendMessage(Person::message(&room, &large))).await;
        let end = conversation.end().await;
        assert_eq!((end.close, end.failure.unwrap().reason.as_str()), (Some(1009), "frame_too_large"));
    }
    let path = format!("/v1/rooms/{room}/messages");
    let call =
        server.http().call(http::Method::POST, &path).bearer(&alice.token).body(large + "x").answer().await;
    assert_eq!(call.refused(), (413, "body_too_large".to_owned()));

    // The largest allowed hello: 2,000 cursors.
    let cursors: Vec<_> = (0..2_000).map(|number| Person::cursor(&format!("r{number:0>32}"), 1)).collect();
    for door in DOORS {
        let mut conversation = alice.resume(door, &cursors).await;
        for _ in &cursors {
            conversation.gap().await;
        }
    }
    assert_eq!(alice.log(&room).await.len(), 2);
}

#[tokio::test]
async fn text_that_is_too_long_or_blank() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    for_each_door(async |door| {
        let room = alice.group(&[]).await;
        let mut conversation = alice.connect(door).await;
        for text in ["", " \n\t", "\u{2003}", &"x".repeat(MAX_TEXT + 1), &"ü".repeat(MAX_TEXT / 2 + 1)] {
            assert_eq!(fields(conversation.call(Person::message(&room, text)).await), invalid("text"));
        }
        let longest = Person::message(&room, &"ü".repeat(MAX_TEXT / 2));
        assert_eq!(conversation.call(longest).await.unwrap().seq, 3);
        assert_eq!(alice.log(&room).await.len(), 3);
    })
    .await;
}

#[tokio::test]
async fn cursors_from_the_future() {
    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let room = alice.group(&[]).await;
    let foreign = bob.group(&[]).await;
    let ahead = || reason(Code::OutOfRange, "cursor_ahead");
    for_each_door(async |door| {
        for seq in [3, u64::MAX] {
            // The room was restored from a backup: the client starts over.
            let mut conversation = alice.resume(door, &[Person::cursor(&room, seq)]).await;
            let gap = conversation.gap().await;
            assert_eq!((gap.from_seq, gap.to_seq, gap.reason()), (1, 2, v1::GapReason::Restored));
            assert_eq!((&gap.room_id, gap.epoch), (&room, conversation.welcome().heads[0].epoch));
        }
        // No error reveals how far ahead of a foreign room's head it is.
        let mut conversation = alice.resume(door, &[Person::cursor(&foreign, u64::MAX - 1)]).await;
        assert_eq!(conversation.gap().await.reason(), v1::GapReason::NotMember);
        for seq in [3, u64::MAX] {
            let (room_id, request_id) = (room.clone(), fresh("mark"));
            let read = v1::MarkReadRequest { room_id: room_id.clone(), seq, request_id: request_id.clone() };
            assert_eq!(refused(conversation.call(read).await), ahead());
            let delivered = v1::AcknowledgeDeliveryRequest { room_id, seq, request_id };
            assert_eq!(refused(conversation.call(delivered).await), ahead());
            let message = v1::SendMessageRequest { after_seq: Some(seq), ..Person::message(&room, "x") };
            assert_eq!(refused(conversation.call(message).await), ahead());
            let message = v1::SendMessageRequest { reply_to_seq: seq, ..Person::message(&room, "x") };
            let missing = reason(Code::NotFound, "message_not_found");
            assert_eq!(refused(conversation.call(message).await), missing);
            let request = v1::GetMessageRequest { room_id: room.clone(), seq };
            assert_eq!(refused(conversation.call(request).await), missing);
        }
        // There is nothing to return, which is not an error.
        let (room_id, seq) = (room.clone(), u64::MAX);
        let request =
            v1::ListMessagesRequest { room_id, after_seq: Some(seq), before_seq: seq, page_size: 0 };
        assert_eq!(conversation.call(request).await.unwrap().messages, []);
        let request =
            v1::ListEventsRequest { room_id: room.clone(), from_seq: seq, to_seq: seq, page_size: 0 };
        assert_eq!(conversation.call(request).await.unwrap().events, []);
    })
    .await;
    let mut conversation = alice.connect(Door::Grpc).await;
    let cursors = vec![Person::cursor(&foreign, u64::MAX)];
    conversation.send(Asked::Hello(Hello { device_id: String::new(), cursors })).await;
    assert_eq!(alice.log(&room).await.len(), 2);
}

/// Posts a message with a misspelt field; returns status, reason and fields of the
/// answer.
async fn misspelt(address: &str, person: &Person, room: &str, lenient: bool) -> (u16, String, Vec<String>) {
    let body = json!({"clientMessageId": fresh("m"), "text": "x", "fromUser": "bob"});
    let http = Http::new(address.to_owned());
    let mut call = http.call(Method::POST, &format!("/v1/rooms/{room}/messages")).json(&body);
    if lenient {
        call = call.header("parlance-unknown-fields", "ignore");
    }
    let answer = call.bearer(&person.token).answer().await;
    let error = answer.json()["error"].take();
    let fields = error["fieldViolations"].as_array().into_iter().flatten();
    let fields = fields.map(|field| field["field"].as_str().unwrap().to_owned()).collect();
    (answer.status, error["reason"].as_str().unwrap_or_default().to_owned(), fields)
}

#[tokio::test]
async fn unknown_fields_are_refused_unless_the_client_has_them_ignored() {
    let node = Server::start_with(&["--edge-listen", "127.0.0.1:0"]).await;
    let bridge = Server::start_bridge(&[&node.bridges()]).await;
    let alice = node.person("alice").await;
    let room = alice.group(&[]).await;
    let bearer = format!("Bearer {}", alice.token);
    let token = format!("parlance.v1, unknown-fields.ignore, bearer.{}", alice.token);
    let header: &[_] = &[("authorization", &*bearer), ("parlance-unknown-fields", "ignore")];
    let subprotocol: &[_] = &[("sec-websocket-protocol", &*token)];
    for address in [node.address(), bridge.address()] {
        let refused = (400, "unknown_field".to_owned(), vec!["fromUser".to_owned()]);
        assert_eq!(misspelt(&address, &alice, &room, false).await, refused);
        assert_eq!(misspelt(&address, &alice, &room, true).await, (200, String::new(), vec![]));

        let list = r#"{"requestId": "1", "listRooms": {"pagesize": 1}}"#;
        let mut socket = RawWebSocket::signed_in(&address, &alice.token).await;
        socket.hello().await;
        socket.text(list).await;
        assert_eq!(socket.refused().await, ("1".to_owned(), 3, "unknown_field".to_owned()));
        for headers in [header, subprotocol] {
            let mut socket = RawWebSocket::connect(&address, headers).await.ok().unwrap();
            socket.hello().await;
            socket.text(list).await;
            let reply = loop {
                let reply = socket.json().await["reply"].take();
                if reply.is_object() {
                    break reply;
                }
            };
            assert_eq!(reply["listRooms"]["rooms"][0]["roomId"], room, "{reply}");
        }
    }
    // Refused messages were not stored.
    assert_eq!(alice.log(&room).await.len(), 4);
}

/// Errors raised before an operation also have a machine-readable reason.
#[tokio::test]
async fn refusals_of_the_transport_have_reasons() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    let room = alice.group(&[]).await;
    let large = Person::message(&room, &"x".repeat(MAX_FRAME));
    let has_reason = |status: &tonic::Status, reason: &str| {
        let details = String::from_utf8_lossy(status.details());
        assert!(details.contains("google.rpc.ErrorInfo") && details.contains(reason), "{status:?}");
    };
    has_reason(&alice.chat().send_message(large.clone()).await.unwrap_err(), "out_of_range");

    let grpc = RawGrpc::new(&server.address(), Some(&format!("Bearer {}", alice.token)));
    let unknown = grpc.unary("/parlance.v1.ChatService/Foretell", Vec::new()).await;
    has_reason(&unknown.unwrap_err(), "unimplemented");
    let unknown = grpc.unary("/parlance.v2.ChatService/SendMessage", Vec::new()).await;
    has_reason(&unknown.unwrap_err(), "unimplemented");
    let frame = ClientFrame {
        request_id: "7".to_owned(),
        operation: Some(Asked::SendMessage(large.clone())),
        as_user: String::new(),
    };
    let frames = futures::stream::iter([frame.encode_to_vec()]).chain(futures::stream::pending());
    let mut answers = grpc.chat(frames).await.unwrap();
    let end = within("the stream ends", answers.next()).await.unwrap();
    has_reason(&end.unwrap_err(), "out_of_range");

    let mut body = vec![0];
    body.extend(u32::try_from(large.encoded_len()).unwrap().to_be_bytes());
    body.extend(large.encode_to_vec());
    let http = server.http();
    let call = http.call(Method::POST, "/parlance.v1.ChatService/SendMessage").bearer(&alice.token);
    let call = call.header("content-type", "application/grpc-web+proto").header("x-grpc-web", "1");
    let answer = call.body(body).answer().await;
    let status = tonic::Status::from_header_map(&answer.headers).unwrap();
    has_reason(&status, "out_of_range");
}
