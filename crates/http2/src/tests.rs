use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::routing::{get, post};
use bytes::Bytes;
use futures::stream;
use h2::client::{ResponseFuture, SendRequest};
use h2::server::Builder;
use h2::{Error, RecvStream};
use http_body::Frame;
use parlance_delivery::{Delivery, Outlet, SharedFrame, Source};
use parlance_peers::{Ledger, Limits, Peer, Proxies};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, copy, duplex, split};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, yield_now};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::{Connection, KeepAlive, Opened, Trust};

mod answers;
mod fuzz;
mod hostile;

const DEADLINE: Duration = Duration::from_secs(10);

/// Longer than any test.
const NEVER: KeepAlive = KeepAlive { after: Duration::from_secs(600), timeout: Duration::from_secs(600) };

/// The client, on a connection with default limits.
pub(crate) fn peer() -> Arc<Peer> {
    peer_with(Limits::production(10))
}

fn peer_with(limits: Limits) -> Arc<Peer> {
    let address = Ipv4Addr::LOCALHOST.into();
    Peer::new(address, Ledger::new(limits, Proxies::default()).connect(address).expect("the first"))
}

async fn within<F: Future>(future: F) -> F::Output {
    timeout(DEADLINE, future).await.expect("in time")
}

/// A call in progress, as seen by the app.
struct Call {
    outlet: Option<Outlet>,
    body: mpsc::UnboundedSender<Result<Frame<Bytes>, axum::Error>>,
}

struct Server {
    calls: mpsc::UnboundedReceiver<Call>,
    shutdown: CancellationToken,
    /// Whether the connection ended cleanly.
    served: JoinHandle<Result<(), Error>>,
}

impl Server {
    /// One connection, whose other end is returned.
    fn start(keep_alive: KeepAlive) -> (Self, DuplexStream) {
        Self::start_for(peer(), keep_alive)
    }

    fn start_for(peer: Arc<Peer>, keep_alive: KeepAlive) -> (Self, DuplexStream) {
        let (theirs, ours) = duplex(16 * 1024);
        let (opened, calls) = mpsc::unbounded_channel();
        let chat = move |request: Request| {
            let (body, frames) = mpsc::unbounded_channel();
            let outlet = request.extensions().get().cloned();
            opened.send(Call { outlet, body }).expect("the test is there");
            let frames = stream::unfold(frames, |mut frames| async move {
                let frame = frames.recv().await?;
                Some((frame, frames))
            });
            async { Body::new(http_body_util::StreamBody::new(frames)) }
        };
        let echo = async |request: Request| Body::from_stream(request.into_body().into_data_stream());
        let app = Router::new().route("/chat", post(chat)).route("/echo", post(echo)).route("/", get("here"));
        let shutdown = CancellationToken::new();
        let until = shutdown.clone();
        let served = tokio::spawn(async move {
            let (_, opened) = Opened::new(ours, peer.clone()).await.expect("a client");
            let heard = opened.heard();
            let connection = Connection::open(opened, &Builder::new(), Trust::Bounded).await?;
            connection.serve(heard, peer, &keep_alive, app, until).await
        });
        (Self { calls, shutdown, served }, theirs)
    }

    async fn call(&mut self) -> Call {
        within(self.calls.recv()).await.expect("a call")
    }
}

/// A client that reads everything, unless a test does not poll it.
async fn client(io: DuplexStream, builder: &h2::client::Builder) -> SendRequest<Bytes> {
    let (requests, connection) = builder.handshake(io).await.unwrap();
    tokio::spawn(connection);
    within(requests.ready()).await.unwrap()
}

fn request(path: &str, kind: &str) -> http::Request<()> {
    let method = if path == "/" { "GET" } else { "POST" };
    let request = http::Request::builder().method(method).uri(format!("http://localhost{path}"));
    request.header("content-type", kind).body(()).unwrap()
}

/// Opens a stream and returns its body.
async fn chat(requests: &mut SendRequest<Bytes>) -> RecvStream {
    let (response, _) = requests.send_request(request("/chat", "application/grpc"), true).unwrap();
    within(response).await.unwrap().into_body()
}

async fn text_of(response: ResponseFuture) -> String {
    let mut body = within(response).await.unwrap().into_body();
    let mut all = Vec::new();
    while let Some(bytes) = within(body.data()).await {
        let bytes = bytes.unwrap();
        body.flow_control().release_capacity(bytes.len()).unwrap();
        all.extend_from_slice(&bytes);
    }
    String::from_utf8(all).unwrap()
}

fn frame(text: &str) -> SharedFrame {
    SharedFrame::from_encoded(text.as_bytes())
}

/// Deliveries returned one after the other.
struct Given(VecDeque<Delivery>);

impl Source for Given {
    fn next(&mut self) -> Option<&Delivery> {
        // Borrowed, so the last one stays until another is requested.
        self.0.pop_front();
        self.0.front()
    }
}

/// A source that is never called.
struct Never;

impl Source for Never {
    fn next(&mut self) -> Option<&Delivery> {
        panic!("the stream is not idle")
    }
}

/// Pushes once the stream is idle.
async fn push(call: &Call, texts: &[&str]) {
    let given = texts.iter().map(|text| frame(text).into());
    let mut given = Given([frame("none").into()].into_iter().chain(given).collect());
    let outlet = call.outlet.as_ref().unwrap();
    within(async {
        // The last one may wait for the peer, but was accepted.
        while !outlet.push(&mut given) || given.0.len() > 1 {
            yield_now().await;
        }
    })
    .await;
}

/// Reads until a message with this text is complete; returns everything before it.
async fn read_to(body: &mut RecvStream, last: &str) -> String {
    let mut all = Vec::new();
    while !all.ends_with(last.as_bytes()) {
        let bytes = within(body.data()).await.expect("more").unwrap();
        body.flow_control().release_capacity(bytes.len()).unwrap();
        all.extend_from_slice(&bytes);
    }
    String::from_utf8_lossy(&all).replace(['\0', '\x01'], "")
}

#[tokio::test]
async fn pushed_frames_and_body_keep_their_order() {
    for streams in [1, 2] {
        let (mut server, io) = Server::start(NEVER);
        let mut requests = client(io, &h2::client::Builder::new()).await;
        let mut body = chat(&mut requests).await;
        let call = server.call().await;
        // With a second stream, the connection's task writes.
        let _other = if streams == 2 { Some((chat(&mut requests).await, server.call().await)) } else { None };
        for number in 0..200 {
            let last = format!("<{number}>");
            if number % 3 == 0 {
                let sent = frame(&last).grpc().clone();
                call.body.send(Ok(Frame::data(sent))).unwrap();
                assert_eq!(read_to(&mut body, &last).await.matches('<').count(), 1);
            } else {
                push(&call, &["<a>", "<b>"]).await;
                push(&call, &[&last]).await;
                let read = read_to(&mut body, &last).await;
                let read: Vec<_> =
                    read.split('<').skip(1).map(|part| &part[..part.find('>').unwrap()]).collect();
                assert_eq!(read, ["a", "b", &number.to_string()]);
            }
        }
        let status = [("grpc-status".parse().unwrap(), "0".parse().unwrap())].into_iter().collect();
        call.body.send(Ok(Frame::trailers(status))).unwrap();
        assert!(within(body.data()).await.is_none());
        assert_eq!(within(body.trailers()).await.unwrap().unwrap()["grpc-status"], "0");
    }
}

#[tokio::test]
async fn peer_that_does_not_read_gets_no_more() {
    let (mut server, io) = Server::start(NEVER);
    let mut requests = client(io, h2::client::Builder::new().initial_window_size(1_000)).await;
    let mut body = chat(&mut requests).await;
    let call = server.call().await;
    let large = "x".repeat(3_000);
    push(&call, &[&large]).await;
    let outlet = call.outlet.as_ref().unwrap();
    // It is sent as far as the peer's window allows; the rest waits, and no other is requested.
    for _ in 0..100 {
        assert!(!outlet.push(&mut Never));
        yield_now().await;
    }
    let read = read_to(&mut body, "x").await;
    let rest = if read.len() < 3_000 {
        read_to(&mut body, &"x".repeat(3_000 - read.len())).await
    } else {
        String::new()
    };
    assert_eq!(read.matches('x').count() + rest.matches('x').count(), 3_000);
    push(&call, &["<again>"]).await;
    read_to(&mut body, "<again>").await;
}

#[tokio::test]
async fn reset_stream_ends_after_push_too() {
    for pushed in [false, true] {
        let (mut server, io) = Server::start(NEVER);
        let mut requests = client(io, &h2::client::Builder::new()).await;
        let (response, mut sending) =
            requests.send_request(request("/chat", "application/grpc"), false).unwrap();
        let mut body = within(response).await.unwrap().into_body();
        let call = server.call().await;
        if pushed {
            push(&call, &["<pushed>"]).await;
            read_to(&mut body, "<pushed>").await;
        }
        sending.send_reset(h2::Reason::CANCEL);
        within(call.body.closed()).await;
        assert!(!call.outlet.unwrap().push(&mut Never));
        // The connection continues.
        let (response, _) = requests.send_request(request("/", "text/plain"), true).unwrap();
        assert_eq!(text_of(response).await, "here");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_during_pushes_are_answered() {
    let (mut server, io) = Server::start(NEVER);
    let mut requests = client(io, &h2::client::Builder::new()).await;
    let mut body = chat(&mut requests).await;
    let call = server.call().await;
    let reading = tokio::spawn(async move { read_to(&mut body, "<last>").await.matches("<some>").count() });
    let (asking, mut asked) = oneshot::channel();
    let pushing = tokio::spawn(async move {
        let mut count = 0;
        // Long enough that the peer does not treat them as an attack by small frames.
        let some = format!("<some>{}", "x".repeat(300));
        while asked.try_recv().is_err() {
            push(&call, &[&some]).await;
            count += 1;
            yield_now().await;
        }
        push(&call, &["<last>"]).await;
        count
    });
    for _ in 0..500 {
        let (response, _) = requests.send_request(request("/", "text/plain"), true).unwrap();
        assert_eq!(text_of(response).await, "here");
        requests = within(requests.ready()).await.unwrap();
    }
    asking.send(()).unwrap();
    assert_eq!(within(pushing).await.unwrap(), within(reading).await.unwrap());
}

#[tokio::test]
async fn large_body_passes_both_ways() {
    let (_server, io) = Server::start(NEVER);
    let mut requests = client(io, &h2::client::Builder::new()).await;
    let (response, mut body) = requests.send_request(request("/echo", "text/plain"), false).unwrap();
    let text = "0123456789".repeat(100_000);
    body.send_data(text.clone().into(), true).unwrap();
    assert_eq!(text_of(response).await, text);
}

#[tokio::test]
async fn only_grpc_can_be_pushed_to() {
    let (mut server, io) = Server::start(NEVER);
    let mut requests = client(io, &h2::client::Builder::new()).await;
    for (kind, can) in [
        ("application/grpc", true),
        ("application/grpc+proto", true),
        ("application/grpc-web", false),
        ("application/grpc-web-text", false),
        ("text/plain", false),
    ] {
        let _call = requests.send_request(request("/chat", kind), true).unwrap();
        assert_eq!(server.call().await.outlet.is_some(), can, "{kind}");
    }
}

#[tokio::test]
async fn shutdown_completes_requests_in_flight() {
    let (mut server, io) = Server::start(NEVER);
    let mut requests = client(io, &h2::client::Builder::new()).await;
    let mut body = chat(&mut requests).await;
    let call = server.call().await;
    server.shutdown.cancel();
    // Once the peer knows, it cannot send more requests.
    within(async {
        while requests.send_request(request("/", "text/plain"), true).is_ok() {
            yield_now().await;
        }
    })
    .await;
    push(&call, &["<goodbye>"]).await;
    read_to(&mut body, "<goodbye>").await;
    assert!(!server.served.is_finished());
    drop(call);
    while let Some(bytes) = within(body.data()).await {
        assert!(bytes.unwrap().is_empty());
    }
    within(server.served).await.unwrap().unwrap();
}

#[tokio::test]
async fn connection_end_ends_its_streams() {
    let (mut server, io) = Server::start(NEVER);
    let (requests, connection) = h2::client::handshake(io).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut requests = within(requests.ready()).await.unwrap();
    let _body = chat(&mut requests).await;
    let call = server.call().await;
    connection.abort();
    within(call.body.closed()).await;
    let _ = within(server.served).await.unwrap();
}

#[tokio::test]
async fn peer_without_pongs_is_dropped() {
    let soon = KeepAlive { after: Duration::from_millis(20), timeout: Duration::from_millis(20) };
    let (mut server, mut io) = Server::start(soon);
    io.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let mut said = Vec::new();
    within(io.read_to_end(&mut said)).await.unwrap();
    assert!(said.windows(9).any(|frame| frame == b"\0\0\x08\x06\0\0\0\0\0"), "a ping");
    within(&mut server.served).await.unwrap().unwrap();
}

/// Forwards everything in both directions, and counts the server's pings.
fn counting_pings(io: DuplexStream) -> (DuplexStream, watch::Receiver<usize>) {
    let (theirs, ours) = duplex(16 * 1024);
    let (count, pings) = watch::channel(0);
    let ((mut from_server, mut to_server), (mut from_client, mut to_client)) = (split(io), split(ours));
    tokio::spawn(async move { copy(&mut from_client, &mut to_server).await });
    tokio::spawn(async move {
        let mut frame = vec![0; 9];
        while from_server.read_exact(&mut frame[..9]).await.is_ok() {
            let length = u32::from_be_bytes([0, frame[0], frame[1], frame[2]]) as usize;
            frame.resize(9 + length, 0);
            from_server.read_exact(&mut frame[9..]).await?;
            to_client.write_all(&frame).await?;
            // PING frames without ACK.
            count.send_modify(|count| *count += usize::from(frame[3..5] == [6, 0]));
            frame.resize(9, 0);
        }
        std::io::Result::Ok(())
    });
    (theirs, pings)
}

#[tokio::test]
async fn a_peer_that_answers_pings_stays() {
    let soon = KeepAlive { after: Duration::from_millis(5), timeout: Duration::from_millis(500) };
    let (mut server, io) = Server::start(soon);
    let (io, mut pings) = counting_pings(io);
    let mut requests = client(io, &h2::client::Builder::new()).await;
    let mut body = chat(&mut requests).await;
    let call = server.call().await;
    // More than one: a ping must not block the next.
    for number in 1..=3 {
        within(pings.wait_for(|pings| *pings >= number)).await.unwrap();
        push(&call, &[&format!("<{number}>")]).await;
        read_to(&mut body, &format!("<{number}>")).await;
    }
    assert!(!server.served.is_finished());
}
