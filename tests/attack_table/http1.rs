//! Attacks with HTTP/1.

use std::sync::atomic::{AtomicU8, Ordering};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

use crate::attacks::Target;

/// Counts the status of a response and skips it. Returns whether there was one.
pub(crate) async fn answered(target: &Target, io: &mut (impl AsyncBufReadExt + Unpin)) -> bool {
    let (mut line, mut length) = (String::new(), 0);
    if !matches!(io.read_line(&mut line).await, Ok(1..)) {
        return false;
    }
    let status = line.split(' ').nth(1).unwrap_or("?").to_owned();
    while line.trim() != "" {
        line.clear();
        if !matches!(io.read_line(&mut line).await, Ok(1..)) {
            return false;
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    target.seen.count(status);
    io.read_exact(&mut vec![0; length]).await.is_ok()
}

/// Sends a head and then a byte at a time, on one connection after the other.
async fn slow(target: &Target, head: &str, byte: &[u8]) {
    loop {
        let (reading, mut writing) = target.connect().await.into_split();
        let _ = writing.write_all(head.as_bytes()).await;
        let answer = async {
            let mut reading = BufReader::new(reading);
            while answered(target, &mut reading).await {}
        };
        tokio::join!(target.trickle(writing, byte), answer);
    }
}

pub(crate) async fn slow_headers(target: Target) {
    slow(&target, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nx: ", b"y").await;
}

pub(crate) async fn slow_bodies(target: Target) {
    let head = format!(
        "POST /v1/rooms HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Authorization: Bearer {}\r\nContent-Length: 100000\r\n\r\n",
        target.token
    );
    slow(&target, &head, b" ").await;
}

/// As fast as they are answered, and some ahead.
pub(crate) async fn probes(target: Target) {
    let some = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(100);
    loop {
        let (reading, writing) = target.connect().await.into_split();
        let answers = async {
            let mut reading = BufReader::new(reading);
            while answered(&target, &mut reading).await {}
        };
        tokio::join!(target.flood(writing, some.as_bytes()), answers);
    }
}

/// From sixteen addresses.
pub(crate) async fn idle_connections(target: Target) {
    static NEXT: AtomicU8 = AtomicU8::new(0);
    let last = 2 + NEXT.fetch_add(1, Ordering::Relaxed) % 16;
    loop {
        let mut io = target.connect_from(last).await;
        while io.read(&mut [0; 256]).await.is_ok_and(|read| read > 0) {}
        target.seen.count("cut off");
    }
}

/// One room after the other, as fast as it is answered.
pub(crate) async fn rooms(target: Target) {
    let body = r#"{"kind": "ROOM_KIND_GROUP"}"#;
    let request = format!(
        "POST /v1/rooms HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Authorization: Bearer {}\r\nContent-Length: {}\r\n\r\n{body}",
        target.token,
        body.len()
    );
    loop {
        let mut io = BufReader::new(target.connect().await);
        while io.get_mut().write_all(request.as_bytes()).await.is_ok() && answered(&target, &mut io).await {}
    }
}
