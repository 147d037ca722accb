//! Attacks over WebSocket. The masks of frames are zero, which a server cannot know.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::attacks::Target;
use crate::http1::answered;

const CONTINUED: u8 = 0x00;
const TEXT_BEGINS: u8 = 0x01;
const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;

/// The largest frame that is accepted, bytes.
const LARGEST: usize = 128 * 1024;

fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = match payload.len() {
        short @ ..126 => vec![0x80 | short as u8],
        medium @ ..65_536 => [&[0xfe][..], &(medium as u16).to_be_bytes()].concat(),
        long => [&[0xff][..], &(long as u64).to_be_bytes()].concat(),
    };
    [&[kind][..], &length, &[0; 4], payload].concat()
}

fn handshake(target: &Target) -> String {
    format!(
        "GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
         Authorization: Bearer {}\r\n\r\n",
        target.token
    )
}

/// A connection that has sent its hello.
async fn connect(target: &Target) -> BufReader<TcpStream> {
    loop {
        let mut io = BufReader::new(target.connect().await);
        let _ = io.get_mut().write_all(handshake(target).as_bytes()).await;
        if answered(target, &mut io).await {
            let _ = io.get_mut().write_all(&frame(TEXT, br#"{"hello": {}}"#)).await;
            return io;
        }
    }
}

/// Reads everything, and counts the code with which it is closed.
async fn read(target: &Target, io: &mut (impl AsyncRead + Unpin)) {
    let mut head = [0; 2];
    while io.read_exact(&mut head).await.is_ok() {
        let length = match head[1] {
            126 => io.read_u16().await.map(u64::from),
            127 => io.read_u64().await,
            short => Ok(u64::from(short)),
        };
        let Ok(length) = length else { return };
        let mut payload = vec![0; length as usize];
        if io.read_exact(&mut payload).await.is_err() {
            return;
        }
        match &payload[..] {
            [high, low, ..] if head[0] == CLOSE => {
                target.seen.count(format!("close {}", u16::from_be_bytes([*high, *low])));
            }
            text => {
                let text = String::from_utf8_lossy(text);
                let reason = text.split_once(r#""reason":""#).and_then(|(_, rest)| rest.split('"').next());
                if let Some(reason) = reason {
                    target.seen.count(reason);
                }
            }
        }
    }
}

/// Sends the same again and reads what is answered, on one connection after the other.
async fn flood(target: &Target, start: &[u8], again: &[u8]) {
    loop {
        let (mut reading, mut writing) = tokio::io::split(connect(target).await);
        let _ = writing.write_all(start).await;
        tokio::join!(target.flood(writing, again), read(target, &mut reading));
    }
}

/// A request that is refused, with this as its data.
fn sent(data: &str) -> Vec<u8> {
    let request =
        format!(r#"{{"requestId": "1", "sendMessage": {{"toUser": "nobody", "data": {{"x": {data}}}}}}}"#);
    frame(TEXT, request.as_bytes())
}

pub(crate) async fn slow_handshakes(target: Target) {
    let begun = handshake(&target);
    loop {
        let mut io = target.connect().await;
        let _ = io.write_all(&begun.as_bytes()[..begun.len() - 4]).await;
        target.trickle(io, b"y").await;
    }
}

pub(crate) async fn giant_frames(target: Target) {
    flood(&target, b"", &frame(TEXT, &vec![b'x'; LARGEST - 1_024])).await;
}

pub(crate) async fn too_large_frames(target: Target) {
    flood(&target, b"", &frame(TEXT, &vec![b'x'; LARGEST + 1_024])).await;
}

pub(crate) async fn tiny_fragments(target: Target) {
    flood(&target, &frame(TEXT_BEGINS, b"{"), &frame(CONTINUED, b" ").repeat(1_000)).await;
}

pub(crate) async fn pings(target: Target) {
    flood(&target, b"", &frame(PING, b"anybody?").repeat(1_000)).await;
}

pub(crate) async fn deep(target: Target) {
    let depth = 50_000;
    flood(&target, b"", &sent(&format!("{}{}", "[".repeat(depth), "]".repeat(depth)))).await;
}

pub(crate) async fn wide(target: Target) {
    flood(&target, b"", &sent(&format!("[{}0]", "{},".repeat(40_000)))).await;
}

pub(crate) async fn unread_pages(target: Target) {
    let list =
        format!(r#"{{"requestId": "1", "listMessages": {{"roomId": "{}", "pageSize": 100}}}}"#, target.room);
    loop {
        let mut io = connect(&target).await.into_inner();
        let _ = io.write_all(&frame(TEXT, list.as_bytes()).repeat(64)).await;
        target.trickle(io, &frame(PING, b"")).await;
    }
}

pub(crate) async fn reconnects(target: Target) {
    loop {
        let mut io = connect(&target).await;
        let _ = io.get_mut().write_all(&frame(CLOSE, &1_000_u16.to_be_bytes())).await;
        read(&target, &mut io).await;
    }
}

/// As much as the rates of a user allow, and more.
pub(crate) async fn messages(target: Target) {
    let message = |number: u32| {
        format!(
            r#"{{"requestId": "{number}", "sendMessage": {{"roomId": "{}", "clientMessageId": "{}", "text": "x"}}}}"#,
            target.room, number
        )
    };
    let some: Vec<_> = (0..1_000).flat_map(|number| frame(TEXT, message(number).as_bytes())).collect();
    flood(&target, b"", &some).await;
}
