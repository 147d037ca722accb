//! Requests that arrive together, for large answers that nobody reads.

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::response::Response;
use axum::routing::get;

use super::*;

const PAGE: usize = 6_000;

/// More than the headers of the requests take, which count until they are handled.
const HEADERS: usize = 100;

/// An app that makes pages, and counts them.
fn app() -> (Router, Arc<AtomicUsize>) {
    let made = Arc::new(AtomicUsize::new(0));
    let counted = made.clone();
    let page = move |request: Request| {
        let (peer, counted) = (request.extensions().get::<Arc<Peer>>().unwrap().clone(), counted.clone());
        async move {
            let reserved = peer.budget_of(None).reserve(PAGE).await;
            counted.fetch_add(1, Ordering::SeqCst);
            let mut response = Response::new(Body::from("x".repeat(PAGE)));
            response.extensions_mut().insert(reserved);
            response
        }
    };
    (Router::new().route("/page", get(page)), made)
}

fn serve(peer: &Arc<Peer>, app: Router) -> DuplexStream {
    let (theirs, ours) = duplex(1_024);
    let peer = peer.clone();
    tokio::spawn(async move {
        let (_, opened) = Opened::new(ours, peer.clone()).await.expect("a client");
        let heard = opened.heard();
        let connection = Connection::open(opened, &Builder::new(), Trust::Bounded).await?;
        connection.serve(heard, peer, &NEVER, app, CancellationToken::new()).await
    });
    theirs
}

fn ask(requests: &mut SendRequest<Bytes>) -> ResponseFuture {
    let request = http::Request::get("http://localhost/page").body(()).unwrap();
    requests.send_request(request, true).unwrap().0
}

#[tokio::test]
async fn large_answers_are_made_as_far_as_they_fit() {
    let peer = peer_with(Limits { held_by_connection: 2 * PAGE + HEADERS, ..Limits::production(10) });
    peer.identify();
    let (app, made) = app();
    let io = serve(&peer, app);
    let mut requests = client(io, h2::client::Builder::new().initial_window_size(0)).await;
    let asked: Vec<_> = (0..8).map(|_| ask(&mut requests)).collect();
    let mut asked = asked.into_iter();
    let bodies = [within(asked.next().unwrap()).await.unwrap(), within(asked.next().unwrap()).await.unwrap()];
    within(async {
        while peer.held().bytes() < 2 * PAGE {
            yield_now().await;
        }
    })
    .await;
    for _ in 0..100 {
        yield_now().await;
        assert_eq!(made.load(Ordering::SeqCst), 2, "there is no room for more");
    }
    // Who gives them up, or reads them, gets the others.
    drop(bodies);
    for response in asked {
        let mut body = within(response).await.unwrap().into_body();
        body.flow_control().release_capacity(0).unwrap();
        drop(body);
    }
    assert_eq!(made.load(Ordering::SeqCst), 8);
    within(async {
        while peer.ledger().held() > 0 {
            yield_now().await;
        }
    })
    .await;
}

/// The window is open, but the peer does not read from its socket.
#[tokio::test]
async fn answers_are_charged_until_they_are_written() {
    let peer = peer_with(Limits { held_by_connection: 2 * PAGE, ..Limits::production(10) });
    peer.identify();
    let (app, made) = app();
    let io = serve(&peer, app);
    let (mut reading, mut writing) = split(io);
    // The preface, settings, and requests: ":method: GET" and ":scheme: http" by index, ":path" as a literal.
    let settings = b"\0\0\0\x04\0\0\0\0\0";
    let mut said = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &settings[..]].concat();
    for stream in [1, 3, 5, 7] {
        let block = [&[0x82, 0x86, 0x04, 5][..], b"/page"].concat();
        said.extend([&[0, 0, block.len() as u8, 1, 5, 0, 0, 0, stream][..], &block].concat());
    }
    writing.write_all(&said).await.unwrap();
    within(async {
        while made.load(Ordering::SeqCst) < 2 {
            yield_now().await;
        }
    })
    .await;
    for _ in 0..100 {
        yield_now().await;
        assert_eq!(made.load(Ordering::SeqCst), 2, "there is no room for more");
    }
    assert!(peer.held().bytes() > PAGE);
    let drained = tokio::spawn(async move { tokio::io::copy(&mut reading, &mut tokio::io::sink()).await });
    within(async {
        while made.load(Ordering::SeqCst) < 4 || peer.held().bytes() > 0 {
            yield_now().await;
        }
    })
    .await;
    drop(writing);
    drained.abort();
}
