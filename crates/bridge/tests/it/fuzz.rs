//! REST requests with mutated paths, queries and bodies: each is answered, with a status of the contract.

use std::sync::Arc;

use async_trait::async_trait;
use axum::body::Body;
use bytes::Bytes;
use futures::stream::BoxStream;
use http::{HeaderMap, Request};
use parlance_bridge::{Bridge, ChatBackend, Options, Received};
use parlance_delivery::{Delivery, Outlet};
use parlance_fuzz::Target;
use parlance_peers::Peer;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tower::ServiceExt;

/// Answers every call with nothing.
struct Empty;

#[async_trait]
impl ChatBackend for Empty {
    async fn admit(&self, _: &HeaderMap, _: &str, _: Option<&Peer>) -> Result<Option<String>, Status> {
        Ok(Some("alice".to_owned()))
    }

    async fn chat(
        &self,
        _: HeaderMap,
        _: BoxStream<'static, Received>,
        _: Outlet,
        _: Option<&Peer>,
    ) -> Result<BoxStream<'static, Result<Delivery, Status>>, Status> {
        Err(Status::unavailable("not here"))
    }

    async fn unary(&self, _: HeaderMap, _: &str, _: Bytes, _: Option<&Peer>) -> Result<Bytes, Status> {
        Ok(Bytes::new())
    }
}

#[test]
fn fuzz_rest_requests() {
    let seeds = [
        "GET /v1/users/me\n",
        "GET /v1/rooms/r/messages?pageSize=50&beforeSeq=18446744073709551615\n",
        "GET /v1/inbox?unreadOnly=true&kinds=ROOM_KIND_GROUP&kinds=1\n",
        "POST /v1/messages\n{\"toUser\":\"bob\",\"text\":\"hello\",\"clientMessageId\":\"1\"}",
        "PATCH /v1/rooms/r/messages/3\n{\"text\":\"new\",\"data\":{\"a\":[1]}}",
        "DELETE /v1/rooms/r/messages/3/reactions/%F0%9F%91%8D?requestId=1\n",
    ];
    let words =
        ["%", "%00", "%2F", "..", "//", "?", "&", "=", "pageSize", "seq", "/v1/", "null", "[[[[", "\\ud800"];
    let target = Target {
        name: "rest",
        crate_dir: env!("CARGO_MANIFEST_DIR"),
        seeds: seeds.map(|seed| seed.as_bytes().to_vec()).into(),
        dictionary: &words,
        cost: 4,
    };
    let bridge = Bridge::new(Arc::new(Empty), Options::default(), CancellationToken::new());
    let app = bridge.router();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    target.run(|input| {
        let line = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
        let (line, body) = input.split_at(line);
        let line = String::from_utf8_lossy(line);
        let (method, path) = line.split_once(' ')?;
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        let request = request.body(Body::from(body.get(1..).unwrap_or_default().to_vec())).ok()?;
        let status = runtime.block_on(app.clone().oneshot(request)).unwrap().status();
        assert_ne!(status, http::StatusCode::INTERNAL_SERVER_ERROR, "{line}");
        Some(status)
    });
}
