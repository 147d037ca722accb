//! Who may open which stream.

use parlance_proto::events::v1::StreamEventsRequest;
use parlance_proto::v1::{self, client_frame};
use parlance_tests::{Conversation, Door, GrpcWeb, RawWebSocket, within};
use prost::Message;

use super::stage::{ACTORS, Stage, Way, outcome};
use super::{NO_TOKEN, OK, Row, SCOPE};

/// How opening each stream ends.
#[rustfmt::skip]
pub(super) const STREAMS: [Row; 3] = [
    // Service/Method              anonymous outsider invited bob    muted  newcomer removed banned admin  owner  service moderator
    ("ChatService/Chat",          [NO_TOKEN, OK,      OK,     OK,    OK,    OK,      OK,     OK,    OK,    OK,    OK,     OK]),
    ("ChatService/Subscribe",     [NO_TOKEN, OK,      OK,     OK,    OK,    OK,      OK,     OK,    OK,    OK,    OK,     OK]),
    ("EventService/StreamEvents", [NO_TOKEN, SCOPE,   SCOPE,  SCOPE, SCOPE, SCOPE,   SCOPE,  SCOPE, SCOPE, SCOPE, OK,     OK]),
];

/// The path of a stream, and what opens it.
fn opening(method: &str) -> (String, Vec<u8>) {
    let hello = v1::Hello::default();
    match method {
        "ChatService/Chat" => {
            let operation = Some(client_frame::Operation::Hello(hello));
            let frame = v1::ClientFrame { operation, ..Default::default() };
            (format!("/parlance.v1.{method}"), frame.encode_to_vec())
        }
        "ChatService/Subscribe" => {
            let request = v1::SubscribeRequest { hello: Some(hello) };
            (format!("/parlance.v1.{method}"), request.encode_to_vec())
        }
        _ => (format!("/parlance.events.v1.{method}"), StreamEventsRequest::default().encode_to_vec()),
    }
}

/// Opens a stream through one of the ways of gRPC; of those with a hello, reads the welcome.
async fn open(stage: &Stage, method: &str, actor: &str, way: Way) -> String {
    let (path, request) = opening(method);
    let has_welcome = method.starts_with("ChatService/");
    if way == Way::GrpcWeb {
        let token = stage.people.get(actor).map(|person| person.token.as_str());
        let mut call = GrpcWeb::call_encoded(&stage.node.http(), token, &path, &request).await;
        if call.headers().contains_key("grpc-status") {
            return outcome::<(), _>(Err(call.status().await));
        }
        if has_welcome {
            call.message::<v1::ServerFrame>().await.expect("the welcome comes");
        }
        return OK.to_owned();
    }
    let opened = stage.grpc(actor, way).stream(&path, futures::stream::iter([request])).await;
    let first = match opened {
        Ok(mut stream) if has_welcome => within("the welcome comes", stream.message()).await.map(drop),
        opened => opened.map(drop),
    };
    outcome(first)
}

/// Opens `Chat` over WebSocket.
async fn open_websocket(stage: &Stage, actor: &str, way: Way) -> String {
    let server = if way == Way::WebSocket { &stage.node } else { &stage.bridge };
    let Some(person) = stage.people.get(actor) else {
        return RawWebSocket::connect(&server.address(), &[]).await.err().unwrap().1;
    };
    outcome(Conversation::open(&server.address(), &person.token, Door::WebSocketJson, &[]).await)
}

#[tokio::test]
async fn streams_open_as_the_table_says() {
    let stage = Stage::set().await;
    for (method, expected) in STREAMS {
        for (actor, expected) in ACTORS.into_iter().zip(expected) {
            for way in [Way::Grpc, Way::GrpcWeb, Way::BridgeGrpc] {
                assert_eq!(
                    open(&stage, method, actor, way).await,
                    expected,
                    "{method} by {actor} through {way:?}"
                );
            }
            if method == "ChatService/Chat" {
                for way in [Way::WebSocket, Way::BridgeWebSocket] {
                    let opened = open_websocket(&stage, actor, way).await;
                    assert_eq!(opened, expected, "{method} by {actor} through {way:?}");
                }
            }
        }
    }
}
