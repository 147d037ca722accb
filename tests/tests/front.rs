//! The other protocols on the client port: grpc-web, reflection, health; and the admin
//! port.
#![allow(clippy::unwrap_used, reason = "a test may give up")]

use futures::StreamExt;
use parlance_proto::v1::server_frame::Frame;
use parlance_proto::v1::{self, ServerFrame};
use parlance_tests::{Contiguity, GrpcWeb, Http, Item, Person, Server, refused, text_of};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Code;
use tonic::transport::Endpoint;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

const SUBSCRIBE: &str = "/parlance.v1.ChatService/Subscribe";

#[tokio::test]
async fn a_browser_subscribes_and_sends_over_grpc_web() {
    let server = Server::start().await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let room = alice.group(&[&bob]).await;
    let missed = bob.say(&room, "missed").await;
    let http = server.http();

    let cursors = vec![Person::cursor(&room, 1)];
    let mut contiguity = Contiguity::from_cursors(&cursors);
    let hello = v1::Hello { device_id: "browser".to_owned(), cursors };
    let request = v1::SubscribeRequest { hello: Some(hello) };
    let mut stream = GrpcWeb::call(&http, Some(&alice.token), SUBSCRIBE, &request).await;
    let welcome: ServerFrame = stream.message().await.unwrap();
    let Some(Frame::Welcome(welcome)) = welcome.frame else { panic!("{welcome:?}") };
    assert_eq!(welcome.user_id, "alice");

    let send = "/parlance.v1.ChatService/SendMessage";
    let message = Person::message(&room, "from a browser");
    let mut call = GrpcWeb::call(&http, Some(&alice.token), send, &message).await;
    let sent: v1::SendMessageResponse = call.message().await.unwrap();
    assert_eq!(sent.seq, missed + 1);
    assert_eq!(call.message::<v1::SendMessageResponse>().await, Err(Code::Ok));

    while contiguity.reached(&room) < sent.seq {
        let frame: ServerFrame = stream.message().await.unwrap();
        if let Some(Frame::Event(event)) = frame.frame {
            if event.seq >= missed {
                let text = if event.seq == missed { "missed" } else { "from a browser" };
                assert_eq!(text_of(&event), text);
            }
            contiguity.follow(&Item::Event(event));
        }
    }
}

#[tokio::test]
async fn grpc_web_refuses_with_the_same_statuses() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    let room = alice.group(&[]).await;
    let http = server.http();
    let request = v1::SubscribeRequest::default();
    let mut stream = GrpcWeb::call(&http, None, SUBSCRIBE, &request).await;
    assert_eq!(stream.message::<ServerFrame>().await, Err(Code::Unauthenticated));

    let send = "/parlance.v1.ChatService/SendMessage";
    let mut call = GrpcWeb::call(&http, Some(&alice.token), send, &Person::message(&room, " ")).await;
    assert_eq!(call.message::<v1::SendMessageResponse>().await, Err(Code::InvalidArgument));
}

/// A `Subscribe` stream cannot send a second hello, so an invalid one ends it.
#[tokio::test]
async fn subscribe_with_a_bad_hello_ends_with_its_status() {
    let server = Server::start().await;
    let alice = server.person("alice").await;
    let room = alice.group(&[]).await;
    let hello = v1::Hello { device_id: String::new(), cursors: vec![Person::cursor(&room, 1); 2] };
    let request = v1::SubscribeRequest { hello: Some(hello) };
    let mut stream = alice.chat().subscribe(request).await.unwrap().into_inner();
    let first = parlance_tests::within("an answer", stream.message()).await;
    assert_eq!(refused(first), (Code::InvalidArgument, "invalid_field".to_owned()));
}

#[tokio::test]
async fn reflection_lists_the_services() {
    let server = Server::start().await;
    let channel = Endpoint::from_shared(format!("http://{}", server.address())).unwrap().connect_lazy();
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut client = ServerReflectionClient::new(channel.clone());
    let answers = client.server_reflection_info(futures::stream::iter([request])).await.unwrap();
    let answer = answers.into_inner().next().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else { panic!() };
    let names: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
    for service in ["ChatService", "UserService", "RoomService", "InboxService", "ServerService"] {
        assert!(names.contains(&format!("parlance.v1.{service}")), "{names:?}");
    }
}

/// Tools can only display error details whose types they can look up.
#[tokio::test]
async fn reflection_knows_the_details_of_errors() {
    let server = Server::start().await;
    let channel = Endpoint::from_shared(format!("http://{}", server.address())).unwrap().connect_lazy();
    for name in ["ErrorInfo", "BadRequest", "RetryInfo"] {
        let symbol = MessageRequest::FileContainingSymbol(format!("google.rpc.{name}"));
        let request = ServerReflectionRequest { host: String::new(), message_request: Some(symbol) };
        let mut client = ServerReflectionClient::new(channel.clone());
        let answers = client.server_reflection_info(futures::stream::iter([request])).await.unwrap();
        let answer = answers.into_inner().next().await.unwrap().unwrap();
        let Some(MessageResponse::FileDescriptorResponse(files)) = answer.message_response else {
            panic!("{name}: {answer:?}")
        };
        assert!(!files.file_descriptor_proto.is_empty());
    }
}

#[tokio::test]
async fn health_readiness_and_metrics_are_served() {
    let server = Server::start().await;
    let channel = Endpoint::from_shared(format!("http://{}", server.address())).unwrap().connect_lazy();
    for service in ["", "parlance.v1.ChatService"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let health = HealthClient::new(channel.clone()).check(request).await.unwrap().into_inner();
        assert_eq!(health.status(), ServingStatus::Serving);
    }
    let (doors, admin) = (server.http(), Http::new(server.admin()));
    for http in [&doors, &admin] {
        assert_eq!(http.get("/healthz").answer().await.status, 200);
        assert_eq!(http.get("/readyz").answer().await.status, 200);
    }
    let alice = server.person("alice").await;
    let session = alice.connect(parlance_tests::Door::WebSocketJson).await;
    assert_eq!(session.welcome().server_version, env!("CARGO_PKG_VERSION"));
    let metrics = admin.get("/metrics").answer().await;
    let text = String::from_utf8_lossy(&metrics.body).into_owned();
    assert!(text.lines().any(|line| line == "parlance_sessions 1"), "{text}");
    assert_eq!(doors.get("/metrics").answer().await.status, 404, "metrics are for operators");
}

#[tokio::test]
async fn every_answer_has_the_servers_version() {
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    let server = Server::start().await;
    let alice = server.person("alice").await;
    let answer = alice.users().get_user(v1::GetUserRequest { user_id: "me".to_owned() }).await.unwrap();
    assert_eq!(answer.metadata().get("parlance-version").unwrap(), VERSION);
    let refused =
        alice.users().get_user(v1::GetUserRequest { user_id: "nobody".to_owned() }).await.unwrap_err();
    assert_eq!(refused.metadata().get("parlance-version").unwrap(), VERSION);
    let (doors, admin) = (server.http(), Http::new(server.admin()));
    for (http, path, status) in [
        (&doors, "/v1/server", 200),
        (&doors, "/v1/users/me", 401),
        (&doors, "/nowhere", 404),
        (&doors, "/healthz", 200),
        (&admin, "/healthz", 200),
    ] {
        let answer = http.get(path).answer().await;
        let version = answer.headers.get("parlance-version").map(|version| version.to_str().unwrap());
        assert_eq!((answer.status, version), (status, Some(VERSION)), "{path}");
    }
    // What hyper itself answers, too.
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    stream.write_all(b"no request\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains(&format!("\r\nparlance-version: {VERSION}\r\n")), "{answer}");
}

#[tokio::test]
async fn errors_for_wrong_paths_suggest_valid_ones() {
    let server = Server::start().await;
    let http = server.http();
    let upgrade = [("connection", "upgrade"), ("upgrade", "WebSocket")];
    for (headers, named) in [(&upgrade[..], "/ws"), (&[], "/v1")] {
        let request = headers.iter().fold(http.get("/chat"), |it, (name, value)| it.header(name, value));
        let answer = request.answer().await;
        assert_eq!(answer.status, 404);
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(text.contains(named), "{text}");
    }
}
