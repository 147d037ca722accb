use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use futures::future::BoxFuture;
use parlance_proto::{json, v1};
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::at::{At, Socket};
use super::grpc::{EVENT, WELCOME};
use super::tally::Tally;

const BUFFER_BYTES: usize = 16 * 1024;

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const PING: u8 = 9;
const PONG: u8 = 10;

/// A socket whose frames are parsed only up to their headers: a client library would
/// cost more than the server.
pub(super) struct Listener {
    socket: Socket,
    /// Bytes that were read but not parsed yet.
    waiting: Vec<u8>,
    binary: bool,
}

/// Opens a socket and says hello, in JSON or protobuf.
pub(super) async fn open(at: At<'_>, token: &str, hello: &v1::ClientFrame, binary: bool) -> Result<Listener> {
    let address = at.address;
    let mut socket = at.connect().await?;
    let request = format!(
        "GET /ws HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Authorization: Bearer {token}\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).await?;
    socket.flush().await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(socket.read_u8().await?);
    }
    ensure!(answer.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&answer));
    let mut listener = Listener { socket, waiting: Vec::with_capacity(BUFFER_BYTES), binary };
    listener.send(hello).await?;
    let mut first = Vec::new();
    while first.is_empty() {
        listener
            .read(|payload| {
                if first.is_empty() {
                    first = payload.to_vec();
                }
            })
            .await?;
    }
    let welcome: &[u8] = if binary { &[WELCOME] } else { b"{\"welcome\"" };
    ensure!(first.starts_with(welcome), "no welcome: {}", String::from_utf8_lossy(&first));
    Ok(listener)
}

impl Listener {
    /// Counts events until the socket ends.
    pub(super) fn count(mut self, tally: Arc<Tally>) -> BoxFuture<'static, ()> {
        Box::pin(async move { while self.count_some(&tally).await.is_ok() {} })
    }

    async fn count_some(&mut self, tally: &Tally) -> Result<()> {
        let event: &[u8] = if self.binary { &[EVENT] } else { b"{\"event\"" };
        let mut events = 0;
        self.read(|payload| events += u64::from(payload.starts_with(event))).await?;
        if events > 0 {
            tally.add(events);
        }
        Ok(())
    }

    /// Sends a frame.
    pub(super) async fn send(&mut self, frame: &v1::ClientFrame) -> Result<()> {
        if self.binary {
            self.write(BINARY, &frame.encode_to_vec()).await
        } else {
            let json = json::typed_to_json("parlance.v1.ClientFrame", frame);
            self.write(TEXT, &json.map_err(|failure| anyhow::anyhow!(failure.message))?).await
        }
    }

    /// Reads some bytes, and visits the payload of each message completed by them.
    pub(super) async fn read(&mut self, mut visit: impl FnMut(&[u8])) -> Result<()> {
        ensure!(self.socket.read_buf(&mut self.waiting).await? > 0, "the socket ended");
        let mut pings = 0;
        let used = frames(&self.waiting, |opcode, payload| match opcode {
            PING => pings += 1,
            _ => visit(payload),
        })?;
        self.waiting.drain(..used);
        for _ in 0..pings {
            self.write(PONG, &[]).await?;
        }
        Ok(())
    }

    /// Writes a frame, masked with zeros.
    async fn write(&mut self, opcode: u8, payload: &[u8]) -> Result<()> {
        let length = u16::try_from(payload.len()).context("a short frame is meant")?;
        let mut frame = vec![0x80 | opcode];
        match u8::try_from(length) {
            Ok(length @ ..126) => frame.push(0x80 | length),
            _ => {
                frame.push(0x80 | 126);
                frame.extend(length.to_be_bytes());
            }
        }
        frame.extend([0; 4]);
        frame.extend_from_slice(payload);
        self.socket.write_all(&frame).await?;
        Ok(self.socket.flush().await?)
    }
}

/// Visits the complete frames at the beginning of `bytes`; returns their total length.
fn frames(bytes: &[u8], mut visit: impl FnMut(u8, &[u8])) -> Result<usize> {
    let mut used = 0;
    loop {
        let rest = &bytes[used..];
        let (header, length) = match rest {
            [_, 126, high, low, ..] => (4, usize::from(u16::from_be_bytes([*high, *low]))),
            [_, 127, ..] => bail!("a frame of more than 64 KiB"),
            [_, length, ..] if *length < 126 => (2, usize::from(*length)),
            [_, length, ..] if *length >= 128 => bail!("a server does not mask"),
            _ => return Ok(used),
        };
        let Some(payload) = rest.get(header..header + length) else { return Ok(used) };
        visit(rest[0] & 0x0f, payload);
        used += header + length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_visited_once_they_are_whole() {
        let mut bytes = vec![0x81, 3, b'a', b'b', b'c', 0x82, 126, 0, 200];
        bytes.extend([7; 200]);
        for end in 0..=bytes.len() {
            let mut seen = Vec::new();
            let used = frames(&bytes[..end], |opcode, payload| seen.push((opcode, payload.len()))).unwrap();
            let expected: &[_] = match end {
                0..5 => &[],
                5..209 => &[(TEXT, 3)],
                _ => &[(TEXT, 3), (BINARY, 200)],
            };
            assert_eq!((seen.as_slice(), used), (expected, [0, 5, 209][expected.len()]));
        }
        assert!(frames(&[0x81, 0x83], |_, _| {}).is_err());
    }
}
