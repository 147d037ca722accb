//! What requests hold while they are received.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures::{StreamExt, stream};
use http::{Request, StatusCode, Version};
use parlance_bridge::Options;
use parlance_peers::{HeaderCharge, Ledger, Limits, Peer, Proxies};
use tokio::time::{Instant, timeout};
use tower::ServiceExt;

use crate::common::Server;

/// A connection of a client, or of a proxy.
fn peer(proxies: Proxies) -> (Arc<Ledger>, Arc<Peer>) {
    let ledger = Ledger::new(Limits::production(8), proxies);
    let address = "192.0.2.1".parse().unwrap();
    let peer = Peer::new(address, ledger.connect(address).unwrap());
    (ledger, peer)
}

/// A body that does not end.
fn begun(bytes: usize) -> Body {
    let first = stream::iter([Ok::<_, Infallible>(Bytes::from(vec![b' '; bytes]))]);
    Body::from_stream(first.chain(stream::pending()))
}

/// Bytes that are held for a request whose body does not end.
async fn held(path: &str, proxies: Proxies, bytes: usize) -> usize {
    let server = Server::start(Options::default()).await;
    let (ledger, peer) = peer(proxies);
    let request = Request::get(path).extension(peer).body(begun(bytes)).unwrap();
    let mut answering = pin!(server.bridge.router().oneshot(request));
    assert!(timeout(Duration::from_secs(5), &mut answering).await.is_err(), "it is not answered");
    ledger.held()
}

#[tokio::test(start_paused = true)]
async fn headers_are_charged_while_their_body_may_still_come() {
    let server = Server::start(Options::default()).await;
    let (ledger, peer) = peer(Proxies::default());
    let mut request = Request::get("/v1/rooms").body(begun(0)).unwrap();
    request.extensions_mut().insert(HeaderCharge::new(&peer.budget_of(None), 3_000));
    request.extensions_mut().insert(peer);
    let mut answering = Box::pin(server.bridge.router().oneshot(request));
    assert!(timeout(Duration::from_secs(5), &mut answering).await.is_err(), "it is not answered");
    assert_eq!(ledger.held(), 3_000);
    drop(answering);
    assert_eq!(ledger.held(), 0);
}

/// Its sender decides how long that takes.
#[tokio::test(start_paused = true)]
async fn no_room_is_made_for_an_answer_before_its_request_is_there() {
    assert_eq!(held("/v1/rooms", Proxies::default(), 0).await, 0);
    assert_eq!(held("/v1/rooms", Proxies::default(), 1_000).await, 1_000);
}

#[tokio::test(start_paused = true)]
async fn requests_of_nobody_behind_proxies_count() {
    assert_eq!(held("/v1/server", Proxies::everyone(), 1_000).await, 1_000);
}

#[tokio::test]
async fn a_call_without_a_caller_has_a_small_body() {
    let server = Server::start(Options::default()).await;
    let (_ledger, peer) = peer(Proxies::everyone());
    let request = Request::get("/v1/server").extension(peer).body(Body::from(vec![b' '; 5_000])).unwrap();
    let answer = server.bridge.router().oneshot(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test(start_paused = true)]
async fn the_body_of_a_call_beyond_its_rate_is_not_kept() {
    let server = Server::start(Options::default()).await;
    let call = async |version, body| {
        let request = Request::post("/v1/rooms/r/messages").header("authorization", "Bearer busy");
        let answer = server.bridge.router().oneshot(request.version(version).body(body).unwrap()).await;
        answer.unwrap().status()
    };
    let start = Instant::now();
    assert_eq!(call(Version::HTTP_2, begun(1_000)).await, StatusCode::TOO_MANY_REQUESTS);
    assert!(start.elapsed().is_zero(), "the stream ends");
    let read = Arc::new(AtomicUsize::new(0));
    let counted = read.clone();
    let pieces = stream::iter(0..3).map(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        Ok::<_, Infallible>(Bytes::from_static(&[b' '; 1_000]))
    });
    assert_eq!(call(Version::HTTP_11, Body::from_stream(pieces)).await, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(read.load(Ordering::Relaxed), 3, "or its end would end the connection");
}
