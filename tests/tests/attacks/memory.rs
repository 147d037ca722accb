//! What connections that read nothing, or send nothing to its end, make the server hold.

use parlance_proto::v1;
use parlance_tests::{Http, Server, eventually};
use prost::Message;

use super::Pair;
use crate::http2_rules::peer::{Got, Peer};
use crate::http2_rules::wire::{
    CONTINUATION, END_HEADERS, END_STREAM, GRPC, HEADERS, INITIAL_WINDOW_SIZE, MAX_WINDOW, added, data,
    fields, frame, indexed, last_data, post_block, reflection, reflection_messages, signed_call, whole,
    window_update,
};

/// Options of a node that bridges call.
const FOR_BRIDGES: [&str; 6] = ["--user-rate", "0", "--role", "api", "--edge-listen", "127.0.0.1:0"];

/// KiB that a server holds for each of `count` connections that send the same and read nothing of what is answered.
/// Each kind needs a server of its own: memory that was used once is used again.
async fn held(count: u64, window: u32, sent: impl FnOnce(&Pair) -> Vec<u8>) -> u64 {
    held_of(Server::start().await, count, window, |pair| vec![sent(pair)]).await
}

/// The same of `server`, with parts that are sent one after the other, so that each fits the window.
async fn held_of(server: Server, count: u64, window: u32, sent: impl FnOnce(&Pair) -> Vec<Vec<u8>>) -> u64 {
    let pair = Pair::of(&server).await;
    for _ in 0..8 {
        pair.alice.say(&pair.room, &"x".repeat(16 * 1024)).await;
    }
    pair.talk().await;
    let (sent, before) = (sent(&pair), server.resident_bytes());
    let mut attackers = Vec::new();
    for _ in 0..count {
        let mut peer = Peer::connect(&server, &[(INITIAL_WINDOW_SIZE, window)]).await;
        // The window of the connection is open after that.
        peer.until_pong(b"windows.").await;
        for part in &sent {
            peer.send(part).await;
            peer.until_pong(b"accepted").await;
        }
        attackers.push(peer);
    }
    // Until everything was taken.
    let mut held = 0;
    eventually("no more is held", async || {
        assert_eq!(server.http().get("/healthz").answer().await.status, 200);
        let before = std::mem::replace(&mut held, server.resident_bytes());
        (held <= before).then_some(())
    })
    .await;
    pair.talk().await;
    (held.saturating_sub(before) / count) >> 10
}

/// What the library holds for a peer is not charged to it. Here is how much that is for a connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_library_holds_for_a_connection_is_bounded() {
    // Half a header block: a value that does not end is kept until all of it is there.
    let block = [&[0, 1, b'x', 0x7f, 0x80, 0x80, 0x40][..], &[b'y'; 16_377]].concat();
    let begun = frame(HEADERS, END_STREAM, 1, &block);
    let half_a_block = [begun, frame(CONTINUATION, 0, 1, &[b'y'; 16_384]).repeat(4)].concat();
    let half_a_block = held(64, 0, |_| half_a_block).await;
    // Bodies that nobody reads, until their answers are read.
    let body = |stream: u32| [reflection(stream), data(stream, &reflection_messages())].concat();
    let bodies = held(16, 0, |_| (0..64).flat_map(|number| body(1 + 2 * number)).collect()).await;
    println!("half a header block {half_a_block} KiB, bodies {bodies} KiB");
    for (what, held, most) in [("half a header block", half_a_block, 512), ("bodies", bodies, 6 << 10)] {
        assert!(held < most, "{what}: {held} KiB for a connection");
    }
}

/// As many requests for pages as a connection may have, which nobody reads.
fn pages(pair: &Pair, size: usize) -> Vec<u8> {
    let page = fields(&[
        (":method", "GET"),
        (":scheme", "http"),
        (":path", &*format!("/v1/rooms/{}/messages?pageSize={size}", pair.room)),
        (":authority", "127.0.0.1"),
        ("authorization", &*format!("Bearer {}", pair.eve.token)),
    ]);
    let pages = (0..256).flat_map(|number| whole(1 + 2 * number, &page));
    window_update(0, MAX_WINDOW / 2).into_iter().chain(pages).collect()
}

/// Requests that arrive together hold no more than the budget of their connection: 1 MiB, and what the allocator and the
/// sockets take beside it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_that_are_requested_together_are_made_as_far_as_they_are_read() {
    // Not accepted by the windows of their streams; accepted, and not written; and small ones likewise.
    for (window, size) in [(0, 8), (MAX_WINDOW, 8), (MAX_WINDOW, 2)] {
        let held = held(8, window, |pair| pages(pair, size)).await;
        println!("pages of {size} messages with a window of {window}: {held} KiB for a connection");
        assert!(held < 6 << 10, "{held} KiB for a connection");
    }
}

/// Windows are wide, and nothing is read from the socket: the library takes all that is made.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reflection_that_nobody_reads_is_made_for_a_few() {
    let symbol = b"parlance.v1.ChatService";
    let message = [&[0, 0, 0, 0, symbol.len() as u8 + 2, 0x22, symbol.len() as u8][..], symbol].concat();
    let calls = (0..100).flat_map(|number| {
        let stream = 1 + 2 * number;
        [reflection(stream), data(stream, &message)].concat()
    });
    let calls: Vec<u8> = window_update(0, MAX_WINDOW / 2).into_iter().chain(calls).collect();
    let held = held(16, MAX_WINDOW, |_| calls).await;
    println!("reflection: {held} KiB for a connection");
    assert!(held < 1 << 10, "{held} KiB for a connection");
}

/// The headers of a call of eve, whose body follows.
fn begun(pair: &Pair, stream: u32, path: &str, content_type: &str) -> Vec<u8> {
    signed_call(stream, path, content_type, &pair.eve.token)
}

/// Bodies of 96 KB that do not end, each of the streams at a time as far as the window of the connection allows it.
fn unfinished(pair: &Pair, path: &str, content_type: &str, first: &[u8], streams: u32) -> Vec<Vec<u8>> {
    let numbers = (0..streams).map(|number| 1 + 2 * number);
    let heads = numbers.clone().flat_map(|stream| {
        [begun(pair, stream, path, content_type), data(stream, &[first, &[b' '; 1_000]].concat())].concat()
    });
    let piece = |stream| data(stream, &[b' '; 16_000]);
    let rounds = (0..6).flat_map(|_| {
        let all: Vec<_> = numbers.clone().collect();
        all.chunks(30).map(|some| some.iter().copied().flat_map(piece).collect()).collect::<Vec<_>>()
    });
    std::iter::once(heads.collect()).chain(rounds).collect()
}

/// Calls whose bodies stop before their end, on many connections: unary ones, and streams before and in their first
/// message.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_do_not_end_are_charged_to_their_connection() {
    for method in ["SendMessage", "Subscribe", "Chat"] {
        let path = format!("/parlance.v1.ChatService/{method}");
        let calls = |pair: &Pair| unfinished(pair, &path, "application/grpc", &[0, 0, 2, 0, 0], 100);
        let held = held_of(Server::start().await, 4, 0, calls).await;
        println!("bodies of {method}: {held} KiB for a connection");
        assert!(held < 3 << 10, "{method}: {held} KiB for a connection");
    }
}

/// The headers of a call without a caller, with this many more fields that have a byte each on the wire.
fn with_fields(stream: u32, many: usize) -> Vec<u8> {
    let call = post_block("/parlance.v1.ServerService/GetServer", GRPC, &[]);
    // The first one is added to the table anew by each.
    let block = [call, added(b"a", b""), indexed(62).repeat(many)].concat();
    frame(HEADERS, END_HEADERS, stream, &block)
}

/// Calls whose bodies are awaited, with more header fields than anyone sends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_many_header_fields_are_not_kept() {
    let begun = |stream| [with_fields(stream, 400), data(stream, &[0, 0, 0, 0, 15, 0])].concat();
    let calls = (0..98).flat_map(|number| begun(1 + 2 * number)).collect();
    let held = held(8, 0, |_| calls).await;
    println!("calls with 400 more fields: {held} KiB for a connection");
    assert!(held < 2 << 10, "{held} KiB for a connection");
}

/// Bodies of calls that are refused are not kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_of_calls_beyond_the_rate_are_not_held() {
    let calls = |pair: &Pair| {
        let path = format!("/v1/rooms/{}/messages", pair.room);
        unfinished(pair, &path, "application/json", b"{", 250)
    };
    let server = Server::start_with(&["--user-rate", "20", "--failed-token-rate", "0"]).await;
    let held = held_of(server, 8, 0, calls).await;
    println!("bodies of calls beyond the rate: {held} KiB for a connection");
    assert!(held < 3 << 10, "{held} KiB for a connection");
}

/// Room for a large answer is made once the request is there: who does not complete theirs takes none.
#[tokio::test]
async fn requests_that_do_not_end_take_no_room_for_answers() {
    let server = Server::start().await;
    let pair = Pair::of(&server).await;
    let mut peer = Peer::connect(&server, &[]).await;
    let list = |stream| begun(&pair, stream, "/parlance.v1.RoomService/ListRooms", GRPC);
    // More pages than a connection may have.
    peer.send(&(0..16).flat_map(|number| list(1 + 2 * number)).collect::<Vec<_>>()).await;
    peer.until_pong(b"accepted").await;
    peer.send(&[list(33), last_data(33, &[0; 5])].concat()).await;
    let first = loop {
        if let Some(Got::Headers { stream, .. }) = peer.got().await {
            break stream;
        }
    };
    assert_eq!(first, 33, "the others are not answered before they end");
}

/// A bridge refuses a call without a token before it reads, or makes room for anything.
#[tokio::test]
async fn a_bridge_refuses_calls_without_a_token_before_their_bodies() {
    let node = Server::start_with(&FOR_BRIDGES).await;
    let bridge = Server::start_bridge(&[&node.bridges()]).await;
    let mut peer = Peer::connect(&bridge, &[]).await;
    let block = fields(&[
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/v1/rooms"),
        (":authority", "127.0.0.1"),
    ]);
    peer.send(&frame(HEADERS, END_HEADERS, 1, &block)).await;
    let status = loop {
        if let Some(Got::Headers { status, .. }) = peer.got().await {
            break status;
        }
    };
    assert_eq!(status, Some(401));
}

/// What is held for bridges is reported, too.
#[tokio::test]
async fn what_a_bridge_does_not_read_is_reported() {
    let server = Server::start_with(&FOR_BRIDGES).await;
    let pair = Pair::of(&server).await;
    for _ in 0..8 {
        pair.alice.say(&pair.room, &"x".repeat(16 * 1024)).await;
    }
    let list = v1::ListMessagesRequest { room_id: pair.room.clone(), ..Default::default() }.encode_to_vec();
    let message = [&[0, 0, 0, 0, list.len() as u8][..], &list].concat();
    let mut peer = Peer::connect_to(&server.bridges(), &[(INITIAL_WINDOW_SIZE, 0)]).await;
    let call = begun(&pair, 1, "/parlance.v1.ChatService/ListMessages", GRPC);
    peer.send(&[call, last_data(1, &message)].concat()).await;
    eventually("it is held", async || {
        let page = Http::new(server.admin()).get("/metrics").answer().await;
        let page = String::from_utf8_lossy(&page.body).into_owned();
        let held = page.lines().find_map(|line| line.strip_prefix("parlance_held_bytes "));
        held.is_some_and(|held| held.parse::<f64>().unwrap() > 100_000.0).then_some(())
    })
    .await;
}
