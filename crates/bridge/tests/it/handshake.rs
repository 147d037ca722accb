use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use parlance_bridge::Options;
use serde_json::{Value, json};

use crate::common::{Rejected, Server};

fn error(rejected: &Rejected) -> Value {
    let body: Value = serde_json::from_slice(rejected.body().as_deref().unwrap_or_default()).unwrap();
    body["error"].clone()
}

#[tokio::test]
async fn a_refused_stream_is_an_http_error() {
    let options = Options { request_timeout: Duration::from_millis(200), ..Options::default() };
    let server = Server::start(options).await;
    let refused = server.open(&[("authorization", "Bearer wrong")]).await.err().unwrap();
    assert_eq!(refused.status(), 401);
    assert_eq!(refused.headers()["www-authenticate"], "Bearer");
    assert_eq!(error(&refused)["reason"], "unauthenticated");
    let late = server.open(&[("authorization", "Bearer slow")]).await.err().unwrap();
    assert_eq!((late.status().as_u16(), &error(&late)["code"]), (504, &json!(4)));
}

#[tokio::test]
async fn a_token_comes_as_header_or_as_subprotocol() {
    let mut server = Server::start(Options::default()).await;
    let headers = [("authorization", "Bearer a"), ("cookie", "b=c"), ("traceparent", "00-1-2-03")];
    let (_client, answer) = server.open(&headers).await.unwrap();
    assert!(!answer.contains_key("sec-websocket-protocol"));
    let session = server.session().await;
    assert_eq!(session.headers["authorization"], "Bearer a");
    assert_eq!(session.headers["traceparent"], "00-1-2-03");
    assert!(!session.headers.contains_key("cookie"));

    let headers = [("sec-websocket-protocol", "parlance.v1, bearer.d.e-f")];
    let (_client, answer) = server.open(&headers).await.unwrap();
    assert_eq!(answer["sec-websocket-protocol"], "parlance.v1", "the token is not echoed");
    assert_eq!(server.session().await.headers["authorization"], "Bearer d.e-f");
}

#[tokio::test]
async fn request_that_is_no_handshake_gets_the_reason() {
    let server = Server::start(Options::default()).await;
    let complete = [
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "WebSocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let ask = async |method: Method, left_out: &str, instead: Option<&str>| {
        let mut request = Request::builder().method(method).uri("/ws");
        for (name, value) in complete {
            match instead.filter(|_| name == left_out) {
                Some(instead) => request = request.header(name, instead),
                None if name == left_out => {}
                None => request = request.header(name, value),
            }
        }
        let response = server.request(request.body(Full::<Bytes>::default()).unwrap()).await;
        let version = response.headers().contains_key("sec-websocket-version");
        let reason = match serde_json::from_slice::<Value>(response.body()) {
            Ok(body) => body["error"]["reason"].as_str().unwrap().to_owned(),
            Err(_) => String::new(),
        };
        (response.status().as_u16(), reason, version)
    };
    let upgrade_required = (426, "upgrade_required".to_owned(), true);
    assert_eq!(ask(Method::GET, "connection", None).await, upgrade_required);
    assert_eq!(ask(Method::GET, "upgrade", None).await, upgrade_required);
    assert_eq!(ask(Method::GET, "sec-websocket-version", Some("8")).await, upgrade_required);
    let bad_handshake = (400, "bad_handshake".to_owned(), false);
    assert_eq!(ask(Method::GET, "sec-websocket-key", None).await, bad_handshake);
    assert_eq!(ask(Method::GET, "sec-websocket-key", Some("c2hvcnQ=")).await, bad_handshake);
    assert_eq!(ask(Method::POST, "", None).await, (405, "method_not_allowed".to_owned(), false));
}
