//! The connection over an in-memory pipe, in paused time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::{SinkExt, StreamExt, stream};
use parlance_delivery::{Delivery, SharedFrame};
use parlance_peers::{Ledger, Limits, Peer, Proxies};
use parlance_proto::json::UnknownFields;
use parlance_proto::v1;
use parlance_proto::v1::{ClientFrame, Welcome, server_frame};
use prost::Message as _;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex, join};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_util::sync::CancellationToken;

use super::connection::serve;
use super::inbound::Inbound;
use super::link::Link;
use super::session::Session;
use super::socket::Socket;
use crate::backend::Received;
use crate::limits;
use crate::meters::Meters;
use crate::options::Options;

struct Served {
    io: DuplexStream,
    inbound: mpsc::Receiver<Received>,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

/// Serves a connection whose network buffers 1 KiB in each direction.
async fn start(session: Session) -> Served {
    let (io, far) = duplex(1024);
    start_over(io, far, session, Options::default()).await
}

async fn start_over<S>(io: DuplexStream, far: S, session: Session, options: Options) -> Served
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    start_for(None, io, far, session, options).await
}

async fn start_for<S>(
    peer: Option<Arc<Peer>>,
    io: DuplexStream,
    far: S,
    session: Session,
    options: Options,
) -> Served
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let socket = Socket::new(far);
    let (sender, inbound) = mpsc::channel(limits::INBOUND_FRAMES);
    let shutdown = CancellationToken::new();
    let token = shutdown.clone();
    let task = tokio::spawn(async move {
        serve(
            Link::new(socket, session, peer.clone(), Arc::new(Meters::new())),
            Inbound::new(sender, peer),
            &options,
            UnknownFields::Refuse,
            token,
        )
        .await;
    });
    Served { io, inbound, shutdown, task }
}

async fn client(io: DuplexStream) -> WebSocketStream<DuplexStream> {
    WebSocketStream::from_raw_socket(io, Role::Client, None).await
}

fn silent() -> Session {
    stream::pending().boxed()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn numbered(number: usize) -> ClientFrame {
    ClientFrame { request_id: number.to_string(), operation: None, as_user: String::new() }
}

fn welcome(bytes: usize) -> Delivery {
    Delivery::Frame(frame(bytes))
}

fn frame(bytes: usize) -> SharedFrame {
    server_frame::Frame::Welcome(Welcome { session_id: "x".repeat(bytes), ..Default::default() }).into()
}

#[tokio::test(start_paused = true)]
async fn stalled_backend_stops_reading() {
    let mut served = start(silent()).await;
    let mut client = client(served.io).await;
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&sent);
    let sending = tokio::spawn(async move {
        for number in 0..1000 {
            let frame =
                ClientFrame { request_id: number.to_string(), operation: None, as_user: String::new() };
            client.send(Message::Binary(frame.encode_to_vec().into())).await.unwrap();
            counter.fetch_add(1, Ordering::Relaxed);
        }
        client
    });
    // Far beyond the idle timeout: the peer is not read, so its silence does not
    // count.
    assert!(timeout(seconds(600), &mut served.task).await.is_err(), "the connection lives on");
    let stuck_at = sent.load(Ordering::Relaxed);
    assert!(stuck_at < 1000 && !sending.is_finished(), "{stuck_at} frames went out");
    assert_eq!(served.inbound.len(), limits::INBOUND_FRAMES);
    for number in 0..1000 {
        assert_eq!(*served.inbound.recv().await.unwrap().frame, numbered(number));
    }
    sending.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_reads_nothing_costs_one_frame_and_is_dropped() {
    let taken = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&taken);
    let endless = stream::repeat_with(move || {
        counter.fetch_add(1, Ordering::Relaxed);
        Ok(welcome(1000))
    });
    let mut served = start(endless.boxed()).await;
    let mut client = client(served.io).await;
    assert!(timeout(seconds(59), &mut served.task).await.is_err(), "it has a minute");
    let bound = (1024 + limits::GATHER_BYTES) / 1000 + 1;
    assert!(taken.load(Ordering::Relaxed) <= bound, "{taken:?} frames were taken, {bound} fit");
    // Its input is read nevertheless.
    client.send(Message::Binary(numbered(1).encode_to_vec().into())).await.unwrap();
    assert_eq!(*served.inbound.recv().await.unwrap().frame, numbered(1));
    timeout(seconds(2), served.task).await.expect("dropped after the write time-out").unwrap();
    assert!(taken.load(Ordering::Relaxed) <= bound);
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_peer_that_reads_nothing_is_charged_to_it() {
    let ledger = Ledger::new(Limits::production(8), Proxies::default());
    let address = "192.0.2.1".parse().unwrap();
    let peer = Peer::new(address, ledger.connect(address).unwrap());
    let (io, far) = duplex(1024);
    let session = stream::iter([Ok(welcome(300_000))]).chain(stream::pending()).boxed();
    let mut served = start_for(Some(peer.clone()), io, far, session, Options::default()).await;
    assert!(timeout(seconds(1), &mut served.task).await.is_err());
    let held = peer.held().bytes();
    assert!((299_000..310_000).contains(&held), "{held}");
    let mut client = client(served.io).await;
    assert!(client.next().await.unwrap().unwrap().len() > 300_000);
    assert_eq!(peer.held().bytes(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_is_not_dropped() {
    let frames = stream::iter((0..100).map(|_| Ok(welcome(1000)))).chain(stream::pending());
    let mut served = start(frames.boxed()).await;
    // 200 bytes a second: each write buffer is still accepted within its minute.
    let mut read = 0;
    while read < 100 * 1000 {
        assert!(timeout(seconds(5), &mut served.task).await.is_err(), "still there after {read} bytes");
        let mut buffer = [0; 1024];
        read += served.io.read(&mut buffer).await.unwrap();
        // A pong, so that the peer counts as alive.
        served.io.write_all(&[0x8a, 0x80, 0, 0, 0, 0]).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_large_frame_arrives_whole() {
    let large = frame(3_000_000);
    let frames = stream::iter([Ok(large.clone().into()), Ok(welcome(1))]).chain(stream::pending());
    let mut client = client(start(frames.boxed()).await.io).await;
    let Some(Ok(Message::Text(text))) = client.next().await else { panic!() };
    assert!(AsRef::<[u8]>::as_ref(&text) == &large.to_json().unwrap()[..]);
    let Some(Ok(Message::Text(text))) = client.next().await else { panic!() };
    assert_eq!(text, r#"{"welcome":{"sessionId":"x"}}"#);
}

#[tokio::test]
async fn a_stream_that_is_always_ready_leaves_others_their_turn() {
    for bytes in [1, 100_000] {
        let frame = welcome(bytes);
        let endless = stream::repeat_with(move || Ok(frame.clone()));
        let (io, far) = duplex(1024);
        let far = join(far, tokio::io::sink());
        let mut served = start_over(io, far, endless.boxed(), Options::default()).await;
        let mut client = client(served.io).await;
        client.send(Message::Binary(numbered(1).encode_to_vec().into())).await.unwrap();
        let heard = timeout(seconds(10), served.inbound.recv()).await.expect("heard");
        assert_eq!(*heard.unwrap().frame, numbered(1));
        client.send(Message::Close(None)).await.unwrap();
        timeout(seconds(10), served.task).await.expect("the close is heard").unwrap();
    }
}

#[tokio::test]
async fn constant_traffic_does_not_postpone_deadlines() {
    let options = Options { write_timeout: Duration::from_millis(100), ..Options::default() };
    let (io, far) = duplex(1024);
    // As frames, these are masked pings of 9 bytes each.
    let far = join(tokio::io::repeat(0x89), far);
    let endless = stream::repeat_with(|| Ok(welcome(1000)));
    let served = start_over(io, far, endless.boxed(), options).await;
    timeout(seconds(10), served.task).await.expect("dropped after the write time-out").unwrap();
}

/// As over HTTP/2, it has as long as nobody needs the memory.
#[tokio::test(start_paused = true)]
async fn a_peer_that_reads_nothing_has_little_time_while_too_much_is_held() {
    const HELD: usize = 64 * 1024;
    let limits = Limits { held_by_all: HELD, held_at_most: HELD, ..Limits::production(8) };
    let ledger = Ledger::new(limits, Proxies::default());
    let connect = |address: &str| {
        let address = address.parse().unwrap();
        Peer::new(address, ledger.connect(address).unwrap())
    };
    let (io, far) = duplex(1024);
    let session = stream::iter([Ok(Delivery::from(frame(10_000)))]).chain(stream::pending()).boxed();
    let peer = Some(connect("192.0.2.1"));
    let mut served = start_for(peer, io, far, session, Options::default()).await;
    assert!(timeout(seconds(20), &mut served.task).await.is_err(), "it has a minute");
    let _held = connect("192.0.2.2").hold(HELD);
    timeout(seconds(3), &mut served.task).await.expect("too much is held").unwrap();
}

#[tokio::test(start_paused = true)]
async fn pings_of_a_peer_that_reads_nothing_do_no_harm() {
    let (push, mut frames) = mpsc::channel(1);
    let mut served = start(stream::poll_fn(move |cx| frames.poll_recv(cx)).boxed()).await;
    for _ in 0..1000 {
        served
            .io
            .write_all(&[&[0x89, 0x80 + 100, 0, 0, 0, 0], [b'x'; 100].as_slice()].concat())
            .await
            .unwrap();
    }
    let frame = frame(10_000);
    push.send(Ok(frame.clone().into())).await.unwrap();
    assert!(timeout(seconds(10), &mut served.task).await.is_err(), "it has a minute");
    let mut client = client(served.io).await;
    let text = loop {
        match client.next().await {
            Some(Ok(Message::Text(text))) => break text,
            Some(Ok(Message::Pong(_))) => {}
            other => panic!("{other:?}"),
        }
    };
    assert!(AsRef::<[u8]>::as_ref(&text) == &frame.to_json().unwrap()[..]);
}

#[tokio::test(start_paused = true)]
async fn backend_is_released_before_close_handshake() {
    let (push, mut frames) = mpsc::channel(1);
    let mut served = start(stream::poll_fn(move |cx| frames.poll_recv(cx)).boxed()).await;
    push.send(Ok(welcome(100_000))).await.unwrap();
    served.io.write_all(&[0x88, 0x80, 0, 0, 0, 0]).await.unwrap();
    timeout(seconds(1), push.closed()).await.expect("let go at once");
    assert!(served.inbound.recv().await.is_none());
    assert!(!served.task.is_finished(), "the goodbye cannot get out yet");
    timeout(seconds(6), served.task).await.expect("ended").unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_answers_pings_stays() {
    let mut served = start(silent()).await;
    let mut client = client(served.io).await;
    let mut pings = 0;
    let hour = timeout(seconds(3600), async {
        while let Some(Ok(message)) = client.next().await {
            pings += usize::from(message.is_ping());
        }
    });
    assert!(hour.await.is_err() && timeout(seconds(1), &mut served.task).await.is_err());
    assert_eq!(pings, 119, "one every 30 seconds");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_answer_pings_is_closed() {
    let start_at = Instant::now();
    let mut served = start(silent()).await;
    let mut heard = Vec::new();
    served.io.read_to_end(&mut heard).await.unwrap();
    assert_eq!(&heard[..4], [0x89, 0, 0x89, 0], "two pings");
    let ending = String::from_utf8_lossy(&heard).into_owned();
    assert!(ending.contains(r#""reason":"idle_timeout""#), "{ending}");
    assert!(heard.ends_with(b"\x88\x0e\x03\xe9idle_timeout"), "closes with 1001: {ending}");
    served.task.await.unwrap();
    let took = start_at.elapsed();
    assert!(took >= seconds(75) && took <= seconds(81), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn shutdown_waits_for_the_backend_within_the_grace() {
    let mut served = start(silent()).await;
    served.shutdown.cancel();
    let mut client = client(served.io).await;
    let start_at = Instant::now();
    loop {
        match client.next().await {
            Some(Ok(Message::Close(Some(close)))) => {
                assert_eq!((u16::from(close.code), close.reason.as_str()), (1001, "shutting_down"));
                break;
            }
            Some(Ok(_)) => assert!(!served.task.is_finished()),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(start_at.elapsed().as_secs(), 30);
    drop(client);
    timeout(seconds(10), &mut served.task).await.expect("ended").unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_answer_the_close_is_left() {
    let ended = stream::iter([Err(tonic::Status::internal("broken"))]);
    let mut served = start(ended.boxed()).await;
    assert!(timeout(seconds(4), &mut served.task).await.is_err(), "it has five seconds");
    timeout(seconds(2), served.task).await.expect("left").unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_connection_costs_kilobytes() {
    let (_io, far) = duplex(1);
    let socket = Socket::new(far);
    let (sender, _inbound) = mpsc::channel(limits::INBOUND_FRAMES);
    let (options, meters) = (Options::default(), Arc::new(Meters::new()));
    let link = Link::new(socket, silent(), None, meters);
    let ends = size_of_val(&*link);
    let serving =
        serve(link, Inbound::new(sender, None), &options, UnknownFields::Refuse, CancellationToken::new());
    let size = ends + size_of_val(&serving);
    assert!(size <= 2048, "{size} bytes; see limits.rs");
    assert!(size_of::<v1::ClientFrame>() <= 320, "see Received");
}
