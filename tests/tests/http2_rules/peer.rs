//! A client that sends any bytes after the preface, and reads frames.

use parlance_tests::{Server, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::wire::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADER_TABLE_SIZE, HEADERS, PING, PREFACE,
    RST_STREAM, SETTINGS, WINDOW_UPDATE, frame, ping, settings,
};

/// Bytes that the kernel holds for a connection, of what was received and not read: about as few as it allows.
const RECEIVE_BUFFER: u32 = 4 * 1024;

/// Error codes: RFC 9113, 7.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Code {
    NoError,
    Protocol,
    FlowControl,
    StreamClosed,
    FrameSize,
    RefusedStream,
    Compression,
    EnhanceYourCalm,
    Other(u32),
}

impl From<u32> for Code {
    fn from(code: u32) -> Self {
        match code {
            0 => Self::NoError,
            1 => Self::Protocol,
            3 => Self::FlowControl,
            5 => Self::StreamClosed,
            6 => Self::FrameSize,
            7 => Self::RefusedStream,
            9 => Self::Compression,
            11 => Self::EnhanceYourCalm,
            code => Self::Other(code),
        }
    }
}

/// A frame of the server.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Got {
    /// Its settings.
    Settings(Vec<(u16, u32)>),
    SettingsAck,
    PingAck(Vec<u8>),
    /// Headers with this status; trailers have none.
    Headers {
        stream: u32,
        status: Option<u16>,
        ends: bool,
    },
    Data {
        stream: u32,
        length: usize,
        ends: bool,
    },
    Reset(u32, Code),
    /// Its last stream and code.
    Goaway(u32, Code),
    WindowUpdate(u32, u32),
}

/// A connection.
pub(crate) struct Peer {
    io: TcpStream,
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(*bytes.first_chunk().expect("four bytes")) & 0x7fff_ffff
}

impl Peer {
    /// Sends nothing. The kernel keeps little of what is not read, so that it waits in the server.
    pub(crate) async fn silent(server: &Server) -> Self {
        Self::silent_at(&server.address()).await
    }

    async fn silent_at(address: &str) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(RECEIVE_BUFFER).unwrap();
        Self { io: socket.connect(address.parse().unwrap()).await.unwrap() }
    }

    /// After both sides have acknowledged the settings of the other. The server must not use the dynamic table, so
    /// that each status can be read on its own.
    pub(crate) async fn connect(server: &Server, values: &[(u16, u32)]) -> Self {
        Self::connect_to(&server.address(), values).await
    }

    /// The same to one of the other listeners.
    pub(crate) async fn connect_to(address: &str, values: &[(u16, u32)]) -> Self {
        let mut peer = Self::silent_at(address).await;
        let values = [&[(HEADER_TABLE_SIZE, 0)], values].concat();
        peer.send(&[PREFACE, &settings(&values)].concat()).await;
        assert!(matches!(peer.got().await, Some(Got::Settings(_))), "the preface of a server");
        peer.send(&frame(SETTINGS, ACK, 0, b"")).await;
        while peer.got().await.expect("its acknowledgement") != Got::SettingsAck {}
        peer
    }

    /// The server may have closed the connection before.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        let _ = self.io.write_all(bytes).await;
    }

    /// The next frame, `None` at the end.
    pub(crate) async fn got(&mut self) -> Option<Got> {
        loop {
            let (kind, flags, stream, payload) = within("a frame comes", self.frame()).await?;
            return Some(match kind {
                SETTINGS if flags & ACK != 0 => Got::SettingsAck,
                SETTINGS => {
                    let value = |raw: &[u8]| (u16::from_be_bytes([raw[0], raw[1]]), number(&raw[2..]));
                    Got::Settings(payload.chunks_exact(6).map(value).collect())
                }
                PING if flags & ACK != 0 => Got::PingAck(payload),
                // It asks whether we are there.
                PING => {
                    self.send(&frame(PING, ACK, 0, &payload)).await;
                    continue;
                }
                HEADERS => {
                    assert!(flags & END_HEADERS != 0, "answers of the tests have few headers");
                    let (status, ends) = (status(&payload), flags & END_STREAM != 0);
                    Got::Headers { stream, status, ends }
                }
                DATA => Got::Data { stream, length: payload.len(), ends: flags & END_STREAM != 0 },
                RST_STREAM => Got::Reset(stream, number(&payload).into()),
                GOAWAY => Got::Goaway(number(&payload), number(&payload[4..]).into()),
                WINDOW_UPDATE => Got::WindowUpdate(stream, number(&payload)),
                CONTINUATION => panic!("answers of the tests have few headers"),
                kind => panic!("a frame of type {kind}"),
            });
        }
    }

    /// Its frames until a ping is answered that is sent now, without that.
    pub(crate) async fn until_pong(&mut self, payload: &[u8; 8]) -> Vec<Got> {
        self.send(&ping(payload)).await;
        let mut all = Vec::new();
        while let Some(got) = self.got().await {
            if got == Got::PingAck(payload.to_vec()) {
                break;
            }
            all.push(got);
        }
        all
    }

    /// Type, flags, stream and payload of a frame. `None` at the end.
    async fn frame(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        let mut head = [0; 9];
        self.io.read_exact(&mut head).await.ok()?;
        let [high, middle, low, kind, flags, rest @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, high, middle, low]) as usize];
        assert!(payload.len() <= 16_384, "no larger than we allow");
        self.io.read_exact(&mut payload).await.ok()?;
        Some((kind, flags, number(&rest), payload))
    }

    /// All bytes to the end of the connection.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let _ = within("the connection ends", self.io.read_to_end(&mut bytes)).await;
        bytes
    }
}

/// The status at the beginning of a header block that does not use the dynamic table.
fn status(block: &[u8]) -> Option<u16> {
    // The update that empties the table.
    let block = block.strip_prefix(b"\x20").unwrap_or(block);
    let (&first, rest) = block.split_first()?;
    if let 0x88..=0x8e = first {
        return Some([200, 204, 206, 304, 400, 404, 500][usize::from(first - 0x88)]);
    }
    // A literal with the name of index 8, or one of the other statuses in the table.
    let name = match first {
        0x40.. => first & 0x3f,
        _ => first & 0x0f,
    };
    let (&length, value) = rest.split_first()?;
    let value = value.get(..usize::from(length & 0x7f))?;
    (8..=14).contains(&name).then_some(())?;
    let digits = if length & 0x80 == 0 { value.to_vec() } else { huffman_digits(value) };
    String::from_utf8(digits).ok()?.parse().ok()
}

/// Decodes digits: 0 to 2 have five bits, the others six.
fn huffman_digits(bytes: &[u8]) -> Vec<u8> {
    let bits: String = bytes.iter().map(|byte| format!("{byte:08b}")).collect();
    let mut digits = Vec::new();
    let mut rest = bits.as_str();
    while rest.len() >= 5 {
        let (digit, length) = match rest.get(..6).and_then(|six| u8::from_str_radix(six, 2).ok()) {
            Some(six @ 0x19..=0x1f) => (b'3' + six - 0x19, 6),
            _ => match u8::from_str_radix(&rest[..5], 2) {
                Ok(five @ 0..=2) => (b'0' + five, 5),
                _ => break,
            },
        };
        digits.push(digit);
        rest = &rest[length..];
    }
    digits
}
