use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::Full;
use parlance_bridge::Options;
use parlance_proto::error::Failure;
use parlance_proto::v1::{
    DeleteMessageRequest, GetUserResponse, ListMessagesRequest, SendMessageRequest, SendMessageResponse,
    User, send_message_request::Target,
};
use prost::Message;
use serde_json::{Value, json};
use tonic::{Code, Status};

use crate::common::{Call, Server, within};

async fn ask(server: &Server, method: Method, uri: &str, body: &str) -> (u16, HeaderMap, Value) {
    let request = Request::builder().method(method).uri(uri).header("authorization", "Bearer t");
    let request = request.header("cookie", "a=b").body(Full::from(body.to_owned())).unwrap();
    let response = server.request(request).await;
    let (parts, body) = response.into_parts();
    assert_eq!(parts.headers["cache-control"], "no-store");
    assert_eq!(parts.headers["content-type"], "application/json");
    (parts.status.as_u16(), parts.headers, serde_json::from_slice(&body).unwrap())
}

async fn called(server: &mut Server) -> Call {
    within(server.calls.recv()).await.expect("a call")
}

/// Sends a request and expects an error: status, reason, and the invalid field
/// if any.
async fn fails(server: &Server, method: Method, uri: &str, body: &str) -> (u16, String, String) {
    let (status, _, body) = ask(server, method, uri, body).await;
    let error = &body["error"];
    let field = error["fieldViolations"][0]["field"].as_str().unwrap_or_default();
    (status, error["reason"].as_str().unwrap().to_owned(), field.to_owned())
}

fn expected(status: u16, reason: &str, field: &str) -> (u16, String, String) {
    (status, reason.to_owned(), field.to_owned())
}

#[tokio::test]
async fn a_call_with_a_body() {
    let mut server = Server::start(Options::default()).await;
    let answer = SendMessageResponse { room_id: "a/b".to_owned(), seq: 7, ..Default::default() };
    server.answers(Ok(answer.encode_to_vec().into()));
    let body = r#"{"roomId":"a/b","clientMessageId":"c","text":"hi","afterSeq":"3"}"#;
    let (status, _, answer) = ask(&server, Method::POST, "/v1/rooms/a%2Fb/messages", body).await;
    assert_eq!((status, answer), (200, json!({"roomId": "a/b", "seq": "7"})));

    let call = called(&mut server).await;
    assert_eq!(call.path, "/parlance.v1.ChatService/SendMessage");
    assert_eq!(call.headers["authorization"], "Bearer t");
    assert!(!call.headers.contains_key("cookie"));
    let request = SendMessageRequest::decode(call.request).unwrap();
    assert_eq!(request.target, Some(Target::RoomId("a/b".to_owned())));
    assert_eq!((request.text.as_str(), request.after_seq), ("hi", Some(3)));

    let (status, ..) = ask(&server, Method::POST, "/v1/messages", r#"{"toUser":"ann"}"#).await;
    let request = SendMessageRequest::decode(called(&mut server).await.request).unwrap();
    assert_eq!((status, request.target), (200, Some(Target::ToUser("ann".to_owned()))));

    let (status, ..) = ask(&server, Method::POST, "/v1/messages", "").await;
    assert_eq!((status, called(&mut server).await.request), (200, Bytes::new()), "an empty body is {{}}");
}

#[tokio::test]
async fn a_call_with_a_query() {
    let mut server = Server::start(Options::default()).await;
    server.answers(Ok(Bytes::new()));
    let uri = "/v1/rooms/r1/messages?pageSize=10&before_seq=18446744073709551615&roomId=r1";
    let (status, _, answer) = ask(&server, Method::GET, uri, "").await;
    assert_eq!((status, answer), (200, json!({})));
    let request = ListMessagesRequest::decode(called(&mut server).await.request).unwrap();
    let expected = ListMessagesRequest {
        room_id: "r1".to_owned(),
        page_size: 10,
        before_seq: u64::MAX,
        ..Default::default()
    };
    assert_eq!(request, expected);

    let (status, ..) = ask(&server, Method::DELETE, "/v1/rooms/r1/messages/5?requestId=q", "").await;
    let request = DeleteMessageRequest::decode(called(&mut server).await.request).unwrap();
    assert_eq!((status, request.seq, request.request_id.as_str()), (200, 5, "q"));
}

#[tokio::test]
async fn head_is_a_get_without_its_body() {
    let server = Server::start(Options::default()).await;
    let user = User { user_id: "ann".to_owned(), ..Default::default() };
    server.answers(Ok(GetUserResponse { user: Some(user) }.encode_to_vec().into()));
    let request = Request::builder().method(Method::HEAD).uri("/v1/users/ann").body(Full::default()).unwrap();
    let response = server.request(request).await;
    assert_eq!((response.status(), response.body().len()), (StatusCode::OK, 0));
}

#[tokio::test]
async fn bad_request_is_rejected_with_reason_before_the_backend() {
    let mut server = Server::start(Options::default()).await;
    server.answers(Ok(Bytes::new()));
    let (get, post) = (Method::GET, Method::POST);
    let invalid = |field| expected(400, "invalid_field", field);
    assert_eq!(fails(&server, get.clone(), "/v1/users?pageSize=x", "").await, invalid("pageSize"));
    assert_eq!(fails(&server, get.clone(), "/v1/users?nothing=1", "").await, invalid("nothing"));
    assert_eq!(fails(&server, get.clone(), "/v1/rooms/r/messages/x", "").await, invalid("seq"));
    assert_eq!(fails(&server, get.clone(), "/v1/users/%ff", "").await, invalid("user_id"));
    assert_eq!(fails(&server, post.clone(), "/v1/messages?text=hi", "{}").await, invalid("text"));
    let (to_room, private) = ("/v1/rooms/r1/messages", r#"{"toUser":"ann","text":"only for ann"}"#);
    assert_eq!(fails(&server, post.clone(), to_room, private).await, invalid("toUser"));
    assert_eq!(fails(&server, post.clone(), to_room, r#"{"roomId":"r2"}"#).await, invalid("roomId"));
    assert_eq!(fails(&server, get.clone(), "/v1/rooms/r1/messages?roomId=r2", "").await, invalid("roomId"));
    let malformed = |field| expected(400, "malformed_json", field);
    assert_eq!(fails(&server, post.clone(), "/v1/messages", r#"{"text":5}"#).await, malformed("text"));
    assert_eq!(fails(&server, post.clone(), "/v1/messages", "{").await, malformed(""));
    let number = r#"{"afterSeq":18446744073709551616}"#;
    assert_eq!(fails(&server, post.clone(), "/v1/messages", number).await, malformed("afterSeq"));
    let unknown = expected(400, "unknown_field", "fromUser");
    assert_eq!(fails(&server, post.clone(), "/v1/messages", r#"{"fromUser":"ann"}"#).await, unknown);
    let unexpected = expected(400, "unexpected_body", "");
    assert_eq!(
        fails(&server, Method::DELETE, "/v1/rooms/r/messages/1", r#"{"requestId":"q"}"#).await,
        unexpected
    );
    let too_large = expected(413, "body_too_large", "");
    assert_eq!(fails(&server, post.clone(), "/v1/messages", &" ".repeat(128 * 1024 + 1)).await, too_large);
    assert_eq!(fails(&server, get.clone(), "/v1/nothing", "").await, expected(404, "unknown_path", ""));
    assert_eq!(fails(&server, get.clone(), "/v1", "").await, expected(404, "unknown_path", ""));
    assert_eq!(fails(&server, get.clone(), "/v1/", "").await, expected(404, "unknown_path", ""));
    let wrong_method = expected(405, "method_not_allowed", "");
    assert_eq!(fails(&server, Method::PUT, "/v1/users/ann", "").await, wrong_method);
    let (_, headers, _) = ask(&server, Method::PUT, "/v1/users/ann", "").await;
    assert_eq!(headers["allow"], "GET, HEAD, PATCH");
    assert!(server.calls.try_recv().is_err(), "the backend saw nothing of it");
}

#[tokio::test]
async fn a_client_may_have_unknown_fields_ignored() {
    let mut server = Server::start(Options::default()).await;
    server.answers(Ok(Bytes::new()));
    let request = Request::builder().method(Method::POST).uri("/v1/messages");
    let request = request.header("parlance-unknown-fields", "ignore");
    let request = request.body(Full::from(r#"{"text":"hi","future":1}"#)).unwrap();
    assert_eq!(server.request(request).await.status(), StatusCode::OK);
    let request = SendMessageRequest::decode(called(&mut server).await.request).unwrap();
    assert_eq!(request.text, "hi");
}

#[tokio::test]
async fn only_json_is_read() {
    let server = Server::start(Options::default()).await;
    server.answers(Ok(Bytes::new()));
    let ask = async |content_type: &str| {
        let request = Request::post("/v1/messages").header("content-type", content_type);
        server.request(request.body(Full::from("{}")).unwrap()).await.status().as_u16()
    };
    assert_eq!(ask("application/json").await, 200);
    assert_eq!(ask("Application/JSON; charset=utf-8").await, 200);
    assert_eq!(ask("text/plain").await, 415);
    assert_eq!(ask("application/x-www-form-urlencoded").await, 415);
}

#[tokio::test]
async fn the_backends_errors_keep_their_details() {
    let server = Server::start(Options::default()).await;
    let failure = Failure::new(Code::ResourceExhausted, "rate_limited", "slow down")
        .retry_after(Duration::from_millis(1500))
        .with("room_id", "r1");
    server.answers(Err(failure.into()));
    let (status, headers, body) = ask(&server, Method::GET, "/v1/users", "").await;
    assert_eq!((status, headers["retry-after"].to_str().unwrap()), (429, "2"));
    let error = json!({
        "code": 8, "message": "slow down", "reason": "rate_limited",
        "retryDelay": "1.500s", "metadata": {"room_id": "r1"},
    });
    assert_eq!(body, json!({ "error": error }));

    let statuses = [
        (Status::unauthenticated(""), 401),
        (Status::permission_denied(""), 403),
        (Status::not_found(""), 404),
        (Status::already_exists(""), 409),
        (Status::cancelled(""), 499),
        (Status::internal(""), 500),
        (Status::unimplemented(""), 501),
        (Status::unavailable(""), 503),
    ];
    for (status, expected) in statuses {
        server.answers(Err(status));
        let (status, headers, _) = ask(&server, Method::GET, "/v1/users", "").await;
        assert_eq!(status, expected);
        assert_eq!(headers.contains_key("www-authenticate"), status == 401);
        assert_eq!(headers.contains_key("retry-after"), status == 503);
    }
}

#[tokio::test]
async fn invalid_response_is_an_internal_error() {
    let server = Server::start(Options::default()).await;
    server.answers(Ok(Bytes::from_static(b"\xff")));
    assert_eq!(fails(&server, Method::GET, "/v1/users", "").await, expected(500, "internal", ""));
}

#[tokio::test]
async fn slow_call_times_out() {
    let options = Options { request_timeout: Duration::from_millis(100), ..Options::default() };
    let server = Server::start(options).await;
    assert_eq!(fails(&server, Method::GET, "/v1/users", "").await, expected(504, "deadline_exceeded", ""));
}
