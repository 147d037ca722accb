use std::sync::Arc;

use anyhow::{Result, bail, ensure};
use futures::future::BoxFuture;
use parlance_proto::v1;
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::at::{At, Socket};
use super::tally::Tally;

pub(super) const PATH: &str = "/parlance.v1.ChatService/Chat";

/// The first byte of a `ServerFrame`, which identifies its content: field number and wire
/// type.
pub(super) const WELCOME: u8 = 1 << 3 | 2;
pub(super) const REPLY: u8 = 2 << 3 | 2;
pub(super) const EVENT: u8 = 3 << 3 | 2;

const BUFFER_BYTES: usize = 16 * 1024;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The only stream.
const STREAM: u32 = 1;

/// Flow control window for the server: the maximum of HTTP/2, so that it never needs an
/// update.
const WINDOW: u32 = (1 << 31) - 1;
const DEFAULT_WINDOW: u32 = 65_535;

/// Frame types, their flags, and a setting (RFC 9113, 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const INITIAL_WINDOW_SIZE: u16 = 4;

/// A `Chat` stream whose frames are parsed only up to their headers: a client library would
/// cost more than the server.
pub(super) struct Listener {
    socket: Socket,
    /// Bytes that were read but not parsed yet.
    waiting: Vec<u8>,
    messages: Messages,
}

/// Opens a stream on a connection of its own.
pub(super) async fn open(at: At<'_>, token: &str, hello: &v1::ClientFrame) -> Result<Listener> {
    let mut socket = at.connect().await?;
    socket.write_all(&beginning(at, token, hello)).await?;
    socket.flush().await?;
    let messages = Messages::default();
    let mut listener = Listener { socket, waiting: Vec::with_capacity(BUFFER_BYTES), messages };
    let mut first = None;
    while first.is_none() {
        listener.read(|message| first = first.or(message.first().copied())).await?;
    }
    ensure!(first == Some(WELCOME), "no welcome: {first:?}");
    Ok(listener)
}

/// Everything that a client sends before it is welcomed.
fn beginning(at: At<'_>, token: &str, hello: &v1::ClientFrame) -> Vec<u8> {
    let mut settings = INITIAL_WINDOW_SIZE.to_be_bytes().to_vec();
    settings.extend(WINDOW.to_be_bytes());
    // By their indices in HPACK's static table (RFC 7541, appendix A).
    let mut headers = vec![0x83, if at.trust.is_some() { 0x87 } else { 0x86 }];
    literal(&mut headers, 1, at.address);
    literal(&mut headers, 4, PATH);
    literal(&mut headers, 31, "application/grpc");
    literal(&mut headers, 23, &format!("Bearer {token}"));
    headers.extend(b"\0\x02te\x08trailers");
    let mut all = PREFACE.to_vec();
    frame(&mut all, SETTINGS, 0, 0, &settings);
    frame(&mut all, WINDOW_UPDATE, 0, 0, &(WINDOW - DEFAULT_WINDOW).to_be_bytes());
    frame(&mut all, HEADERS, END_HEADERS, STREAM, &headers);
    frame(&mut all, DATA, 0, STREAM, &framed(hello));
    all
}

/// Adds the gRPC prefix: not compressed, and the length.
fn framed(message: &v1::ClientFrame) -> Vec<u8> {
    let message = message.encode_to_vec();
    [&[0], &(message.len() as u32).to_be_bytes()[..], &message].concat()
}

/// A header whose name is in the static table, without indexing.
fn literal(headers: &mut Vec<u8>, name: usize, value: &str) {
    integer(headers, 4, name);
    integer(headers, 7, value.len());
    headers.extend(value.as_bytes());
}

/// An integer that starts in the last bits of a byte (RFC 7541, 5.1).
fn integer(headers: &mut Vec<u8>, bits: u32, value: usize) {
    let most = (1 << bits) - 1;
    if value < most {
        headers.push(value as u8);
        return;
    }
    headers.push(most as u8);
    let mut rest = value - most;
    while rest >= 128 {
        headers.push(rest as u8 | 128);
        rest >>= 7;
    }
    headers.push(rest as u8);
}

fn frame(to: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    to.extend(&(payload.len() as u32).to_be_bytes()[1..]);
    to.extend([kind, flags]);
    to.extend(stream.to_be_bytes());
    to.extend(payload);
}

impl Listener {
    /// Counts events until the stream ends.
    pub(super) fn count(mut self, tally: Arc<Tally>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            loop {
                let mut events = 0;
                if self.read(|message| events += u64::from(message.first() == Some(&EVENT))).await.is_err() {
                    return;
                }
                if events > 0 {
                    tally.add(events);
                }
            }
        })
    }

    /// Sends a frame. It fits into the window, since everything before it was answered.
    pub(super) async fn send(&mut self, message: &v1::ClientFrame) -> Result<()> {
        let mut bytes = Vec::new();
        frame(&mut bytes, DATA, 0, STREAM, &framed(message));
        self.socket.write_all(&bytes).await?;
        Ok(self.socket.flush().await?)
    }

    /// Reads some bytes, and visits each message completed by them.
    pub(super) async fn read(&mut self, mut visit: impl FnMut(&[u8])) -> Result<()> {
        ensure!(self.socket.read_buf(&mut self.waiting).await? > 0, "the connection ended");
        let (mut used, mut answers) = (0, Vec::new());
        while let Some((kind, flags, payload)) = first_frame(&self.waiting[used..]) {
            match kind {
                DATA => self.messages.feed(payload, &mut visit),
                SETTINGS | PING if flags & ACK == 0 => {
                    let payload = if kind == PING { payload } else { &[] };
                    frame(&mut answers, kind, ACK, 0, payload);
                }
                HEADERS if flags & END_STREAM != 0 => bail!("the call has ended"),
                RST_STREAM | GOAWAY => bail!("the server sends it away"),
                _ => {}
            }
            used += 9 + payload.len();
        }
        self.waiting.drain(..used);
        if !answers.is_empty() {
            self.socket.write_all(&answers).await?;
            self.socket.flush().await?;
        }
        Ok(())
    }
}

/// The frame at the beginning of `bytes`, if it is complete: its type, flags and payload.
fn first_frame(bytes: &[u8]) -> Option<(u8, u8, &[u8])> {
    let &[high, middle, low, kind, flags, ..] = bytes else { return None };
    let length = u32::from_be_bytes([0, high, middle, low]) as usize;
    Some((kind, flags, bytes.get(9..9 + length)?))
}

/// Reassembles messages from a sequence of frames, whose boundaries differ.
#[derive(Default)]
struct Messages {
    /// An incomplete message.
    begun: Vec<u8>,
}

impl Messages {
    fn feed(&mut self, bytes: &[u8], visit: &mut impl FnMut(&[u8])) {
        if self.begun.is_empty() {
            let used = messages(bytes, visit);
            self.begun.extend_from_slice(&bytes[used..]);
        } else {
            self.begun.extend_from_slice(bytes);
            let used = messages(&self.begun, visit);
            self.begun.drain(..used);
        }
    }
}

/// Visits the complete messages at the beginning of `bytes`; returns their total length.
fn messages(bytes: &[u8], visit: &mut impl FnMut(&[u8])) -> usize {
    let mut used = 0;
    while let &[_, a, b, c, d, ref rest @ ..] = &bytes[used..] {
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        let Some(message) = rest.get(..length) else { break };
        visit(message);
        used += 5 + length;
    }
    used
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_visited_however_they_are_cut() {
        let mut bytes = Vec::new();
        for (kind, length) in [(WELCOME, 3_usize), (EVENT, 1), (EVENT, 300)] {
            bytes.push(0);
            bytes.extend((length as u32).to_be_bytes());
            bytes.extend(vec![kind; length]);
        }
        for cut in 0..bytes.len() {
            let (mut messages, mut seen) = (Messages::default(), Vec::new());
            for part in [&bytes[..cut], &bytes[cut..]] {
                messages.feed(part, &mut |message| seen.push((message[0], message.len())));
            }
            assert_eq!(seen, [(WELCOME, 3), (EVENT, 1), (EVENT, 300)]);
            assert!(messages.begun.is_empty());
        }
    }

    #[test]
    fn frames_are_whole_or_not_there() {
        let mut bytes = Vec::new();
        frame(&mut bytes, DATA, END_STREAM, STREAM, &[7; 300]);
        assert_eq!(first_frame(&bytes), Some((DATA, END_STREAM, &[7; 300][..])));
        for end in 0..bytes.len() {
            assert_eq!(first_frame(&bytes[..end]), None);
        }
    }

    #[test]
    fn integers_are_those_of_the_rfc() {
        // RFC 7541, C.1.
        for (bits, value, expected) in [(5, 10, &[10][..]), (5, 1337, &[31, 154, 10]), (8, 42, &[42])] {
            let mut written = Vec::new();
            integer(&mut written, bits, value);
            assert_eq!(written, expected);
        }
    }
}
